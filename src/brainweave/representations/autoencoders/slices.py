"""What layers make of streams: convolutions, norms, other resolutions."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainweave import lean
from brainweave.representations.autoencoders.streams import Stream, Window, empty, layer


class Convolution:
    """A convolution that keeps the shape, or of every voxel eight times if `doubled`; after a
    measured norm, if there is one, and SiLU if `active`."""

    def __init__(
        self,
        conv: nn.Conv3d,
        *,
        norm: lean.Affine | None = None,
        active: bool = True,
        doubled: bool = False,
    ) -> None:
        self.conv, self.norm, self.active, self.doubled = conv, norm, active, doubled
        self.halo, self.scale = conv.kernel_size[0] // 2, 2 if doubled else 1
        self.filter: lean.Filter | None = None  # once there is something to convolve

    def __call__(self, source: Stream) -> Stream:
        window = Window(self.halo, self.halo, scale=self.scale)
        fill = None if self.norm is None else self._fill
        made = layer(source, self._work, self.conv.out_channels, window, fill)
        copies = 5 * self.conv.weight.nbytes // 2  # in the filter
        return replace(made, held=made.held + copies)

    def _work(self, z: Tensor) -> Tensor:
        if self.filter is None:
            self.filter = lean.Filter(self.conv, z.dtype, doubled=self.doubled)
        i, j, k = (self.scale * edge for edge in z.shape[2:])
        shape = (i - 2 * self.halo * self.scale, j, k)
        out = empty(z, self.conv.out_channels, shape)
        self.filter(z, out)
        return out

    def _fill(self, x: Tensor, z: Tensor) -> None:
        assert self.norm is not None
        scale, shift = (each[None, :, None, None, None] for each in self.norm)
        z.copy_(torch.addcmul(shift, x.to(scale.dtype), scale))
        if self.active:
            F.silu(z, inplace=True)


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
    return layer(
        source,
        lambda z: F.conv3d(F.pad(z, (0, 1, 0, 1)), weight, bias, stride=2),
        conv.out_channels,
        Window(after=1, step=2),
    )


def transposed(source: Stream, conv: nn.ConvTranspose3d) -> Stream:
    """A transposed convolution of stride 2, 2 wide, or 3 wide of which the first is left out."""
    weight, bias = _cast(conv, source)
    more = conv.kernel_size[0] - 2  # of the next slice

    def work(z: Tensor) -> Tensor:
        made = F.conv_transpose3d(z, weight, bias, stride=2, padding=more, output_padding=more)
        return made[:, :, : 2 * (z.shape[2] - more)]

    return layer(source, work, conv.out_channels, Window(after=more, scale=2))


def interpolated(source: Stream) -> Stream:
    """Twice the resolution, trilinearly."""
    return layer(
        source,
        lambda z: F.interpolate(z, scale_factor=2.0, mode="trilinear")[:, :, 2:-2],
        source.channels,
        Window(1, 1, scale=2, same=True),
    )


def _cast(conv: nn.Conv3d | nn.ConvTranspose3d, source: Stream) -> tuple[Tensor, Tensor]:
    """Weight and bias of the stream's type."""
    assert conv.bias is not None
    return conv.weight.to(source.like.dtype), conv.bias.to(source.like.dtype)
