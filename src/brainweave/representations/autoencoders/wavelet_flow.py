"""A wavelet-flow autoencoder for volumes: no convolution at full resolution, and at every level
the wavelet coefficients flow in beside the features and out again (arXiv:2411.17459), here alike
along all axes, not causal, for any number of channels, with norms of every voxel alone."""

import math
from collections.abc import Callable
from fractions import Fraction

import torch
from pydantic import Field, model_validator
from torch import Tensor

from brainweave import lean
from brainweave.representations.autoencoders.base import (
    Autoencoder,
    AutoencoderConfig,
    Latents,
    Reconstruction,
    Shape,
    Volumes,
    drawn,
)
from brainweave.representations.autoencoders.positionwise import Pass, Plain, Slabs
from brainweave.representations.autoencoders.tiles import Scale, Way, within
from brainweave.representations.autoencoders.wavelet_levels import Decoder, Encoder, Levels


class WaveletFlowConfig(AutoencoderConfig):
    """widths: channels of the features at each level, the finest first; each level halves edges.
    flow: channels of the coefficients that flow in or out. blocks: residual ones at each level
    above the last. axes: the letters of the axes that each level halves, such as ("ij", "ijk") for
    slices twice as thick as wide; empty: all at every level.
    """

    widths: tuple[int, ...] = Field(default=(64, 128), min_length=1, max_length=5)
    flow: int = Field(default=32, ge=2)
    blocks: int = Field(default=1, ge=0)
    axes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _levels_fit(self) -> "WaveletFlowConfig":
        if min(self.widths) < 2:
            raise ValueError(f"widths {self.widths} must be 2 or more: norms are over channels")
        if self.axes and len(self.axes) != len(self.widths):
            raise ValueError(f"{len(self.axes)} axes for {len(self.widths)} widths; give as many")
        known = ("i", "j", "k", "ij", "ik", "jk", "ijk")
        if wrong := [letters for letters in self.axes if letters not in known]:
            raise ValueError(f"axes {wrong[0]!r} are none of {', '.join(known)}")
        return self

    @property
    def levels(self) -> Levels:
        """The same as both sides are built of it."""
        letters = self.axes or ("ijk",) * len(self.widths)
        halved = tuple(("i" in each, "j" in each, "k" in each) for each in letters)
        ends = (self.in_channels, self.latent_channels)
        return Levels(*ends, self.widths, self.flow, self.blocks, halved)

    @property
    def factors(self) -> Shape:
        return self.levels.cells(-1)

    def build(self) -> "WaveletFlow":
        return WaveletFlow(self)


class WaveletFlow(Autoencoder):
    """The autoencoder of a `WaveletFlowConfig`.

    Without gradients volumes are passed in slabs: on a CPU always, where it is faster as well, on
    other devices if the plain pass needs more than `memory` bytes. If slabs do, exact tiles are.
    """

    config: WaveletFlowConfig

    def __init__(self, config: WaveletFlowConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.levels)
        self.decoder = Decoder(config.levels)

    def forward(self, x: Volumes, *, generator: torch.Generator | None = None) -> Reconstruction:
        """As every autoencoder's. Its wavelet pairs are those of all levels but the first: what
        flowed out of the decoder, and what flowed into the encoder."""
        mu, log_variance, seen = self.encoder(x, Plain)
        z, sigma = drawn(mu, log_variance, generator)
        volume, made = self.decoder(z, Plain)
        return Reconstruction(volume, mu, sigma, tuple(zip(made[1:], seen[1:], strict=True)))

    def moments(self, x: Volumes, memory: int) -> tuple[Latents, Latents]:
        def run(volumes: Volumes, how: Pass) -> Tensor:
            return torch.cat(self.encoder(volumes, how)[:2], dim=1)

        i, j, k = (Fraction(1, factor) for factor in self.config.factors)
        both = self._within(run, x, memory, halo=self.encoder.halo, scale=(i, j, k))
        mu, log_variance = both.chunk(2, dim=1)
        return mu, log_variance

    def volumes(self, z: Latents, memory: int) -> Volumes:
        def run(latents: Latents, how: Pass) -> Tensor:
            return self.decoder(latents, how)[0]

        i, j, k = (Fraction(factor) for factor in self.config.factors)
        return self._within(run, z, memory, halo=self.decoder.halo, scale=(i, j, k))

    def needs(self, latents: Shape, how: Pass, kind: torch.dtype = torch.float32) -> int:
        """Bytes that a pass without gradients keeps beside its input and output, about, for one
        volume of so many latents: of the largest features a few copies, or two and some slabs;
        of the largest weights a few too. The same for encoding and decoding."""
        levels, count = self.config.levels, math.prod(latents)
        each = [
            (width + (levels.flow if level else 0)) * math.prod(levels.cells(level))
            for level, width in enumerate(levels.widths)
        ]
        features = max(each) * count * kind.itemsize
        coefficients = 16 * levels.in_channels * math.prod(levels.cells(-1)) * count
        weights = 16 * max(parameter.numel() for parameter in self.parameters())
        slabs = min(6 * lean.SLAB, 6 * features)
        kept = 2 * features + slabs if how is Slabs else 6 * features
        return kept + coefficients + weights

    def _within(
        self,
        run: Callable[[Tensor, Pass], Tensor],
        x: Tensor,
        memory: int,
        *,
        halo: Shape,
        scale: Scale,
    ) -> Tensor:
        """One side of the autoencoder, by the pass that keeps to the bound."""
        kind = lean.working(x)

        def slabs(volumes: Tensor) -> Tensor:
            return torch.cat([run(volume, Slabs) for volume in volumes.split(1)])

        def needs(how: Pass) -> Callable[[Shape], int]:
            return lambda shape: self.needs(_latents(shape, scale), how, kind)

        ways = [Way(lambda volumes: run(volumes, Plain), needs(Plain)), Way(slabs, needs(Slabs))]
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            ways = ways[:1]
        elif lean.applies(self, x):
            ways = ways[1:]
        return within(x, memory, ways, halo=halo, scale=scale)


def _latents(shape: Shape, scale: Scale) -> Shape:
    """Of volumes, which become smaller, or of latents, which become larger."""
    i, j, k = (int(edge * min(s, Fraction(1))) for edge, s in zip(shape, scale, strict=True))
    return i, j, k
