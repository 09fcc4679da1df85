"""Inference without gradients: convolutions of normalised volumes, a few slices at a time.

A plain forward pass holds several copies of its largest activation at once and spends as long on
touching fresh memory as on arithmetic. Here a norm of the volume is measured first; then one slab
of slices after the other is scaled, or normed voxel by voxel, passed through SiLU and convolved
while it lies in the cache, concatenated only there, and written where it is to stay. Values are
those of the plain pass but for rounding. Volumes are [1 c i j k], their channels last in memory, as
oneDNN likes them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

LAST = torch.channels_last_3d
SLAB = 2**24  # bytes; larger ones leave more memory behind, smaller ones keep threads waiting
SMALL = 2**21  # numbers below which PyTorch convolves in 3D without oneDNN, slowly for few channels

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


Norm = Affine | nn.Module  # a module: of every voxel alone
Stage = tuple[nn.Module, nn.Conv3d]  # a norm, SiLU, a convolution


def applies(module: nn.Module, x: Float[Tensor, "b c i j k"], width: int | None = None) -> bool:
    """Whether the passes of this file stand in for a module's plain one: on a CPU, without
    gradients, for volumes of which one activation of `width` channels is more than a slab."""
    plain = torch.is_grad_enabled() or module.training or torch.compiler.is_compiling()
    large = width is None or width * x[:1, :1].numel() * x.element_size() > SLAB
    return large and not plain and x.device.type == "cpu"


def working(x: Tensor) -> torch.dtype:
    """What activations are kept in: the type of autocasting, else that of x."""
    device = x.device.type
    cast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if cast else x.dtype


def bounds(channels: int, like: Volume, *, scale: int = 1) -> Bounds:
    """Where slabs of `like` begin and end that hold so many channels at `scale` times the
    resolution; all begin at an even slice."""
    _, _, depth, j, k = like.shape
    each = channels * j * k * scale**3 * like.element_size()
    thick = 2 * max(1, SLAB // (2 * each))
    return [(start, min(start + thick, depth)) for start in range(0, depth, thick)]


def ready(parts: Sequence[Volume], norm: nn.Module) -> Norm:
    """A norm as slabs take it: a GroupNorm measured, one of every voxel alone as it is."""
    return measured(parts, norm) if isinstance(norm, nn.GroupNorm) else norm


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
    parts: Sequence[Volume], where: Bounds, *, norm: Norm | None = None, halo: int = 0
) -> Iterator[Volume]:
    """The concatenated parts between bounds, after the norm and SiLU if there is one, with `halo`
    slices more at both ends, zero beyond the volume's.

    All of them lie in one place, the next over the last. Nothing before stop + halo is read again
    after a slab is given: to write over [start, stop) of a part changes nothing that is to come.
    """
    channels, depth = sum(part.shape[1] for part in parts), parts[0].shape[2]
    room = _empty(channels, parts[0], depth=where[0][1] - where[0][0] + 2 * halo)
    room[:, :, :halo] = 0
    ready, before = halo, 0
    for start, stop in where:
        z = room[:, :, : stop - start + 2 * halo]
        if start:
            z[:, :, : 2 * halo] = room[:, :, before : before + 2 * halo].clone()
            ready = 2 * halo
        first, last = start - halo + ready, min(stop + halo, depth)
        if first < last:
            _fill(z[:, :, ready : ready + last - first], parts, slice(first, last), norm)
        z[:, :, last - start + halo :] = 0
        before = stop - start
        yield z


def halved(parts: Sequence[Volume], *, norm: Norm | None = None) -> Volume:
    """Means over 2 x 2 x 2 voxels of the concatenated parts, after the norm and SiLU if any."""
    where = bounds(sum(part.shape[1] for part in parts), parts[0])
    return torch.cat([_halve(z) for z in slabs(parts, where, norm=norm)], dim=2)


def convolve(
    parts: Sequence[Volume],
    layer: nn.Conv3d,
    *,
    norm: Norm | None = None,
    shift: Float[Tensor, "c"] | None = None,
    doubled: bool = False,
) -> Volume:
    """A convolution of the concatenated parts, after the norm and SiLU if there is one, plus
    `shift` per channel; of every voxel eight times if `doubled`."""
    kernel = Filter(layer, parts[0].dtype, shift=shift, doubled=doubled)
    scale = 2 if doubled else 1
    where = bounds(max(layer.in_channels // scale**3, layer.out_channels), parts[0], scale=scale)
    sources = slabs(parts, where, norm=norm, halo=kernel.halo)
    out = _empty(layer.out_channels, parts[0], scale=scale)
    for (start, stop), z in zip(where, sources, strict=True):
        kernel(z, out[:, :, scale * start : scale * stop])
    return out


def branched(
    parts: Sequence[Volume],
    layer: nn.Conv3d,
    skip: nn.Conv3d,
    *,
    norm: Norm,
    shift: Float[Tensor, "c"] | None = None,
) -> tuple[Volume, Volume]:
    """`convolve` by `layer`, and of the parts as they are by `skip`, in one pass. Of two parts the
    results take the place, as far as there is room for them."""
    sides = Filter(layer, parts[0].dtype, shift=shift), Filter(skip, parts[0].dtype)
    channels = layer.out_channels
    where = bounds(max(layer.in_channels, channels), parts[0])
    spare = sorted(parts, key=lambda part: part.shape[1]) if len(parts) > 1 else []
    room = [part[:, :channels] for part in spare if part.shape[1] >= channels]
    outs = [*room, *(_empty(channels, parts[0]) for _ in range(2 - len(room)))]
    normed = slabs(parts, where, norm=norm, halo=sides[0].halo)
    bare = slabs(parts, where, halo=sides[1].halo)
    for (start, stop), *sources in zip(where, normed, bare, strict=True):
        for side, z, out in zip(sides, sources, outs, strict=True):
            side(z, out[:, :, start:stop])
    return outs[0], outs[1]


def convolve_into(
    x: Volume,
    layer: nn.Conv3d,
    *,
    norm: Norm,
    where: Bounds,
    plus: Iterable[Volume],
    gain: float = 1.0,
) -> Volume:
    """x becomes slabs between bounds plus `gain` times its convolution after the norm and SiLU."""
    kernel = Filter(layer, x.dtype)
    sources = zip(where, slabs([x], where, norm=norm, halo=kernel.halo), plus, strict=True)
    for (start, stop), z, more in sources:
        kernel(z, out := x[:, :, start:stop])
        torch.add(more, out, alpha=gain, out=out)
    return x


def residual(
    parts: Sequence[Volume], first: Stage, second: Stage, skip: nn.Conv3d | None, gain: float = 1.0
) -> Volume:
    """The concatenated parts as they are or through `skip`, plus `gain` times two stages of them.
    Two parts may be written over."""
    norm, (norm_out, conv_out) = ready(parts, first[0]), second
    if skip is None:
        h = convolve(parts, first[1], norm=norm)
    else:
        h, *parts = branched(parts, first[1], skip, norm=norm)
    where = bounds(h.shape[1], h)
    norm, plus = ready([h], norm_out), slabs(parts, where)
    return convolve_into(h, conv_out, norm=norm, where=where, plus=plus, gain=gain)


class Filter:
    """A convolution of slabs that already have their halo."""

    def __init__(
        self,
        layer: nn.Conv3d,
        kind: torch.dtype,
        *,
        shift: Float[Tensor, "c"] | None = None,
        doubled: bool = False,
    ) -> None:
        assert layer.bias is not None
        bias, size = layer.bias if shift is None else layer.bias + shift, layer.kernel_size[0]
        self.halo, self.doubled, self.bias = size // 2, doubled, bias.to(kind)
        weight = _of_doubled(layer.weight) if doubled else layer.weight
        self.weight = weight.to(kind).contiguous(memory_format=LAST)
        self.wide = min(layer.in_channels, layer.out_channels) >= 32
        paired = size == 3 and kind.itemsize >= 4 and not doubled
        self.in_pairs = _of_pairs(self.weight) if paired else []

    def __call__(self, z: Volume, out: Volume) -> None:
        """Writes the slab without the halo."""
        if self.doubled:
            out.copy_(F.conv_transpose3d(z, self.weight, self.bias, stride=2, padding=(3, 1, 1)))
        elif self.in_pairs and z.shape[2] % 2 == 0 and (self.wide or z.numel() < SMALL):
            self._pairs(z[0].transpose(0, 1), out[0].transpose(0, 1))
        elif self.halo:
            out.copy_(F.conv3d(z, self.weight, self.bias, padding=(0, self.halo, self.halo)))
        else:  # a tenth of the time of a 1 x 1 x 1 convolution
            rows = F.linear(z.permute(0, 2, 3, 4, 1), self.weight.flatten(1), self.bias)
            out.copy_(rows.permute(0, 4, 1, 2, 3))

    def _pairs(self, z: Float[Tensor, "s c j k"], out: Float[Tensor, "t o j k"]) -> None:
        """Two slices by 4 convolutions in 2D instead of 6 (arXiv:1509.09308, eq. 5-6)."""
        a, b, c, d = z[0:-3:2], z[1:-2:2], z[2:-1:2], z[3::2]
        w, x, y, v = self.in_pairs
        both, apart = F.conv2d(b + c, x, self.bias, padding=1), F.conv2d(c - b, y, padding=1)
        torch.add(F.conv2d(a - c, w, padding=1).add_(both), apart, out=out[::2])
        torch.sub(both.sub_(apart), F.conv2d(b - d, v, padding=1), out=out[1::2])


def _of_pairs(weight: Float[Tensor, "o i 3 3 3"]) -> list[Float[Tensor, "o i 3 3"]]:
    """The four 2D convolutions that give two slices."""
    a, b, c = weight.unbind(2)
    planes = a, (a + b + c) / 2, (a - b + c) / 2, c
    return [plane.contiguous(memory_format=torch.channels_last) for plane in planes]


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
    where, kind = bounds(part.shape[1], part), torch.promote_types(part.dtype, torch.float32)
    found = part.new_empty((2, len(where), part.shape[1]), dtype=kind)  # at once: a small tensor
    for slab, (start, stop) in enumerate(where):  # per slab would keep its memory from being reused
        rows = part[:, :, start:stop].permute(0, 2, 3, 4, 1).flatten(0, 3).to(kind)
        torch.mean(rows, 0, out=found[0, slab])
        torch.mean((rows - found[0, slab]).square_(), 0, out=found[1, slab])
    means, spreads = found.double()
    share = means.new_tensor([stop - start for start, stop in where])[:, None] / part.shape[2]
    mean = (share * means).sum(0)
    return mean, (share * (spreads + (means - mean).square())).sum(0)


def _fill(z: Volume, parts: Sequence[Volume], where: slice, norm: Norm | None) -> None:
    """The slices of every part side by side, after the norm and SiLU if there is one."""
    at = 0
    for part in parts:
        x, to = part[:, :, where], at + part.shape[1]
        if isinstance(norm, Affine):
            _scale(x, norm.scale[at:to], norm.shift[at:to], out=z[:, at:to])
        else:
            z[:, at:to] = x
        at = to
    if isinstance(norm, nn.Module):
        z.copy_(norm(z))
    if norm is not None:
        F.silu(z, inplace=True)


def _scale(x: Volume, scale: Float[Tensor, "c"], shift: Float[Tensor, "c"], out: Volume) -> None:
    """out = scale x + shift, rounded once."""
    if x.dtype == scale.dtype:
        scale, shift = (each[None, :, None, None, None] for each in (scale, shift))
        torch.addcmul(shift, x, scale, out=out)
    else:  # bfloat16
        zero, one = torch.zeros_like(scale), torch.ones_like(scale)
        out.copy_(F.batch_norm(x, zero, one, scale, shift, eps=0.0))


def _empty(channels: int, like: Volume, *, depth: int | None = None, scale: int = 1) -> Volume:
    """Room for a volume of `scale` times the edges of `like`, or of `depth` slices."""
    i, j, k = like.shape[2:]
    shape = (1, channels, (depth or i) * scale, j * scale, k * scale)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=LAST)
