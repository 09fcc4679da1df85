"""The cognitively normal of OASIS-3: its clinical table joined with its images by session."""

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainweave.data.cohort import Cohort, Subject, canonical_modality
from brainweave.data.folder import is_nifti
from brainweave.data.table import missing, number, read_table, written
from brainweave.errors import CohortError

logger = logging.getLogger(__name__)

NORMAL = "Cognitively normal"
_COLUMNS = ("dx1", "list1_id", "ageAtVisit")
_SESSION = re.compile(r"(OAS3\d+)_MR_(d\d+)")
_NAME = re.compile(
    r"sub-(OAS3\d+)_sess?-(d\d+)((?:_[^_]+)*)_([A-Za-z0-9]+)\.nii(?:\.gz)?", re.IGNORECASE
)
_RUN = re.compile(r"_run-[A-Za-z0-9]+")

Session = tuple[str, str]  # as ("OAS30001", "d0129")


@dataclass(frozen=True)
class _Visit:
    diagnosis: str
    age: str


def from_oasis3(folders: Sequence[Path], clinical: Path, *, modality: str = "t1w") -> Cohort:
    """Images sub-OAS30001_ses-d0129[_run-01]_T1w.nii.gz below `folders` whose session's row in
    `clinical` has dx1 "Cognitively normal"; the age is ageAtVisit.

    What is left out, and which rows have no image, is counted in one logged warning.
    Raises CohortError for a table that lacks a column or contradicts itself, and for two images
    of one run.
    """
    visits, other_rows = _visits(clinical)
    subjects: dict[str, Subject] = {}
    seen: set[Session] = set()
    no_row = f"without a row in {clinical.name}"
    counts = {"of other diagnoses": 0, no_row: 0}
    for session, run, path in _images(folders, canonical_modality(modality)):
        seen.add(session)
        visit = visits.get(session)
        if visit is None or visit.diagnosis != NORMAL:
            counts[no_row if visit is None else "of other diagnoses"] += 1
            continue
        subject = _subject(session, run, visit.age, {canonical_modality(modality): path})
        if subject.id in subjects:
            both = " and ".join(str(*s.images.values()) for s in (subjects[subject.id], subject))
            raise CohortError(f"{both} are one run of {subject.id}; keep one of them")
        subjects[subject.id] = subject
    lost = sum(v.diagnosis == NORMAL and session not in seen for session, v in visits.items())
    left_out = ", ".join(f"{count} {why}" for why, count in counts.items())
    level = logging.WARNING if lost or other_rows or any(counts.values()) else logging.INFO
    logger.log(
        level,
        "OASIS-3: %d images kept; images left out: %s; rows %s without an image: %d; "
        "rows that name no MR session: %d",
        *(len(subjects), left_out, NORMAL, lost, other_rows),
    )
    ordered = sorted(subjects.values(), key=lambda subject: subject.id)
    return Cohort(ordered, f"{clinical} and {', '.join(map(str, folders))}")


def _visits(path: Path) -> tuple[dict[Session, _Visit], int]:
    """The visits by MR session, and the number of rows that name none."""
    table = read_table(path)
    columns = {name.lower(): name for name in table.columns}
    for name in _COLUMNS:
        if name.lower() not in columns:
            have = ", ".join(table.columns)
            raise CohortError(f"{path}: no column {name!r}, as OASIS-3 has; columns are {have}")
    visits: dict[Session, _Visit] = {}
    other = 0
    for line, record in zip(table.lines, table.records(), strict=True):
        diagnosis, label, age = (record[columns[name.lower()]] for name in _COLUMNS)
        match = _SESSION.fullmatch(label)
        if not match:
            other += 1
            continue
        if not missing(age) and number(age) is None:
            raise CohortError(f"{path}, line {line}: ageAtVisit {age!r} is no number")
        session, visit = (match[1], match[2]), _Visit(diagnosis, written(number(age)))
        if visits.setdefault(session, visit) != visit:
            raise CohortError(f"{path}, line {line}: another row says otherwise of {label}")
    return visits, other


def _images(folders: Sequence[Path], modality: str) -> Iterator[tuple[Session, str, Path]]:
    """Every image of the contrast with its session and run label ("" or "_run-01")."""
    found: set[Path] = set()
    for folder in folders:
        if not folder.is_dir():
            raise CohortError(f"{folder} is no folder; with an OASIS-3 table, name image folders")
        found.update(p for p in Path(os.path.realpath(folder)).rglob("*") if is_nifti(p.name))
    for path in sorted(found):
        match = _NAME.fullmatch(path.name)
        if match and canonical_modality(match[4]) == modality:
            run = _RUN.search(match[3])
            yield (match[1].upper(), match[2].lower()), run[0] if run else "", path


def _subject(session: Session, run: str, age: str, images: Mapping[str, Path]) -> Subject:
    person, visit = session
    covariates = {"age": age, "condition": "CN"}  # FlowLet's name and label
    return Subject(f"{person}_{visit}{run}", person, visit, images, covariates)
