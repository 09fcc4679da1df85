"""Subjects and cohorts: who was scanned, where the images are, what is known about each.

A new way to find subjects is a reader that returns a Cohort, as those in `readers` and `bids`.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar, overload

from brainweave.data.grid import Grid
from brainweave.data.split import allot
from brainweave.data.table import SUFFIXES, missing, number, spelled, typed, write_table, written
from brainweave.errors import CohortError, OutputError
from brainweave.part import hint

RESERVED = ("id", "subject", "session", "split")
MODALITIES = ("t1w", "t1c", "t2w", "flair", "pd", "ct", "pet", "seg", "labels")
_ALIASES = {
    **dict.fromkeys(("t1", "t1n"), "t1w"),
    **dict.fromkeys(("t1ce", "t1gd"), "t1c"),
    **{"t2": "t2w", "t2f": "flair", "pdw": "pd"},
}

T = TypeVar("T")
Ranges = Mapping[str, tuple[float, float]]
Categories = Mapping[str, tuple[str, ...]]


def canonical_modality(name: str) -> str:
    """The one name of a contrast: T1, T1w and t1n are "t1w", t1ce is "t1c", FLAIR is "flair"."""
    lower = name.strip().lower()
    return _ALIASES.get(lower, lower)


def canonical_covariate(name: str) -> str:
    """The one name of a covariate: lower-case, and gender is "sex"."""
    lower = name.strip().lower()
    return "sex" if lower == "gender" else lower


@dataclass(frozen=True)
class Subject:
    """One scan of one person: a row of a cohort.

    subject: the person, who may have several scans; the id where it is not said.
    images: modality to path. covariates: a missing number is NaN, a missing text is absent.
    """

    id: str
    subject: str = ""
    session: str | None = None
    images: Mapping[str, Path] = field(default_factory=dict)
    covariates: Mapping[str, float | str] = field(default_factory=dict)
    split: str | None = None

    def __post_init__(self) -> None:
        if missing(self.id):
            raise CohortError(f"a subject's id is {self.id!r}; every scan needs an id of its own")
        images = _renamed(self.id, self.images, canonical_modality)
        covariates = _renamed(self.id, self.covariates, canonical_covariate)
        for name in RESERVED:
            if name in covariates:
                raise CohortError(f"subject {self.id!r}: {name!r} is no name for a covariate")
        object.__setattr__(self, "subject", self.subject or self.id)
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "covariates", covariates)


class Cohort(Sequence[Subject]):
    """Subjects in order. Every covariate has one type, the one that its CSV would read as.

    source: what errors name, such as the path of the table.
    """

    def __init__(self, subjects: Iterable[Subject], source: str = "cohort") -> None:
        self.subjects = _uniform(tuple(subjects))
        self.source = source

    @classmethod
    def open(cls, path: Path | str) -> "Cohort":
        """A CSV or TSV; a folder with cohort.csv; BIDS; BraTS; what `generate` made; a folder whose
        names carry ages. `cohort.csv:split=val,sex=F` keeps the rows with these values."""
        from brainweave.data.readers import open_cohort

        return open_cohort(Path(path))

    @classmethod
    def from_csv(cls, path: Path | str) -> "Cohort":
        """A table in FlowLet's format or in ours; see `readers.from_csv`."""
        from brainweave.data.readers import from_csv

        return from_csv(Path(path))

    @classmethod
    def from_folder(cls, path: Path | str, *, modality: str = "t1w") -> "Cohort":
        """A folder whose file names carry ages; see `readers.from_folder`."""
        from brainweave.data.readers import from_folder

        return from_folder(Path(path), modality=modality)

    @classmethod
    def from_bids(cls, root: Path | str) -> "Cohort":
        """The anatomical images of a BIDS dataset; see `bids.from_bids`."""
        from brainweave.data.bids import from_bids

        return from_bids(Path(root))

    @classmethod
    def from_brats(cls, root: Path | str) -> "Cohort":
        """The cases of a folder in BraTS names, of any year; see `brats.from_brats`."""
        from brainweave.data.brats import from_brats

        return from_brats(Path(root))

    @overload
    def __getitem__(self, index: int) -> Subject: ...
    @overload
    def __getitem__(self, index: slice) -> "Cohort": ...
    def __getitem__(self, index: int | slice) -> "Subject | Cohort":
        if isinstance(index, slice):
            return Cohort(self.subjects[index], self.source)
        return self.subjects[index]

    def __len__(self) -> int:
        return len(self.subjects)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cohort) and self.subjects == other.subjects

    def __repr__(self) -> str:
        return f"Cohort({len(self)} scans of {len({s.subject for s in self})} from {self.source})"

    @property
    def covariates(self) -> tuple[str, ...]:
        """The names of all covariates in order of appearance."""
        return tuple(dict.fromkeys(name for s in self for name in s.covariates))

    @property
    def modalities(self) -> tuple[str, ...]:
        """The names of all modalities in order of appearance."""
        return tuple(dict.fromkeys(name for s in self for name in s.images))

    def select(self, **equals: float | str | None) -> "Cohort":
        """The subjects whose columns have these values: select(split="train", sex="F").

        Numbers may be given as text; None selects what is missing.
        Raises CohortError for a column that nobody has.
        """
        wanted = {canonical_covariate(name): value for name, value in equals.items()}
        known = ["id", "subject", *self.covariates]
        known += [name for name in ("session", "split") if any(getattr(s, name) for s in self)]
        for name in wanted:
            if name not in known:
                raise CohortError(f"{self.source}: no column {name!r}{hint(name, known)}")
        chosen = (s for s in self if all(_equal(s, name, v) for name, v in wanted.items()))
        return Cohort(chosen, self.source)

    def split(self, fractions: Mapping[str, float], seed: int, by: str | None = "age") -> "Cohort":
        """The cohort with `Subject.split` drawn per person, every split over the range of `by`.

        A person with several scans has the mean number or the first text of theirs. The rows'
        order does not matter. Raises CohortError for fractions that do not sum to 1, for too few
        persons and for an unknown covariate; `by=None` draws without one.
        """
        if by is not None and (by := canonical_covariate(by)) not in self.covariates:
            known = hint(by, self.covariates) if self.covariates else "; there is none, use by=None"
            raise CohortError(f"{self.source}: no covariate {by!r} to split by{known}")
        persons: dict[str, list[float | str]] = {subject.subject: [] for subject in self}
        for subject in self:
            value = subject.covariates.get(by) if by else None
            if value is not None and not missing(value):
                persons[subject.subject].append(value)
        splits = allot(persons, fractions, seed)
        return Cohort((replace(s, split=splits[s.subject]) for s in self), self.source)

    def check(
        self,
        targets: str | tuple[str, ...],
        *,
        ranges: Ranges | None = None,
        categories: Categories | None = None,
        inputs: tuple[str, ...] = (),
        labels: tuple[str, ...] = (),
        every: bool = False,
    ) -> None:
        """Opens every header of `targets` and `inputs` and looks at every covariate named.

        inputs: modalities that a target is made from, on the same grid, `labels` among them label
        maps; every: all of them are needed.
        Raises CohortError with the first problem and how many more there are: an id used twice,
        a missing or unreadable image, a value out of its range or none of its categories, a
        covariate that everybody lacks. A value missing here and there is no problem, nor is a
        modality where there are several targets.
        """
        from brainweave.data.check import problems, refuse

        wanted = (targets,) if isinstance(targets, str) else targets
        found = problems(self, wanted, ranges or {}, categories or {}, inputs, labels, every)
        refuse(self.source, found)

    def grids(self, targets: str | tuple[str, ...]) -> dict[str, Grid]:
        """The geometry of every subject's first image of `targets`, by id.

        Raises CohortError as `check` does.
        """
        from brainweave.data.volume import read_grid

        self.check(targets)
        names = [
            canonical_modality(n) for n in ((targets,) if isinstance(targets, str) else targets)
        ]
        first = {s.id: next(s.images[name] for name in names if name in s.images) for s in self}
        return {name: read_grid(path) for name, path in first.items()}

    def to_csv(self, path: Path) -> None:
        """Writes the table that `from_csv` reads back as an equal cohort, paths relative to it.

        Raises OutputError for a name that does not end in .csv or .tsv.
        """
        if path.suffix.lower() not in SUFFIXES:
            raise OutputError(f"{path}: a cohort is written as .csv or .tsv")
        optional = [name for name in ("session", "split") if any(getattr(s, name) for s in self)]
        columns = ["id", "subject", *optional, *self.covariates, *self.modalities]
        rows = []
        for s in self:
            row = [s.id, s.subject, *(written(getattr(s, name)) for name in optional)]
            row += [written(s.covariates.get(name)) for name in self.covariates]
            row += [_relative(s.images.get(name), path.parent) for name in self.modalities]
            rows.append(row)
        write_table(path, columns, rows)


