"""Layers that treat every place alike, however large the volume around it: patches, tiles and
whole volumes mean the same to them.

They run by one of two passes with the same result: `Plain`, which gradients can go back through,
and `Slabs`, a few slices at a time. A new layer uses `convolve`, `residual` and `resampled` of the
pass it is given, and so has both.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainweave import lean
from brainweave.representations.base import uncast
from brainweave.representations.haar import Axes

# Of what begins at zero. Adam's first steps have one size for every weight: at the full one, sums
# over all inputs of a convolution are large at once and undo what the rest begins as.
GAIN = 0.1


class Plain:
    """Whole volumes; all that gradients need is kept."""

    @staticmethod
    def convolve(
        parts: Sequence[Tensor], layer: nn.Conv3d, *, norm: nn.Module | None = None
    ) -> Tensor:
        """A convolution of the concatenated parts, after the norm and SiLU if there is one."""
        x = _joined(parts)
        return layer(x if norm is None else F.silu(norm(x)))

    @classmethod
    def residual(
        cls,
        parts: Sequence[Tensor],
        first: lean.Stage,
        second: lean.Stage,
        skip: nn.Conv3d | None,
        gain: float,
    ) -> Tensor:
        """The concatenated parts as they are or through `skip`, plus `gain` times two stages of
        them."""
        x = _joined(parts)
        h = cls.convolve([x], first[1], norm=first[0])
        h = cls.convolve([h], second[1], norm=second[0])
        return (x if skip is None else skip(x)) + gain * h

    @staticmethod
    def resampled(x: Tensor, layer: nn.Conv3d | nn.ConvTranspose3d) -> Tensor:
        """A convolution, or a transposed one, whose kernel is as large as its stride."""
        return layer(x)


class Slabs:
    """A few slices at a time, without gradients, of one volume: the passes of `lean`."""

    convolve = staticmethod(lean.convolve)
    residual = staticmethod(lean.residual)

    @staticmethod
    def resampled(x: Tensor, layer: nn.Conv3d | nn.ConvTranspose3d) -> Tensor:
        """A convolution, or a transposed one, whose kernel is as large as its stride, 1 or 2."""
        weight, bias, stride = layer.weight.to(x), layer.bias, layer.stride
        assert bias is not None
        bias = bias.to(x)
        up = isinstance(layer, nn.ConvTranspose3d)
        edges = [e * s if up else e // s for e, s in zip(x.shape[2:], stride, strict=True)]
        shape, device = (1, layer.out_channels, *edges), x.device
        out = torch.empty(shape, dtype=x.dtype, device=device, memory_format=lean.LAST)
        room = layer.out_channels * (stride[0] * stride[1] * stride[2] if up else 1)
        for start, stop in lean.bounds(max(layer.in_channels, room), x):
            z = x[:, :, start:stop]
            if up:
                made = F.conv_transpose3d(z, weight, bias, stride=stride)
                out[:, :, stride[0] * start : stride[0] * stop] = made
            else:
                made = F.conv3d(z, weight, bias, stride=stride)
                out[:, :, start // stride[0] : stop // stride[0]] = made
        return out


Pass = type[Plain] | type[Slabs]


class ChannelNorm(nn.LayerNorm):
    """Mean 0 and variance 1 over the channels of every voxel, then a scale and a shift of each
    channel (as in arXiv:2411.17459)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        with uncast(x):  # float32 inside, whatever x is
            rows = F.layer_norm(x.movedim(1, -1), self.normalized_shape, weight, bias, self.eps)
        return rows.movedim(-1, 1)


class Block(nn.Module):
    """The input, plus a tenth of norm, SiLU, convolution, twice; at the start the input alone."""

    REACH = 2  # voxels to each side that an output depends on

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm_in = ChannelNorm(in_channels)
        self.conv_in = convolution(in_channels, out_channels)
        self.norm_out = ChannelNorm(out_channels)
        self.conv_out = convolution(out_channels, out_channels, zero=True)
        self.skip: nn.Conv3d | None = None
        if in_channels != out_channels:
            self.skip = nn.Conv3d(in_channels, out_channels, 1)
            nn.init.kaiming_normal_(self.skip.weight, nonlinearity="linear")  # keeps the variance

    def forward(self, parts: Sequence[Tensor], how: Pass) -> Tensor:
        first, second = (self.norm_in, self.conv_in), (self.norm_out, self.conv_out)
        return how.residual(parts, first, second, self.skip, GAIN)


def convolution(in_channels: int, out_channels: int, *, zero: bool = False) -> nn.Conv3d:
    """3 x 3 x 3, zero beyond the volume's ends; zero: everywhere at the start."""
    layer = nn.Conv3d(in_channels, out_channels, 3, padding=1)
    if zero:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    return layer


def halving(in_channels: int, out_channels: int, axes: Axes) -> nn.Conv3d:
    """Blocks of 2 voxels along the axes to one."""
    size = _sizes(axes)
    return nn.Conv3d(in_channels, out_channels, size, stride=size)


def doubling(in_channels: int, out_channels: int, axes: Axes) -> nn.ConvTranspose3d:
    """One voxel to blocks of 2 along the axes; at the start all of a block are equal."""
    size = _sizes(axes)
    layer = nn.ConvTranspose3d(in_channels, out_channels, size, stride=size)
    first = torch.empty(in_channels, out_channels, 1, 1, 1)
    nn.init.kaiming_normal_(first, mode="fan_out", nonlinearity="linear")
    with torch.no_grad():
        layer.weight.copy_(first.expand_as(layer.weight))
    return layer


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)


def _sizes(axes: Axes) -> tuple[int, int, int]:
    i, j, k = (2 if halved else 1 for halved in axes)
    return i, j, k
