"""Preprocessing: a volume on any grid becomes a tensor of one shape, and comes back.

Orient, resample, crop or pad, normalise; `restore` undoes each step in reverse.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field, field_validator, model_validator
from torch import Tensor
from torch.nn import functional

from brainweave.data.cohort import canonical_modality
from brainweave.data.grid import ORIENTATIONS, Grid, Route, Shape, Spacing, middle, route
from brainweave.data.intensity import Fixed, Intensity, Percentiles, Window
from brainweave.data.volume import Volume
from brainweave.errors import ShapeError
from brainweave.part import Part


class Frame(NamedTuple):
    """A box of the oriented and resampled grid: the index of its first voxel and its shape.

    It may reach beyond the grid, from negative indices on.
    """

    start: tuple[int, int, int]
    shape: Shape


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
    interpolation: "nearest" is for label maps.
    pad: "zero" fills with what background (raw 0) becomes, "edge" repeats the border voxels.
    intensities: those of modalities that have their own, such as CT in Hounsfield units beside MR:
        {"ct": {"part": "Fixed", "source_low": -1000, "source_high": 2000, "low": 0, "high": 1}}.
    """

    shape: Shape
    orientation: str = "RAS"
    spacing: Spacing | None = None
    intensity: Intensity = Percentiles()
    pad: Literal["zero", "edge"] = "zero"
    interpolation: Literal["linear", "nearest"] = "linear"
    intensities: dict[str, Intensity] = Field(default_factory=dict)

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

    @model_validator(mode="after")
    def _is_one_range(self) -> "Preprocess":
        for name, intensity in self.intensities.items():
            if canonical_modality(name) != name:
                raise ValueError(f"intensities: {name} is called {canonical_modality(name)}")
            if intensity.range != self.intensity.range:
                raise ValueError(
                    f"intensities: {name} goes from {intensity.low:g} to {intensity.high:g}, all "
                    f"others from {self.intensity.low:g} to {self.intensity.high:g}; give it "
                    "their low and high"
                )
        return self

    def __call__(
        self, volume: Volume, frame: Frame | None = None
    ) -> tuple[Float[Tensor, "1 i j k"], Placement]:
        """The tensor and its placement, with the window measured on the whole volume.

        frame: what to keep of the oriented and resampled volume in place of `shape` in its middle.
        Raises VolumeError where the intensity's window cannot be measured.
        """
        oriented, resampled = self._grids(volume.grid)
        frame = frame or self._middle(resampled)
        window = self.intensity.window(volume.data)
        data = _orient(volume.data, route(volume.orientation, self.orientation))
        data = _interpolate(data, oriented, resampled, self.interpolation)
        data = _frame(data, frame, self.intensity.background if self.pad == "zero" else None)
        x = self.intensity.apply(data, window)[None]
        return x, Placement(volume.grid, resampled.framed(frame.shape, frame.start), window)

    def place(self, grid: Grid, frame: Frame | None = None) -> Placement:
        """The placement of a volume on `grid` before its voxels are known; the window is 0 to 1,
        if it is not fixed."""
        _, resampled = self._grids(grid)
        frame = frame or self._middle(resampled)
        return Placement(grid, resampled.framed(frame.shape, frame.start), self.intensity.given)

    def restore(
        self, x: Float[Tensor, "1 i j k"], placement: Placement, frame: Frame | None = None
    ) -> Volume:
        """The volume of x on its source's grid and affine; what was cropped away is background.

        frame: the one that made the placement, if any. Without resampling the kept voxels return
        exactly, up to clipping and rounding of the intensity. Raises ShapeError for a tensor or
        placement of another preprocessing.
        """
        oriented, resampled = self._grids(placement.source)
        frame = frame or self._middle(resampled)
        framed = resampled.framed(frame.shape, frame.start)
        if framed != placement.grid or tuple(x.shape) != (1, *frame.shape):
            raise ShapeError(
                f"a tensor {tuple(x.shape)} placed on {placement.grid.shape} cannot be restored by "
                f"a preprocessing to {(1, *frame.shape)}; use the one that made the placement"
            )
        i, j, k = frame.start
        background = torch.tensor(self.intensity.background)
        background = self.intensity.apply(background, placement.window)
        data = _frame(x[0].float(), Frame((-i, -j, -k), resampled.shape), float(background))
        data = self.intensity.invert(data, placement.window)
        data = _interpolate(data, resampled, oriented, self.interpolation)
        data = _unorient(data, route(placement.source.orientation, self.orientation))
        return Volume(data, placement.source.matrix)

    def of(self, modality: str) -> "Preprocess":
        """The same with the intensities of one modality."""
        intensity = self.intensities.get(modality, self.intensity)
        return self.replace(intensity=intensity, intensities={})

    def shown(self) -> "Preprocess":
        """The same geometry for pictures: what is restored runs from 0 to 1."""
        low, high = self.intensity.range
        same = Fixed(source_low=0, source_high=1, low=low, high=high)
        return self.replace(intensity=same, intensities={})

    def of_labels(self) -> "Preprocess":
        """The same geometry for label maps: the nearest voxel's number (up to 65536) as it is."""
        same = Fixed(source_low=0, source_high=2**16, low=0, high=2**16)  # exact: a power of two
        return self.replace(intensity=same, intensities={}, interpolation="nearest", pad="zero")

    def working(self, source: Grid) -> Grid:
        """The oriented and resampled grid of a volume, which a `Frame` is a box of."""
        return self._grids(source)[-1]

    def middle(self, source: Grid) -> Frame:
        """The frame of `shape` about the middle of a volume's oriented and resampled grid."""
        return self._middle(self.working(source))

    def _grids(self, source: Grid) -> tuple[Grid, Grid]:
        """The grids after orienting and resampling."""
        oriented = source.oriented(self.orientation)
        return oriented, oriented.resampled(self.spacing) if self.spacing else oriented

    def _middle(self, grid: Grid) -> Frame:
        """The frame of `shape` about the middle of a grid."""
        return Frame(middle(grid.shape, self.shape), self.shape)


