"""The layers of latent diffusion's autoencoders (arXiv:2112.10752), in 3D as MONAI has them, and
how they are stacked.

Every layer has two passes with the same result: `forward`, through which gradients can go back, and
`streamed`, slice by slice.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from brainweave import lean
from brainweave.representations.autoencoders.levels import LevelsConfig, Upsample
from brainweave.representations.autoencoders.slices import (
    Convolution,
    halved,
    interpolated,
    measured,
    transposed,
)
from brainweave.representations.autoencoders.streams import Room, Stream, forked, stored


class Layer(nn.Module, ABC):
    """A part of an encoder or a decoder."""

    @abstractmethod
    def streamed(self, x: Stream, room: Room) -> Stream:
        """`forward`, of a stream."""


class Entry(Layer):
    """The first convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)

    def streamed(self, x: Stream, room: Room) -> Stream:
        return Convolution(self.conv)(x)


class Head(Layer):
    """The last norm and convolution, nothing between them."""

    def __init__(self, config: LevelsConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = _norm(config, in_channels)
        self.conv = nn.Conv3d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.norm(x))

    def streamed(self, x: Stream, room: Room) -> Stream:
        x = room.keep(x)
        norm = measured(x, self.norm)
        return Convolution(self.conv, norm=norm, active=False)(x)


class Residual(Layer):
    """Norm, SiLU, convolution, twice, plus the input. late: the number of channels changes in the
    second convolution, as in brainmint's decoder, not in the first."""

    def __init__(
        self, config: LevelsConfig, in_channels: int, out_channels: int, *, late: bool = False
    ) -> None:
        super().__init__()
        inner = in_channels if late else out_channels
        self.norm_in = _norm(config, in_channels)
        self.conv_in = nn.Conv3d(in_channels, inner, 3, padding=1)
        self.norm_out = _norm(config, inner)
        self.conv_out = nn.Conv3d(inner, out_channels, 3, padding=1)
        self.skip = nn.Conv3d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_in(F.silu(self.norm_in(x)))
        h = self.conv_out(F.silu(self.norm_out(h)))
        return h + (x if self.skip is None else self.skip(x))

    def streamed(self, x: Stream, room: Room) -> Stream:
        inner = self.conv_in.out_channels
        x = room.keep(x, beside=x.size // x.channels * inner)
        first = Convolution(self.conv_in, norm=measured(x, self.norm_in))
        h = room.keep(first(replace(x, spare=())))  # x is needed again
        second = Convolution(self.conv_out, norm=measured(h, self.norm_out))
        aside = None if self.skip is None else Convolution(self.skip)
        return room.keep(
            forked(
                x,
                main=lambda x: second(first(x) if h.whole is None else h),
                skip=lambda x: x if aside is None else aside(x),
            )
        )


class Attention(Layer):
    """Self-attention of one head over all voxels, after a norm, plus the input."""

    def __init__(self, config: LevelsConfig, channels: int) -> None:
        super().__init__()
        self.norm = _norm(config, channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels) if config.attention_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(x).flatten(2).transpose(1, 2)[:, None]
        mixed = F.scaled_dot_product_attention(*self.qkv(tokens).chunk(3, dim=-1))
        return x + self.out(mixed[:, 0]).transpose(1, 2).unflatten(2, x.shape[2:])

    def streamed(self, x: Stream, room: Room) -> Stream:
        whole = room.gathered(x, beside=6 * x.size)  # each voxel looks at all others
        made = whole if whole.is_meta else self(whole.to(self.qkv.weight.dtype))
        return stored(made.to(x.like.dtype, memory_format=lean.LAST))


class Down(Layer):
    """A convolution of stride 2, with zeros behind the last slices only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1, 0, 1)))

    def streamed(self, x: Stream, room: Room) -> Stream:
        return room.keep(halved(x, self.conv))


class Up(Layer):
    """Twice the resolution; see `LevelsConfig.upsample`."""

    conv: nn.Conv3d | nn.ConvTranspose3d

    def __init__(self, channels: int, how: Upsample) -> None:
        super().__init__()
        self.how = how
        if how == "transposed_2":
            self.conv = nn.ConvTranspose3d(channels, channels, 2, stride=2)
        elif how == "transposed_3":
            self.conv = nn.ConvTranspose3d(
                channels, channels, 3, stride=2, padding=1, output_padding=1
            )
        else:
            self.conv = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.conv, nn.ConvTranspose3d):
            return self.conv(x)
        return self.conv(F.interpolate(x, scale_factor=2.0, mode=self.how))

    def streamed(self, x: Stream, room: Room) -> Stream:
        x, conv = room.keep(x), self.conv
        if isinstance(conv, nn.ConvTranspose3d):
            return transposed(x, conv)
        if self.how == "nearest":
            return Convolution(conv, doubled=True)(x)
        return Convolution(conv)(interpolated(x))


def level(
    config: LevelsConfig, index: int, widths: Sequence[int], *, late: bool = False
) -> list[Layer]:
    """Residual blocks from each width to the next; attention after each, if this level has it."""
    layers: list[Layer] = []
    for narrow, wide in pairwise(widths):
        layers.append(Residual(config, narrow, wide, late=late))
        if index in config.attention_levels:
            layers.append(Attention(config, wide))
    return layers


def middle(config: LevelsConfig) -> list[Layer]:
    """Attention between two residual blocks."""
    width = config.widths[-1]
    return [
        Residual(config, width, width),
        Attention(config, width),
        Residual(config, width, width),
    ]


def through(layers: nn.Sequential, x: Tensor, room: Room | None) -> Tensor:
    """What layers make of x: by the plain pass, or slice by slice in a room."""
    if room is None:
        return layers(x)
    streams = [stored(x, spare=False)]
    for each in layers:
        assert isinstance(each, Layer)
        streams.append(each.streamed(streams.pop(), room))  # a layer holds its input alone
    return room.gathered(streams.pop())


def _norm(config: LevelsConfig, channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(config.groups, channels, eps=config.norm_eps)
