"""One side of a comparison: volumes on a common grid with a common scale, loaded one by one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from brainweave.data.cohort import Cohort, Subject
from brainweave.data.files import digest, sha256
from brainweave.data.grid import Grid, Shape, Spacing
from brainweave.data.intensity import Fixed, Intensity, Percentiles
from brainweave.data.preprocess import Preprocess
from brainweave.data.volume import Volume
from brainweave.errors import CohortError, ShapeError, VolumeError
from brainweave.part import to_dict

Scale = Literal["auto", "shared", "volume"]
BRIGHT = 99.5  # percentile of a volume's foreground that counts as its brightest
EDGE = 0.05  # intensity above which a voxel of a volume in 0..1 is head, not background
_COMPARABLE = 1.5  # scales of two sides that differ by less are the same scale


@dataclass(frozen=True)
class Scans(Sequence[Subject]):
    """Subjects whose `modality` is read through one Preprocess: arrays in 0..1, background 0.

    name: "real", "made" or "train", as it is called in reports.
    """

    name: str
    subjects: tuple[Subject, ...]
    modality: str
    preprocess: Preprocess
    grid: Grid

    def __getitem__(self, index: int) -> Subject:  # type: ignore[override]
        return self.subjects[index]

    def __len__(self) -> int:
        return len(self.subjects)

    @property
    def persons(self) -> list[str]:
        """Who was scanned: what is resampled together."""
        return [subject.subject for subject in self.subjects]

    @property
    def paths(self) -> list[Path]:
        """The files, in order."""
        return [subject.images[self.modality] for subject in self.subjects]

    @cached_property
    def hashes(self) -> list[str]:
        """The SHA-256 of every file, read once."""
        return [sha256(path) for path in self.paths]

    @property
    def spacing(self) -> Spacing:
        """Voxel edges in mm."""
        return self.grid.spacing

    @property
    def digest(self) -> str:
        """The hash of how files become arrays."""
        return digest(to_dict(self.preprocess))

    def numbers(self, covariate: str) -> Float[np.ndarray, "n"]:
        """A covariate of every subject, NaN where it is not known or is a text."""
        values = [subject.covariates.get(covariate) for subject in self.subjects]
        return np.array([v if isinstance(v, float) else np.nan for v in values], dtype=float)

    def texts(self, covariate: str) -> list[str]:
        """A covariate of every subject, empty where it is not known or is a number."""
        values = [subject.covariates.get(covariate) for subject in self.subjects]
        return [value if isinstance(value, str) else "" for value in values]

    def words(self, covariate: str) -> list[str]:
        """A covariate of every subject as a text, numbers too; empty where it is not known."""
        pairs = zip(self.texts(covariate), self.numbers(covariate), strict=True)
        return [text or ("" if np.isnan(x) else f"{x:g}") for text, x in pairs]

    def load(self, index: int) -> Float[np.ndarray, "i j k"]:
        """A volume in 0..1, float32. Raises VolumeError naming the subject and the file."""
        subject = self.subjects[index]
        path = subject.images[self.modality]
        try:
            volume = Volume.load(path)
            if volume.data.min() == volume.data.max():
                raise VolumeError(f"every voxel is {volume.data.max():g}; leave it out")
            x, _ = self.preprocess(volume)
        except VolumeError as error:
            named = str(error) if str(path) in str(error) else f"{path}: {error}"
            raise VolumeError(f"{self.name}, subject {subject.id!r}: {named}") from error
        return x[0].numpy()

    def volumes(self) -> Iterator[Float[np.ndarray, "i j k"]]:
        """All volumes one after the other."""
        return (self.load(index) for index in range(len(self)))

    def volume(self, array: Float[np.ndarray, "i j k"]) -> Volume:
        """An array of this grid with its geometry."""
        import torch

        return Volume(torch.from_numpy(np.ascontiguousarray(array)).float(), self.grid.matrix)

    def take(self, indices: Sequence[int] | np.ndarray) -> "Scans":
        """Some of the scans."""
        return replace(self, subjects=tuple(self.subjects[int(index)] for index in indices))


def open_sides(
    cohorts: dict[str, Cohort],
    *,
    modality: str = "t1w",
    spacing: Spacing | None = None,
    shape: Shape | None = None,
    scale: Scale = "auto",
) -> tuple[dict[str, Scans], str]:
    """The sides of a comparison, by name, on one grid and one scale, and a sentence on the scale.

    The first cohort is the real one: its volumes decide the grid and the scale. spacing, shape:
        resample and crop or pad all volumes; without them all must have one grid.
    scale: "shared": one range of raw values for all, from the real volumes, so that a wrong overall
        brightness is seen; "volume": every volume by its own percentile; "auto": shared where the
        brightest values of the sides agree within a factor of 1.5.
    Raises CohortError for an empty or broken cohort, ShapeError where grids differ.
    """
    for name, cohort in cohorts.items():
        if not len(cohort):
            raise CohortError(f"{name}: {cohort.source} has no volumes")
    grid, shape = _grid(cohorts, modality, spacing, shape)
    tops = {name: _brightest(name, cohort, modality) for name, cohort in cohorts.items()}
    first = next(iter(tops.values()))
    alike = all(1 / _COMPARABLE < top / first < _COMPARABLE for top in tops.values())
    shared = alike if scale == "auto" else scale == "shared"
    intensity: Intensity = Percentiles(lower=0, upper=BRIGHT, low=0, high=1)
    said = (
        "Each volume was scaled by its own "
        f"{BRIGHT}th percentile of foreground: a wrong overall brightness cannot be seen"
    )
    if shared:
        intensity = Fixed(source_low=0, source_high=first, low=0, high=1)
        said = f"All volumes share one scale: raw {first:.6g}, the real ones' {BRIGHT}th, is 1"
    elif scale == "auto":
        values = ", ".join(f"{name} {top:.4g}" for name, top in tops.items())
        said += f" (the sides' raw scales are unrelated: {values})"
    preprocess = Preprocess(shape=shape, spacing=spacing, intensity=intensity)
    framed = preprocess.place(grid).grid
    sides = {
        name: Scans(name, cohort.subjects, modality, preprocess, framed)
        for name, cohort in cohorts.items()
    }
    return sides, said + "."


def _grid(
    cohorts: dict[str, Cohort], modality: str, spacing: Spacing | None, shape: Shape | None
) -> tuple[Grid, Shape]:
    """The grid of the first real volume and the shape to compare at."""
    first: tuple[str, Grid] | None = None
    for name, cohort in cohorts.items():
        for subject, grid in cohort.grids(modality).items():
            oriented = grid.oriented("RAS")
            whose = f"{name} {subject!r}"
            if first is None:
                first = whose, oriented
            elif not (spacing and shape) and not oriented.matches(first[1]):
                raise ShapeError(
                    f"{whose} lies on {_told(oriented)}, {first[0]} on {_told(first[1])}; "
                    "volumes are compared voxel by voxel on one grid: register them to one space, "
                    "or --spacing 2 --shape 80,96,80 resamples all about their centres"
                )
    assert first is not None
    return first[1], shape or first[1].shape


def _told(grid: Grid) -> str:
    edges = " x ".join(map(str, grid.shape))
    x, y, z = (round(float(mm), 2) for mm in grid.matrix[:3, 3])
    return f"{edges} voxels of {'x'.join(f'{mm:.3g}' for mm in grid.spacing)} mm from {x, y, z}"


def _brightest(name: str, cohort: Cohort, modality: str, looked: int = 40) -> float:
    """The median over volumes, evenly taken, of the brightest percentile of the foreground."""
    chosen = np.unique(
        np.linspace(0, len(cohort) - 1, min(looked, len(cohort))).round().astype(int)
    )
    tops = []
    for index in chosen:
        subject = cohort[int(index)]
        try:
            data = Volume.load(subject.images[modality]).data
            tops.append(Percentiles(lower=0, upper=BRIGHT).window(data)[1])
        except VolumeError as error:
            path = subject.images[modality]
            named = str(error) if str(path) in str(error) else f"{path}: {error}"
            raise VolumeError(f"{name}, subject {subject.id!r}: {named}") from error
    return float(np.median(tops))