def _orient(data: Tensor, way: Route) -> Tensor:
    return data.permute(way.order).flip(way.flips)


def _unorient(data: Tensor, way: Route) -> Tensor:
    back = [way.order.index(axis) for axis in range(3)]
    return data.flip(way.flips).permute(back)


def _interpolate(data: Tensor, source: Grid, target: Grid, mode: str) -> Tensor:
    """Axis by axis between two grids with one centre; equal axes are not touched.

    Positions beyond the outermost voxel centres take its value.
    """
    edges = zip(source.spacing, target.spacing, strict=True)
    for axis, (old, new) in enumerate(edges):
        count, wanted = source.shape[axis], target.shape[axis]
        if count == wanted and abs(old - new) < 1e-6:
            continue
        steps = torch.arange(wanted, dtype=torch.float64, device=data.device) - (wanted - 1) / 2
        position = (steps * (new / old) + (count - 1) / 2).clamp(0, count - 1)
        if mode == "nearest":
            data = data.index_select(axis, (position + 0.5).floor().long().clamp(max=count - 1))
            continue
        below = position.floor().long()
        above = (below + 1).clamp(max=count - 1)
        weight = (position - below).to(data.dtype).view([-1 if a == axis else 1 for a in range(3)])
        data = torch.lerp(data.index_select(axis, below), data.index_select(axis, above), weight)
    return data


def _frame(data: Tensor, frame: Frame, fill: float | None) -> Tensor:
    """What a frame holds, beyond the data `fill` or (None) the border voxels."""
    margins: list[int] = []  # functional.pad wants the last axis first
    for axis, (start, size) in enumerate(zip(*frame, strict=True)):
        low, high = max(start, 0), min(start + size, data.shape[axis])
        margins = [low - start, start + size - high, *margins]
        data = data.narrow(axis, low, high - low)
    if fill is None:
        return functional.pad(data[None, None], margins, mode="replicate")[0, 0].contiguous()
    return functional.pad(data, margins, value=fill).contiguous()
