"""Inference without gradients: convolutions of normalised volumes, a few slices at a time.

A plain forward pass holds several copies of its largest activation at once and spends as long on
touching fresh memory as on arithmetic. Here a norm is measured first; then a slab of slices after
the other is scaled, passed through SiLU and convolved while it lies in the cache, concatenated only
there, and written where it is to stay. Values are those of the plain pass but for rounding.

Volumes are [1 c i j k], their channels last in memory, as oneDNN likes them.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

LAST = torch.channels_last_3d
SLAB = 2**24  # bytes; the C library keeps blocks of this size for reuse, larger ones it gives back

Volume = Float[Tensor, "1 _ _ _ _"]
Bounds = list[tuple[int, int]]


class Affine(NamedTuple):
    """scale x + shift per channel, float32 or finer: a norm that has been measured."""

    scale: Float[Tensor, "c"]
    shift: Float[Tensor, "c"]

    def modulated(self, scale_shift: Float[Tensor, "1 two_c"]) -> "Affine":
        """Followed by x (1 + scale) + shift."""
        scale, shift = scale_shift[0].to(self.scale).chunk(2)
        return Affine(self.scale * (1 + scale), self.shift * (1 + scale) + shift)


def applies(module: nn.Module, x: Tensor) -> bool:
    """Whether the passes of this file may stand in for a module's plain one."""
    plain = torch.is_grad_enabled() or module.training or torch.compiler.is_compiling()
    return not plain and x.device.type == "cpu"


