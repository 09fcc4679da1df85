"""The part of a case that the network sees: the brain's box, on any grid."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch

from brainweave.data.grid import Grid, first
from brainweave.data.preprocess import Frame, Preprocess
from brainweave.data.volume import Volume

Fit = Literal["model", "box"]


class Box(NamedTuple):
    """Voxel indices along i, j, k: from `low` up to, not including, `high`."""

    low: tuple[int, int, int]
    high: tuple[int, int, int]


def frame_of(
    volumes: Sequence[Volume],
    preprocess: Preprocess,
    factors: tuple[int, int, int],
    fit: Fit = "model",
) -> Frame:
    """A frame of the oriented and resampled grid around all that is above 0 in any of `volumes`.

    fit: "model" keeps `preprocess.shape` in the middle as in training, moved where the brain would
    be cut; an axis on which the brain does not fit is as long as it, rounded up to a multiple of
    `factors`. "box" makes every axis so: less to compute. volumes: on one grid.
    """
    source = volumes[0].grid
    working = preprocess.working(source)
    box = _moved(foreground(volumes), source, working)
    axes = [
        _fitted(low, high, size, wanted if fit == "model" else 0, factor)
        for low, high, size, wanted, factor in zip(
            *box, working.shape, preprocess.shape, factors, strict=True
        )
    ]
    starts, sizes = zip(*axes, strict=True)
    return Frame(starts, sizes)


def foreground(volumes: Sequence[Volume]) -> Box:
    """The box of the voxels above 0 in any of the volumes; the whole grid where there are none."""
    inside = torch.stack([volume.data > 0 for volume in volumes]).any(0)
    low, high = [0, 0, 0], list(inside.shape)
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        found = inside.any(others[1]).any(others[0]).nonzero()
        if len(found):
            low[axis], high[axis] = int(found[0]), int(found[-1]) + 1
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def _moved(box: Box, source: Grid, target: Grid) -> Box:
    """The box of the target's voxels that interpolation reaches from inside a box of the source."""
    way = np.linalg.inv(target.matrix) @ source.matrix
    ends = [way @ (*np.subtract(box.low, 1), 1), way @ (*box.high, 1)]  # the first voxels outside
    below, above = np.minimum(*ends)[:3], np.maximum(*ends)[:3]
    low = np.floor(below + 1e-6).astype(int) + 1
    high = np.ceil(above - 1e-6).astype(int)
    i, j, k = (max(edge, 0) for edge in low.tolist())
    u, v, w = map(min, high.tolist(), target.shape)
    return Box((i, j, k), (u, v, w))


def _fitted(low: int, high: int, size: int, wanted: int, factor: int) -> tuple[int, int]:
    """Start and length along an axis of `size` voxels."""
    extent = high - low
    if extent > wanted:
        length = -(-extent // factor) * factor
        return low - (length - extent) // 2, length
    start = min(first(size, wanted), low)
    return max(start, high - wanted), wanted
