"""What autoencoders of residual blocks at several resolutions have in common: their settings, the
latents' distribution, and passes within a bound of memory."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from brainweave import lean
from brainweave.representations.autoencoders.base import (
    Autoencoder,
    AutoencoderConfig,
    Latents,
    Shape,
    Volumes,
)
from brainweave.representations.autoencoders.streams import Room
from brainweave.representations.autoencoders.tiles import Scale, Way, within

Upsample = Literal["nearest", "trilinear", "transposed_2", "transposed_3"]
Run = Callable[[Tensor, Room | None], Tensor]


class LevelsConfig(AutoencoderConfig, ABC):
    """Levels of residual blocks, each at half the resolution of the one before.

    out_channels: of what comes back, those of the input where not said. widths: channels at each
    level, the finest first. blocks: residual blocks at a level, of the encoder as of the decoder;
    one number for all or one for each. attention_levels: where attention follows each of them, 0 is
    the finest. encoder_attention, decoder_attention: between two more blocks at the coarsest level.
    attention_out: whether attention ends in a linear layer. groups, norm_eps: of all norms, which
    are taken over whole volumes. upsample: "nearest" or "trilinear" interpolation before a
    convolution, or a transposed one, 2 or 3 wide.
    """

    out_channels: int | None = Field(default=None, ge=1)
    widths: tuple[int, ...] = Field(default=(64, 128, 256), min_length=1)
    blocks: int | tuple[int, ...] = 2
    attention_levels: tuple[int, ...] = ()
    encoder_attention: bool = False
    decoder_attention: bool = False
    attention_out: bool = True
    groups: int = Field(default=32, ge=1)
    norm_eps: float = Field(default=1e-6, gt=0)
    upsample: Upsample = "nearest"

    @model_validator(mode="after")
    def _levels_fit(self) -> "LevelsConfig":
        levels = len(self.widths)
        if len(self.depths) != levels or min(self.depths) < 1:
            raise ValueError(f"blocks {self.blocks} for {levels} levels; each needs one or more")
        if outside := [level for level in self.attention_levels if level not in range(levels)]:
            raise ValueError(f"attention level {outside[0]} of {levels} levels, which begin at 0")
        for width in self.normed:
            if width < 1 or width % self.groups:
                raise ValueError(f"{self.groups} groups do not divide {width} channels")
        return self

    @property
    def depths(self) -> tuple[int, ...]:
        """Residual blocks of each level."""
        blocks = self.blocks
        return (blocks,) * len(self.widths) if isinstance(blocks, int) else blocks

    @property
    def normed(self) -> tuple[int, ...]:
        """Numbers of channels that norms see."""
        return self.widths

    @property
    @abstractmethod
    def finest(self) -> tuple[int, int]:
        """Channels of the largest activation, and voxels along its voxels' edges."""

    @property
    def copies(self) -> int:
        """Numbers per voxel that there are beside the activations of layers."""
        return 0

    @property
    def coming_back(self) -> int:
        """Channels of volumes that come back."""
        return self.out_channels or self.in_channels


class LevelsAutoencoder(Autoencoder, ABC):
    """An encoder and a decoder between which latents are described by 1 x 1 x 1 convolutions.

    Large volumes are passed slice by slice where no gradients are wanted: on a CPU always, on other
    devices where the plain pass needs more than `memory` bytes. With a bound only as many
    activations are kept as fit, and the others made again: slower, the same result. Blended tiles
    are what remains for bounds that even this does not keep to.
    """

    config: LevelsConfig

    def __init__(self, config: LevelsConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.latent_channels
        self.to_mu = nn.Conv3d(channels, channels, 1)
        self.to_log_variance = nn.Conv3d(channels, channels, 1)
        self.from_latents = nn.Conv3d(channels, channels, 1)

    @abstractmethod
    def encoded(self, x: Volumes, room: Room | None) -> Latents:
        """What the encoder makes of a volume: by the plain pass, or slice by slice in a room."""

    @abstractmethod
    def decoded(self, z: Latents, room: Room | None) -> Volumes:
        """What the decoder makes of latents, likewise."""

    def moments(self, x: Volumes, memory: int) -> tuple[Latents, Latents]:
        i, j, k = (Fraction(1, factor) for factor in self.config.factors)
        h = self._within(self.encoded, x, memory, (i, j, k))
        return self.to_mu(h), self.to_log_variance(h)

    def volumes(self, z: Latents, memory: int) -> Volumes:
        i, j, k = (Fraction(factor) for factor in self.config.factors)
        return self._within(self.decoded, self.from_latents(z), memory, (i, j, k))

    def _within(self, run: Run, x: Tensor, memory: int, scale: Scale) -> Tensor:
        """One side of the autoencoder, by the pass that keeps to the bound."""
        kind, (channels, edge) = lean.working(x), self.config.finest
        voxels = math.prod(max(1, int(s)) for s in scale)  # that an element of x stands for
        width = max(1, channels * voxels // edge**3)

        @cache
        def room(shape: Shape) -> tuple[int, int]:
            beside = self.config.copies * voxels * math.prod(shape) * 4
            return _room(run, (1, x.shape[1], *shape), kind, memory, beside)

        def streamed(volumes: Tensor) -> Tensor:
            i, j, k = volumes.shape[2:]
            with torch.no_grad(), torch.autocast(volumes.device.type, enabled=False):
                each = volumes.to(kind, memory_format=lean.LAST).split(1)
                made = [run(one, Room(room((i, j, k))[0])).contiguous() for one in each]
            return torch.cat(made)

        plain = Way(
            lambda volumes: run(volumes, None),
            lambda shape: 4 * width * math.prod(shape) * kind.itemsize,  # a few copies
        )
        slices = Way(streamed, lambda shape: room(shape)[1])
        wanted = torch.is_grad_enabled() and (self.training or x.requires_grad)
        ways = [plain]
        if lean.applies(self, x, width):
            ways = [slices]
        elif memory and not wanted and not torch.compiler.is_compiling():
            ways = [plain, slices]
        return within(x, memory, ways, halo=None, scale=scale, blend=self.blend)


def _room(
    run: Run, shape: tuple[int, ...], kind: torch.dtype, memory: int, beside: int
) -> tuple[int, int]:
    """How large a room may be that a pass keeps to a bound, and the bytes that it needs then: what
    is kept early leaves less for what comes later, so the pass is tried without making anything."""
    if not memory:
        return 0, 0
    for quarters in range(4, -1, -1):
        room = Room(max(1, (memory - beside) * quarters // 4))
        with torch.no_grad():
            run(torch.empty(shape, dtype=kind, device="meta"), room)
        if room.needed + beside <= memory:
            break
    return room.memory, room.needed + beside
