"""Preprocessing: a volume on any grid becomes a tensor of one shape, and comes back.

Orient, resample, crop or pad, normalise; `restore` undoes each step in reverse.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import field_validator
from torch import Tensor
from torch.nn import functional

from brainweave.data.grid import ORIENTATIONS, Grid, Route, Shape, Spacing, first, route
from brainweave.data.intensity import Intensity, Percentiles, Window
from brainweave.data.volume import Volume
from brainweave.errors import ShapeError
from brainweave.part import Part


@dataclass(frozen=True)
class Placement:
    """Where a preprocessed tensor came from and lies: enough to put it back.

    source: the grid of the volume; grid: that of the tensor, whose affine maps its voxels to mm;
    window: the raw values that became the lowest and highest of the intensity's range.
    """

    source: Grid
    grid: Grid
    window: Window


class Preprocess(Part):
    """Brings volumes to one orientation, spacing, shape and range of intensities.

    orientation: one of the 48 codes, reached by flips and a permutation of axes; obliqueness stays.
    spacing: mm, reached by trilinear interpolation along the axes; None leaves voxels as they are.
        There is no low-pass before it: halving the resolution aliases what is finer than that.
    pad: "zero" fills with what raw 0 (background) becomes, "edge" repeats the border voxels.
    """

    shape: Shape
    orientation: str = "RAS"
    spacing: Spacing | None = None
    intensity: Intensity = Percentiles()
    pad: Literal["zero", "edge"] = "zero"

    @field_validator("shape", "spacing")
    @classmethod
    def _is_positive(cls, sizes: Shape | Spacing | None) -> Shape | Spacing | None:
        if sizes is not None and not min(sizes) > 0:
            raise ValueError("every axis must be above 0")
        return sizes

    @field_validator("orientation")
    @classmethod
    def _is_known(cls, code: str) -> str:
        if code not in ORIENTATIONS:
            raise ValueError("one letter each of L/R, P/A and I/S is needed, such as RAS")
        return code

    def __call__(self, volume: Volume) -> tuple[Float[Tensor, "1 i j k"], Placement]:
        """The tensor and its placement, with the window measured on the whole volume.

        Raises VolumeError where the intensity's window cannot be measured.
        """
        oriented, resampled, framed = self._grids(volume.grid)
        window = self.intensity.window(volume.data)
        data = _orient(volume.data, route(volume.orientation, self.orientation))
        data = _interpolate(data, oriented, resampled)
        data = _frame(data, self.shape, 0.0 if self.pad == "zero" else None)
        x = self.intensity.apply(data, window)[None]
        return x, Placement(volume.grid, framed, window)

    def place(self, grid: Grid) -> Placement:
        """The placement of a volume on `grid` before its voxels are known; the window is 0 to 1."""
        return Placement(grid, self._grids(grid)[-1], (0.0, 1.0))

    def restore(self, x: Float[Tensor, "1 i j k"], placement: Placement) -> Volume:
        """The volume of x on its source's grid and affine; what was cropped away is background.

        Without resampling the kept voxels return exactly, up to clipping and rounding of the
        intensity. Raises ShapeError for a tensor or placement of another preprocessing.
        """
        oriented, resampled, framed = self._grids(placement.source)
        if framed != placement.grid or tuple(x.shape) != (1, *self.shape):
            raise ShapeError(
                f"a tensor {tuple(x.shape)} placed on {placement.grid.shape} cannot be restored by "
                f"a preprocessing to {(1, *self.shape)}; use the one that made the placement"
            )
        background = self.intensity.apply(torch.zeros(()), placement.window)
        data = _frame(x[0].float(), resampled.shape, float(background))
        data = self.intensity.invert(data, placement.window)
        data = _interpolate(data, resampled, oriented)
        data = _unorient(data, route(placement.source.orientation, self.orientation))
        return Volume(data, placement.source.matrix)

    def _grids(self, source: Grid) -> tuple[Grid, Grid, Grid]:
        """The grids after orienting, resampling and framing."""
        oriented = source.oriented(self.orientation)
        resampled = oriented.resampled(self.spacing) if self.spacing else oriented
        return oriented, resampled, resampled.framed(self.shape)


def _orient(data: Tensor, way: Route) -> Tensor:
    return data.permute(way.order).flip(way.flips)


def _unorient(data: Tensor, way: Route) -> Tensor:
    back = [way.order.index(axis) for axis in range(3)]
    return data.flip(way.flips).permute(back)


def _interpolate(data: Tensor, source: Grid, target: Grid) -> Tensor:
    """Trilinear, axis by axis, between two grids with one centre; equal axes are not touched.

    Positions beyond the outermost voxel centres take its value.
    """
    edges = zip(source.spacing, target.spacing, strict=True)
    for axis, (old, new) in enumerate(edges):
        count, wanted = source.shape[axis], target.shape[axis]
        if count == wanted and abs(old - new) < 1e-6:
            continue
        steps = torch.arange(wanted, dtype=torch.float64, device=data.device) - (wanted - 1) / 2
        position = (steps * (new / old) + (count - 1) / 2).clamp(0, count - 1)
        below = position.floor().long()
        above = (below + 1).clamp(max=count - 1)
        weight = (position - below).to(data.dtype).view([-1 if a == axis else 1 for a in range(3)])
        data = torch.lerp(data.index_select(axis, below), data.index_select(axis, above), weight)
    return data


def _frame(data: Tensor, shape: Shape, fill: float | None) -> Tensor:
    """Crops or pads every axis about its middle, with `fill` or (None) the border voxels."""
    margins: list[int] = []  # functional.pad wants the last axis first
    for axis, (old, new) in enumerate(zip(data.shape, shape, strict=True)):
        start = first(old, new)
        data = data.narrow(axis, max(start, 0), min(old, new))
        before = max(-start, 0)
        margins = [before, max(new - old, 0) - before, *margins]
    if fill is None:
        return functional.pad(data[None, None], margins, mode="replicate")[0, 0].contiguous()
    return functional.pad(data, margins, value=fill).contiguous()
