"""Passes over a volume in pieces: exact where every place is treated alike, else blended.

An autoencoder says what its passes need (`Way`) and how far they look (`halo`); `within` keeps to a
bound of memory. Shapes and halos are in voxels of what goes in, and whole blocks of them where
`scale` is below 1.
"""

import itertools
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.errors import ShapeError
from brainweave.representations.autoencoders.base import Shape
from brainweave.representations.base import exact

SPREAD = 0.125  # of the weights of blended tiles, in edges of a tile, as in MONAI

Scale = tuple[Fraction, Fraction, Fraction]  # edges of what comes out over those of what goes in
Volumes = Float[Tensor, "b _ _ _ _"]
Run = Callable[[Tensor], Tensor]
Needs = Callable[[Shape], int]

_log = logging.getLogger(__name__)


class Way(NamedTuple):
    """A pass over volumes, and the bytes that it keeps beside its input and output for one of so
    many voxels."""

    run: Run
    needs: Needs


def within(
    x: Volumes,
    memory: int,
    ways: Sequence[Way],
    *,
    halo: Shape | None,
    scale: Scale,
    blend: bool = True,
) -> Volumes:
    """The first way that keeps to `memory` bytes, volume after volume; if there is none, tiles of
    the last: exact ones if the `halo` is known, else blended ones. 0: the first way, unbounded.

    Raises ShapeError if not even the smallest tile fits, or only blended ones would and they are
    not to `blend`.
    """
    if not memory:
        return ways[0].run(x)
    i, j, k = x.shape[2:]
    fitting = (way for way in ways if way.needs((i, j, k)) <= memory)
    if (way := next(fitting, None)) is not None:
        return torch.cat([way.run(volume) for volume in x.split(1)])
    run, needs = ways[-1]
    if halo is None and not blend:
        raise ShapeError(
            f"nothing exact fits into {memory / 2**30:.2f} GiB for a volume of {i} x {j} x {k}, as "
            f"norms are over whole volumes; {needs((i, j, k)) / 2**30:.2f} GiB are needed"
        )
    tile = _fitting((i, j, k), memory, needs, halo=halo, scale=scale)
    if halo is not None:
        return torch.cat([tiled(run, v, tile=tile, halo=halo, scale=scale) for v in x.split(1)])
    return torch.cat([blended(run, v, tile=tile, scale=scale) for v in x.split(1)])


def tiled(run: Run, x: Volumes, *, tile: Shape, halo: Shape, scale: Scale) -> Volumes:
    """What `run` makes of x, a tile after the other, each with `halo` voxels around it of what is
    there. Exact, if no output depends on inputs further away nor on its place: where the volume
    ends what is run ends too, and pads itself as the whole would. All pieces have one shape."""
    i, j, k = x.shape[2:]
    sizes, out = _pieces((i, j, k), tile, halo), None
    for place in _places(x, tile):
        axes = zip(place, halo, sizes, (i, j, k), strict=True)
        starts = [min(max(p.start - h, 0), edge - size) for p, h, size, edge in axes]
        around = [slice(start, start + size) for start, size in zip(starts, sizes, strict=True)]
        made = run(x[:, :, around[0], around[1], around[2]])
        out = _room(made, x, scale) if out is None else out
        inner = [slice(p.start - a, p.stop - a) for p, a in zip(place, starts, strict=True)]
        out[_scaled(place, scale)] = made[_scaled(inner, scale)]
    assert out is not None
    return out


def blended(run: Run, x: Volumes, *, tile: Shape, scale: Scale, overlap: float = 0.5) -> Volumes:
    """Means of what `run` makes of tiles that overlap by a share of their edges, weighted by a
    Gaussian about the middle of each. Not what it makes of the whole, if norms are taken over it:
    says so once."""
    _warn()
    blocks = zip(tile, scale, strict=True)
    i, j, k = (max(1, round(t / s.denominator * (1 - overlap))) * s.denominator for t, s in blocks)
    total = weights = None
    for place in _places(x, tile, step=(i, j, k)):
        made = exact(run(x[:, :, place[0], place[1], place[2]]))
        share, at = _gaussian(made), _scaled(place, scale)
        if total is None or weights is None:
            total = _room(made, x, scale).zero_()
            weights = torch.zeros_like(total[:1, :1])
        total[at] += made * share
        weights[at] += share
    assert total is not None
    assert weights is not None
    return total.div_(weights)


def _places(x: Volumes, tile: Shape, *, step: Shape | None = None) -> Iterator[list[slice]]:
    """Tiles that cover a volume: side by side, or all of them whole and a step apart at most."""
    axes = []
    for axis, (edge, size) in enumerate(zip(x.shape[2:], tile, strict=True)):
        firsts, last = range(0, edge, size), max(edge - size, 0)
        starts = firsts if step is None else [*range(0, last, step[axis]), last]
        axes.append([slice(start, min(start + size, edge)) for start in starts])
    return map(list, itertools.product(*axes))


def _pieces(whole: Shape, tile: Shape, halo: Shape) -> Shape:
    """What a tile needs around it: nothing where the whole ends."""
    axes = zip(whole, tile, halo, strict=True)
    i, j, k = (min(t + h * min(2, (edge - 1) // t), edge) for edge, t, h in axes)
    return i, j, k


def _scaled(place: Sequence[slice], scale: Scale) -> tuple[slice, ...]:
    """The same place in what comes out, as an index."""
    where = (slice(int(p.start * s), int(p.stop * s)) for p, s in zip(place, scale, strict=True))
    return (slice(None), slice(None), *where)


def _room(made: Tensor, x: Volumes, scale: Scale) -> Tensor:
    edges = [int(edge * s) for edge, s in zip(x.shape[2:], scale, strict=True)]
    return made.new_empty((len(x), made.shape[1], *edges))


def _gaussian(like: Tensor) -> Float[Tensor, "i j k"]:
    axes = []
    for edge in like.shape[2:]:
        at = torch.arange(edge, device=like.device) - (edge - 1) / 2
        axes.append(torch.exp(-0.5 * (at / (SPREAD * edge)).square()))
    return torch.einsum("i,j,k->ijk", *axes).clamp(min=1e-3).to(like.dtype)


def _fitting(whole: Shape, memory: int, needs: Needs, *, halo: Shape | None, scale: Scale) -> Shape:
    """Of the tiles that fit those with the least work, or the fewest if they are blended."""

    def piece(tile: Shape) -> Shape:
        return _pieces(whole, tile, halo or (0, 0, 0))

    def work(tile: Shape) -> int:
        count = math.prod(math.ceil(edge / t) for edge, t in zip(whole, tile, strict=True))
        return count * (math.prod(piece(tile)) if halo else 1)

    blocks = [(edge // s.denominator, s.denominator) for edge, s in zip(whole, scale, strict=True)]
    sizes = [sorted({unit * math.ceil(n / m) for m in range(1, n + 1)}) for n, unit in blocks]
    tiles: list[Shape] = [(i, j, k) for i, j, k in itertools.product(*sizes)]
    fitting = [tile for tile in tiles if needs(piece(tile)) <= memory]
    if not fitting:
        raise ShapeError(
            f"the smallest tile needs {needs(piece(tiles[0])) / 2**20:,.0f} MiB and memory is "
            f"bounded to {memory / 2**20:,.0f} MiB; raise the bound"
        )
    return min(fitting, key=work)


@lru_cache
def _warn() -> None:
    _log.warning(
        "the volume is passed in overlapping tiles that are blended: an approximation, since the "
        "autoencoder's norms are taken over whole volumes; more memory makes it exact"
    )