def _renamed(owner: str, values: Mapping[str, T], rename: Callable[[str], str]) -> dict[str, T]:
    renamed = {rename(name): value for name, value in values.items()}
    if len(renamed) < len(values):
        raise CohortError(f"subject {owner!r}: two of {', '.join(values)} mean the same")
    return renamed


def _uniform(subjects: tuple[Subject, ...]) -> tuple[Subject, ...]:
    """The subjects with one type per covariate."""
    names = dict.fromkeys(name for s in subjects for name in s.covariates)
    columns = {name: typed(name, [s.covariates.get(name) for s in subjects]) for name in names}
    rows = ({name: columns[name][row] for name in names} for row in range(len(subjects)))
    return tuple(
        replace(s, covariates={name: value for name, value in row.items() if value is not None})
        for s, row in zip(subjects, rows, strict=True)
    )


def _equal(subject: Subject, name: str, wanted: float | str | None) -> bool:
    """Whether a subject's column has the wanted value, compared as numbers or as texts."""
    value = getattr(subject, name) if name in RESERVED else subject.covariates.get(name)
    if wanted is None or missing(wanted) or missing(value):
        return missing(wanted) and missing(value)
    if isinstance(value, float):
        return value == (number(wanted.strip()) if isinstance(wanted, str) else wanted)
    return bool(value == spelled(name, written(wanted)))


def _relative(path: Path | None, folder: Path) -> str:
    """A path as seen from `folder` with its links followed, absolute from another drive."""
    if path is None:
        return "n/a"
    real = Path(os.path.realpath(path.parent)) / path.name
    try:
        return Path(os.path.relpath(real, os.path.realpath(folder))).as_posix()
    except ValueError:
        return str(real)
