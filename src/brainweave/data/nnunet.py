"""BraTS cases as a raw data set of nnU-Net v2, channels and labels as its own BraTS models have.

Labels: 1 is the oedema, 2 the necrotic core, 3 the enhancing tumour, trained as the nested regions
whole tumour, tumour core and enhancing tumour (its Dataset137_BraTS21).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainweave.data.brats import ENHANCING, IMAGES, NAMINGS, convention, from_brats
from brainweave.data.cohort import Cohort, Subject
from brainweave.data.files import write_json
from brainweave.data.fill import Copy, Planned, fill
from brainweave.data.grid import Grid
from brainweave.data.stream import pack
from brainweave.data.volume import Volume, read_grid
from brainweave.errors import CohortError, RecipeError
from brainweave.part import hint

REGIONS = {
    "background": 0,
    "whole tumor": [1, 2, 3],
    "tumor core": [2, 3],
    "enhancing tumor": [3],
}
_SAME = 1e-3  # mm between two affines' entries


@dataclass(frozen=True)
class Exported:
    """What an export holds; labels: the convention found, None without enhancing tumour."""

    training: int
    test: int
    labels: str | None


def export(data: Path, out: Path, *, labels: str | None = None) -> Exported:
    """Writes imagesTr, labelsTr, imagesTs (cases without label map) and dataset.json in `out`.

    Images keep their bytes, label maps their grid. labels: "2018" (4 is the enhancing tumour) or
    "2023" (3 is); None finds it from all label maps together. The same call goes on with an
    export that was stopped. Raises CohortError for a case without one of four images, images not
    on one grid and labels of no or two conventions, OutputError as `fill` does.
    """
    if labels is not None and labels not in ENHANCING:
        raise RecipeError(f"--labels {labels} is unknown{hint(labels, ENHANCING)}")
    cohort = from_brats(data)
    for subject in cohort:
        _require_complete(cohort, subject)
    maps = [s.images["seg"] for s in cohort if "seg" in s.images]
    labels = _agreed(maps, labels)
    files: dict[Path, Planned] = {Path("dataset.json"): _Json(_dataset(len(maps)))}
    for subject in cohort:
        files |= _case(subject, labels)
    fill(out, files, data=data)
    return Exported(len(maps), len(cohort) - len(maps), labels)


def _require_complete(cohort: Cohort, subject: Subject) -> None:
    """Raises CohortError unless a case has all channels on one grid."""
    if lacking := [name for name in IMAGES if name not in subject.images]:
        raise CohortError(
            f"{cohort.source}: {subject.id} has no {', '.join(lacking)}; nnU-Net needs all four, "
            "`brainweave complete` makes what is missing"
        )
    first, *others = subject.images.values()
    grid = read_grid(first)
    for path in others:
        other = read_grid(path)
        if not _one_grid(other, grid):
            raise CohortError(
                f"{path} ({other.shape}) and {first} ({grid.shape}) are not on one grid, which "
                "nnU-Net needs; register and resample them"
            )


def _one_grid(a: Grid, b: Grid) -> bool:
    return a.shape == b.shape and np.allclose(a.matrix, b.matrix, rtol=0, atol=_SAME)


def _agreed(maps: Iterable[Path], asked: str | None) -> str | None:
    """The one convention of all label maps, which must be the one that was asked for."""
    seen: dict[str, Path] = {}
    for path in maps:
        try:
            found = convention(_values(Volume.load(path)))
        except CohortError as error:
            raise CohortError(f"{path}: {error}") from None
        if found:
            seen.setdefault(found, path)
            has = f"{path} has label {ENHANCING[found]}"
            if asked and found != asked:
                raise CohortError(
                    f"{has}, which --labels {asked} does not know; --labels {found} does"
                )
            if len(seen) > 1:
                other = next(name for name in seen if name != found)
                raise CohortError(
                    f"{has} and {seen[other]} label {ENHANCING[other]}, both for the enhancing "
                    "tumour; export the two conventions apart"
                )
    return asked or next(iter(seen), None)


def _values(volume: Volume) -> set[float]:
    """The values that occur, the first of those that are none of 0 to 4."""
    data = volume.data
    known = {float(label) for label in range(5) if bool((data == label).any())}
    return known | set(data[~torch.isin(data, torch.arange(5.0))].unique()[:5].tolist())


def _case(subject: Subject, labels: str | None) -> dict[Path, Planned]:
    """The files of a case by their path in the export."""
    folder = "imagesTr" if "seg" in subject.images else "imagesTs"
    files: dict[Path, Planned] = {}
    for channel, modality in enumerate(IMAGES):
        source = subject.images[modality]
        packed = source.name.endswith(".gz")
        target = Path(folder, f"{subject.id}_{channel:04d}.nii.gz")
        files[target] = Copy(source) if packed else _Packed(source)
    if "seg" in subject.images:
        target = Path("labelsTr", f"{subject.id}.nii.gz")
        files[target] = _Labels(subject.images["seg"], labels)
    return files


def _dataset(training: int) -> dict[str, Any]:
    """dataset.json: https://github.com/MIC-DKFZ/nnUNet, documentation/dataset_format.md."""
    newest = NAMINGS[-1].suffixes
    return {
        "channel_names": {str(i): newest[name] for i, name in enumerate(IMAGES)},
        "labels": REGIONS,
        "regions_class_order": [1, 2, 3],
        "numTraining": training,
        "file_ending": ".nii.gz",
    }


@dataclass(frozen=True)
class _Packed(Planned):
    """The bytes of a plain NIfTI file, as gzip."""

    source: Path

    def write(self, path: Path) -> None:
        path.write_bytes(pack(path, self.source.read_bytes()))

    def same(self, path: Path) -> bool:
        return path.read_bytes() == pack(path, self.source.read_bytes())


@dataclass(frozen=True)
class _Labels(Planned):
    """A label map of BraTS in the labels of nnU-Net."""

    source: Path
    labels: str | None

    def write(self, path: Path) -> None:
        self._volume().save(path)

    def same(self, path: Path) -> bool:
        there, ours = Volume.load(path), self._volume()
        return _one_grid(there.grid, ours.grid) and torch.equal(there.data, ours.data)

    def _volume(self) -> Volume:
        volume = Volume.load(self.source)
        codes = torch.zeros(5)
        codes[1], codes[2] = 2, 1
        if self.labels:
            codes[ENHANCING[self.labels]] = 3
        return Volume(codes[volume.data.long()], volume.affine)


@dataclass(frozen=True)
class _Json(Planned):
    """A file of JSON, equal whatever the order of its keys."""

    content: dict[str, Any]

    def write(self, path: Path) -> None:
        write_json(path, self.content)

    def same(self, path: Path) -> bool:
        return bool(json.loads(path.read_text()) == self.content)
