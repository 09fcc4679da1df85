"""What layers make of streams: convolutions, norms, other resolutions."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainweave import lean
from brainweave.representations.autoencoders.streams import Stream, Window, empty, layer

Path = Callable[[Stream], Stream]


def convolution(
    conv: nn.Conv3d,
    like: Tensor,
    *,
    norm: lean.Affine | None = None,
    active: bool = True,
    doubled: bool = False,
) -> Path:
    """A convolution that keeps the shape, or of every voxel eight times if `doubled`; after a
    measured norm, if there is one, and SiLU if `active`. like: as the stream's."""
    kernel = cache(lambda: lean.Filter(conv, like.dtype, doubled=doubled))
    halo, scale = conv.kernel_size[0] // 2, 2 if doubled else 1

    def work(z: Tensor) -> Tensor:
        i, j, k = z.shape[2:]
        out = empty(z, conv.out_channels, (scale * (i - 2 * halo), scale * j, scale * k))
        kernel()(z, out)
        return out

    def normed(x: Tensor, z: Tensor) -> None:
        assert norm is not None
        a, b = (each[None, :, None, None, None] for each in norm)
        z.copy_(torch.addcmul(b, x.to(a.dtype), a))
        if active:
            F.silu(z, inplace=True)

    def path(source: Stream) -> Stream:
        window = Window(halo, halo, scale=scale)
        made = layer(source, work, conv.out_channels, window, normed if norm else None)
        return replace(made, held=made.held + 5 * conv.weight.nbytes // 2)  # a filter's copies

    return path


def measured(source: Stream, norm: nn.GroupNorm) -> lean.Affine:
    """A norm of the whole stream, by one pass over it."""
    if source.like.is_meta:
        return lean.Affine(norm.weight, norm.bias)
    kind = torch.promote_types(source.like.dtype, torch.float32)
    found = source.like.new_empty((2, source.shape[0], source.channels), dtype=kind)
    shares = []
    for index, (start, stop, slab) in enumerate(source.slabs()):
        rows = slab.permute(0, 2, 3, 4, 1).flatten(0, 3).to(kind)
        torch.mean(rows, 0, out=found[0, index])
        torch.mean((rows - found[0, index]).square_(), 0, out=found[1, index])
        shares.append((stop - start) / source.shape[0])
    means, spreads = found[:, : len(shares)].double()
    share = means.new_tensor(shares)[:, None]
    mean = (share * means).sum(0)
    deviation = (share * (spreads + (means - mean).square())).sum(0).sqrt()
    pair = torch.stack([mean - deviation, mean + deviation], dim=1)  # two voxels stand for all
    affine = lean.measured([pair[None, :, :, None, None]], norm)
    return lean.Affine(affine.scale.to(kind), affine.shift.to(kind))


def halved(source: Stream, conv: nn.Conv3d) -> Stream:
    """A convolution of stride 2, 3 wide, with zeros behind the last slices only."""
    weight, bias = _cast(conv, source)

    def work(z: Tensor) -> Tensor:
        return F.conv3d(F.pad(z, (0, 1, 0, 1)), weight, bias, stride=2)

    return layer(source, work, conv.out_channels, Window(after=1, step=2))


def transposed(source: Stream, conv: nn.ConvTranspose3d) -> Stream:
    """A transposed convolution of stride 2, 2 wide or, with a padding of 1 on both sides, 3."""
    weight, bias = _cast(conv, source)
    after = conv.kernel_size[0] - 2

    def work(z: Tensor) -> Tensor:
        made = F.conv_transpose3d(z, weight, bias, stride=2, padding=after, output_padding=after)
        return made[:, :, : 2 * (z.shape[2] - after)]

    return layer(source, work, conv.out_channels, Window(after=after, scale=2))


def interpolated(source: Stream) -> Stream:
    """Trilinearly, twice the resolution."""

    def work(z: Tensor) -> Tensor:
        return F.interpolate(z, scale_factor=2.0, mode="trilinear")[:, :, 2:-2]

    return layer(source, work, source.channels, Window(1, 1, scale=2, same=True))


def _cast(conv: nn.Conv3d | nn.ConvTranspose3d, source: Stream) -> tuple[Tensor, Tensor]:
    """Weight and bias of the stream's type."""
    assert conv.bias is not None
    return conv.weight.to(source.like.dtype), conv.bias.to(source.like.dtype)