def working(x: Tensor) -> torch.dtype:
    """What activations are kept in: the type of autocasting, else that of x."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def bounds(channels: int, like: Volume, *, scale: int = 1) -> Bounds:
    """Where slabs of `like` begin and end that hold so many channels at `scale` times the
    resolution; all begin at an even slice."""
    _, _, depth, j, k = like.shape
    each = channels * j * k * scale**3 * like.element_size()
    thick = 2 * max(1, SLAB // (2 * each))
    return [(start, min(start + thick, depth)) for start in range(0, depth, thick)]


def measured(parts: Sequence[Volume], norm: nn.GroupNorm) -> Affine:
    """The norm of the concatenated parts; its groups may lie across two of them."""
    means, spreads = zip(*map(_moments, parts), strict=True)
    mean, spread = (torch.cat(each).view(norm.num_groups, -1) for each in (means, spreads))
    middle = mean.mean(1, keepdim=True)
    variance = (spread + (mean - middle).square()).mean(1, keepdim=True)
    scale = (norm.weight.view_as(mean) * (variance + norm.eps).rsqrt()).flatten()
    shift = norm.bias - middle.expand_as(mean).flatten() * scale
    kind = torch.promote_types(parts[0].dtype, torch.float32)
    return Affine(scale.to(kind), shift.to(kind))


def slabs(
    parts: Sequence[Volume], where: Bounds, *, norm: Affine | None = None, halo: int = 0
) -> Iterator[Volume]:
    """The concatenated parts between bounds, after the norm and SiLU if there is one, with `halo`
    slices more at both ends, zero beyond the volume's.

    Nothing before stop + halo is read again after a slab is given: to write over [start, stop) of
    a part changes nothing that is to come.
    """
    channels, depth = sum(part.shape[1] for part in parts), parts[0].shape[2]
    edge = parts[0].new_zeros(1, channels, halo, *parts[0].shape[3:])
    for start, stop in where:
        z = _empty(channels, parts[0], stop - start + 2 * halo)
        ready = edge.shape[2]
        z[:, :, :ready] = edge
        first, last = start - halo + ready, min(stop + halo, depth)
        if first < last:
            _fill(z[:, :, ready : ready + last - first], parts, slice(first, last), norm)
        z[:, :, last - start + halo :] = 0
        edge = z[:, :, stop - start :].clone()
        yield z


def halved(parts: Sequence[Volume], *, norm: Affine | None = None) -> Volume:
    """Means over 2 x 2 x 2 voxels of the concatenated parts, after the norm and SiLU if any."""
    where = bounds(sum(part.shape[1] for part in parts), parts[0])
    return torch.cat([_halve(z) for z in slabs(parts, where, norm=norm)], dim=2)


def convolve(
    parts: Sequence[Volume],
    layer: nn.Conv3d,
    *,
    norm: Affine | None = None,
    shift: Float[Tensor, "c"] | None = None,
    doubled: bool = False,
) -> Volume:
    """A convolution of the concatenated parts, after the norm and SiLU if there is one, plus
    `shift` per channel; of every voxel eight times if `doubled`."""
    filter_ = Filter(layer, parts[0].dtype, shift=shift, doubled=doubled)
    scale = 2 if doubled else 1
    where = bounds(max(layer.in_channels // scale**3, layer.out_channels), parts[0], scale=scale)
    made = map(filter_, slabs(parts, where, norm=norm, halo=filter_.halo))
    if len(where) == 1:
        return next(made)
    out = _empty(layer.out_channels, parts[0], parts[0].shape[2] * scale, scale)
    for (start, stop), slab in zip(where, made, strict=True):
        out[:, :, scale * start : scale * stop] = slab
    return out


def convolve_into(
    x: Volume, layer: nn.Conv3d, *, norm: Affine, where: Bounds, plus: Iterator[Volume]
) -> Volume:
    """x becomes the convolution of itself after the norm and SiLU, plus slabs between bounds."""
    filter_ = Filter(layer, x.dtype)
    sources = zip(where, slabs([x], where, norm=norm, halo=filter_.halo), plus, strict=True)
    for (start, stop), z, more in sources:
        x[:, :, start:stop] = filter_(z).add_(more)
    return x


class Filter:
    """A convolution whose slabs already have their halo."""

    def __init__(
        self,
        layer: nn.Conv3d,
        kind: torch.dtype,
        *,
        shift: Float[Tensor, "c"] | None = None,
        doubled: bool = False,
    ) -> None:
        size = layer.kernel_size[0]
        assert layer.bias is not None
        bias = layer.bias if shift is None else layer.bias + shift
        self.halo, self.doubled, self.bias = size // 2, doubled, bias.to(kind)
        weight = _of_doubled(layer.weight) if doubled else layer.weight
        self.weight = weight.to(kind).contiguous(memory_format=LAST)

    def __call__(self, z: Volume) -> Volume:
        if self.doubled:
            return F.conv_transpose3d(z, self.weight, self.bias, stride=2, padding=(3, 1, 1))
        if self.halo:
            pad = (0, self.halo, self.halo)
            return F.conv3d(z, self.weight, self.bias, padding=pad)
        rows = F.linear(z.permute(0, 2, 3, 4, 1), self.weight.flatten(1), self.bias)
        return rows.permute(0, 4, 1, 2, 3)  # a tenth of the time of a 1 x 1 x 1 convolution


def _of_doubled(weight: Float[Tensor, "o i 3 3 3"]) -> Float[Tensor, "i o 4 4 4"]:
    """The transposed convolution of stride 2 that doubling and then convolving is: each voxel
    reaches 4 x 4 x 4 of the finer ones, by sums of taps. 8 products per voxel instead of 27."""
    taps = weight.new_tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]])
    return torch.einsum("oiabc,xa,yb,zc->ioxyz", weight, taps, taps, taps)


def _halve(z: Volume) -> Volume:
    total = z.to(torch.promote_types(z.dtype, torch.float32))
    for axis in (2, 3, 4):
        first, second = total.unflatten(axis, (-1, 2)).unbind(axis + 1)
        total = first + second
    return total.div_(8).to(z.dtype)


def _moments(part: Volume) -> tuple[Float[Tensor, "c"], Float[Tensor, "c"]]:
    """Mean and variance of every channel, float64: slab by slab about its own mean."""
    kind, counts, found = torch.promote_types(part.dtype, torch.float32), [], []
    for start, stop in bounds(part.shape[1], part):
        rows = part[:, :, start:stop].permute(0, 2, 3, 4, 1).flatten(0, 3).to(kind)
        mean = rows.mean(0)
        found.append(torch.stack([mean, (rows - mean).square_().mean(0)]).double())
        counts.append(stop - start)
    share = part.new_tensor(counts, dtype=torch.float64)[:, None] / sum(counts)
    means, spreads = torch.stack(found, dim=1)
    mean = (share * means).sum(0)
    return mean, (share * (spreads + (means - mean).square())).sum(0)


def _fill(z: Volume, parts: Sequence[Volume], where: slice, norm: Affine | None) -> None:
    """The slices of every part side by side, after the norm and SiLU if there is one."""
    at = 0
    for part in parts:
        x, to = part[:, :, where], at + part.shape[1]
        if norm is not None:
            zero, one = torch.zeros_like(norm.scale[at:to]), torch.ones_like(norm.scale[at:to])
            scale, shift = norm.scale[at:to], norm.shift[at:to]
            x = F.batch_norm(x, zero, one, scale, shift, eps=0.0)  # rounds once, bfloat16 too
        z[:, at:to] = x
        at = to
    if norm is not None:
        F.silu(z, inplace=True)


def _empty(channels: int, like: Volume, depth: int, scale: int = 1) -> Volume:
    shape = (1, channels, depth, like.shape[3] * scale, like.shape[4] * scale)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=LAST)
