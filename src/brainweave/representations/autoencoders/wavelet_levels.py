"""The two sides of a wavelet-flow autoencoder, level by level (`wavelet_flow`)."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainweave import lean
from brainweave.representations.autoencoders.base import Latents, Shape, Volumes
from brainweave.representations.autoencoders.positionwise import (
    GAIN,
    Block,
    ChannelNorm,
    Pass,
    convolution,
    doubling,
    halving,
)
from brainweave.representations.base import exact, uncast
from brainweave.representations.haar import Axes, analyse, synthesise

MIDDLE = 2  # blocks at the resolution of the latents
FIRST_LOG_VARIANCE = -10.0  # little noise at the start: latents are small at first

Coefficients = tuple[Float[Tensor, "b _ _ _ _"], ...]  # of every level, the finest first


@dataclass(frozen=True)
class Levels:
    """What both sides have in common; see `WaveletFlowConfig`. halved: the axes of each level."""

    in_channels: int
    latent_channels: int
    widths: tuple[int, ...]
    flow: int
    blocks: int
    halved: tuple[Axes, ...]

    @property
    def coarser(self) -> range:
        """All levels but the first, the finest."""
        return range(1, len(self.widths))

    def bands(self, level: int) -> int:
        """Channels of the coefficients of a level."""
        return 2 ** sum(self.halved[level]) * self.in_channels

    def cells(self, level: int) -> Shape:
        """Edges of the features of a level for one latent; of the volume for level -1."""
        i, j, k = (2 ** sum(axis[level + 1 :]) for axis in zip(*self.halved, strict=True))
        return i, j, k

    @property
    def first(self) -> Float[Tensor, "z c"]:
        """Which coefficient of the coarsest level each latent is at the start: those that are low
        along most axes first; none for latents beyond them."""
        count = self.bands(len(self.widths) - 1)
        order = sorted(range(count), key=lambda band: (band // self.in_channels).bit_count())
        chosen = torch.zeros(self.latent_channels, count)
        for latent, band in enumerate(order[: self.latent_channels]):
            chosen[latent, band] = 1
        return chosen


class Down(nn.Module):
    """Features to the next level, where its coefficients flow in."""

    def __init__(self, levels: Levels, level: int) -> None:
        super().__init__()
        narrow, wide = levels.widths[level - 1 : level + 1]
        self.blocks = nn.ModuleList(Block(narrow, narrow) for _ in range(levels.blocks))
        self.down = halving(narrow, narrow, levels.halved[level])
        self.inflow = convolution(levels.bands(level), levels.flow)
        self.join = Block(narrow + levels.flow, wide)

    def forward(self, h: Tensor, bands: Tensor, how: Pass) -> Tensor:
        for block in self.blocks:
            h = block([h], how)
        return self.join([how.resampled(h, self.down), how.convolve([bands], self.inflow)], how)


class Up(nn.Module):
    """Features to the level before, after coefficients have flowed out."""

    def __init__(self, levels: Levels, level: int) -> None:
        super().__init__()
        narrow, wide = levels.widths[level - 1 : level + 1]
        self.flow = levels.flow
        self.branch = Block(wide, wide + levels.flow)
        self.outflow = Block(levels.flow, levels.flow)
        self.bands = convolution(levels.flow, levels.bands(level), zero=True)
        self.last = Block(wide, wide)
        self.up = doubling(wide, narrow, levels.halved[level])
        self.blocks = nn.ModuleList(Block(narrow, narrow) for _ in range(levels.blocks))

    def forward(self, h: Tensor, how: Pass) -> tuple[Tensor, Tensor]:
        h = self.branch([h], how)
        bands = GAIN * how.convolve([self.outflow([h[:, -self.flow :]], how)], self.bands)
        h = how.resampled(self.last([h[:, : -self.flow]], how), self.up)
        for block in self.blocks:
            h = block([h], how)
        return h, bands


class Encoder(nn.Module):
    """Volumes to mu, log sigma^2 and the coefficients of all levels.

    mu begins as the first of the coarsest coefficients, the mean of a block before all.
    """

    def __init__(self, levels: Levels) -> None:
        super().__init__()
        self.levels, width = levels, levels.widths[-1]
        self.conv_in = convolution(levels.bands(0), levels.widths[0])
        self.stages = nn.ModuleList(Down(levels, level) for level in levels.coarser)
        self.middle = nn.ModuleList(Block(width, width) for _ in range(MIDDLE))
        self.norm = ChannelNorm(width)
        self.head = convolution(width, 2 * levels.latent_channels, zero=True)
        self.straight = nn.Parameter(levels.first / math.prod(levels.cells(-1)) ** 0.5)

    def forward(self, x: Volumes, how: Pass) -> tuple[Latents, Latents, Coefficients]:
        bands = self._bands(x)
        each = (band.to(lean.working(x), memory_format=lean.LAST) for band in bands)
        h = how.convolve([next(each)], self.conv_in)
        for stage, band in zip(self.stages, each, strict=True):
            h = stage(h, band, how)
        for block in self.middle:
            h = block([h], how)
        out = exact(GAIN * how.convolve([h], self.head, norm=self.norm))
        mu, log_variance = out.chunk(2, dim=1)
        return mu + _mixed(self.straight, bands[-1]), log_variance + FIRST_LOG_VARIANCE, bands

    @property
    def halo(self) -> Shape:
        """Voxels on each side of a block that its latents depend on, in whole blocks."""
        i, j, k = (edge * self._reach(axis) for axis, edge in enumerate(self.levels.cells(-1)))
        return i, j, k

    def _reach(self, axis: int) -> int:
        """The same in blocks, along an axis."""
        reach, seen = 1 + MIDDLE * Block.REACH, []  # in features of a level, in latents
        for level in reversed(self.levels.coarser):
            reach += Block.REACH
            seen.append((reach + 1) / self.levels.cells(level)[axis])
            reach *= 2 if self.levels.halved[level][axis] else 1
            reach += self.levels.blocks * Block.REACH
        seen.append((reach + 1) / self.levels.cells(0)[axis])
        return math.ceil(max(seen))

    def _bands(self, x: Volumes) -> Coefficients:
        bands = []
        for axes in self.levels.halved:
            bands.append(analyse(x, axes=axes))
            x = bands[-1][:, : self.levels.in_channels]
        return tuple(bands)


class Decoder(nn.Module):
    """Latents to volumes and the coefficients that flowed out at all levels, the finest first.

    It begins as the inverse of what the encoder begins as: no detail but what mu holds.
    """

    def __init__(self, levels: Levels) -> None:
        super().__init__()
        self.levels, width = levels, levels.widths[-1]
        self.conv_in = convolution(levels.latent_channels, width)
        self.middle = nn.ModuleList(Block(width, width) for _ in range(MIDDLE))
        self.stages = nn.ModuleList(Up(levels, level) for level in reversed(levels.coarser))
        self.norm = ChannelNorm(levels.widths[0])
        self.head = convolution(levels.widths[0], levels.bands(0), zero=True)
        self.straight = nn.Parameter(levels.first.T * math.prod(levels.cells(-1)) ** 0.5)

    def forward(self, z: Latents, how: Pass) -> tuple[Volumes, Coefficients]:
        h = how.convolve([z.to(lean.working(z), memory_format=lean.LAST)], self.conv_in)
        for block in self.middle:
            h = block([h], how)
        low, bands = _mixed(self.straight, z), []
        finest, *coarser = self.levels.halved
        for stage, axes in zip(self.stages, reversed(coarser), strict=True):
            h, made = stage(h, how)
            bands.append(_added(made, low))
            low = synthesise(bands[-1], axes=axes)
        bands.append(_added(GAIN * how.convolve([h], self.head, norm=self.norm), low))
        return synthesise(bands[-1], axes=finest), tuple(reversed(bands))

    @property
    def halo(self) -> Shape:
        """Latents on each side of one that its block of voxels depends on."""
        i, j, k = (self._reach(axis) for axis in range(3))
        return i, j, k

    def _reach(self, axis: int) -> int:
        """The same along an axis; what flows out has looked no further than the features."""
        reach = 1
        for axes in self.levels.halved[1:]:
            reach += self.levels.blocks * Block.REACH
            reach = math.ceil(reach / 2) if axes[axis] else reach
            reach += 2 * Block.REACH
        return reach + MIDDLE * Block.REACH + 1


def _mixed(weight: Float[Tensor, "o c"], x: Float[Tensor, "b c i j k"]) -> Tensor:
    """A 1 x 1 x 1 convolution in float32 (or float64) under any autocast."""
    with uncast(x):
        return torch.einsum("oc,bcijk->boijk", weight.to(exact(x)), exact(x))


def _added(bands: Tensor, low: Tensor) -> Tensor:
    """The first bands plus what is there of them already."""
    first, rest = bands.tensor_split([low.shape[1]], dim=1)
    return torch.cat([exact(first) + low, exact(rest)], dim=1)
