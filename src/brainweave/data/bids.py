"""Cohorts from BIDS datasets: a walk over anat folders, participants.tsv and sessions.tsv."""

import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from brainweave.data.cohort import (
    RESERVED,
    Cohort,
    Subject,
    canonical_covariate,
    canonical_modality,
)
from brainweave.data.table import missing, read_table
from brainweave.errors import CohortError

logger = logging.getLogger(__name__)

_NAME = re.compile(
    r"(?P<subject>sub-[A-Za-z0-9]+)(?:_(?P<session>ses-[A-Za-z0-9]+))?"
    r"(?P<entities>(?:_[A-Za-z0-9]+-[^_]+)*)_(?P<suffix>[A-Za-z0-9]+)\.nii(?:\.gz)?"
)
_CONTRAST_AGENT = re.compile(r"_ce-[^_]+")
_MODALITIES = ("t1w", "t1c", "t2w", "flair", "pd")
_PLACES = ("sub-*/anat/sub-*", "sub-*/ses-*/anat/sub-*", "sub-*")  # the last for flat folders

Facts = dict[str, str]


@dataclass(frozen=True)
class _Image:
    """variant: the entities that tell scans of one session apart, such as run-1 or acq-fast."""

    path: Path
    subject: str
    session: str | None
    variant: str
    modality: str


def from_bids(root: Path) -> Cohort:
    """The T1w, T2w, FLAIR, T1c and PDw images of a BIDS dataset (or of a flat folder so named).

    Each run of a session is a subject's entry of its own; what the session holds only once
    belongs to each. `_ce-` makes T1w "t1c". Values of sessions.tsv win over participants.tsv.
    Participants without images are logged, images without participant have no covariates.
    Raises CohortError where there are no images or a table contradicts itself.
    """
    if not root.is_dir():
        raise CohortError(f"{root} is no folder")
    top = Path(os.path.realpath(root))
    participants = _facts(top / "participants.tsv", "participant_id", "sub-")
    sessions: dict[tuple[str, str | None], list[_Image]] = defaultdict(list)
    for image in _images(top):
        sessions[image.subject, image.session].append(image)
    if not sessions:
        raise CohortError(f"{root}: no sub-*/[ses-*/]anat/sub-*_T1w.nii.gz or other contrast in it")
    without = sorted(set(participants) - {person for person, _ in sessions})
    if without:
        names = ", ".join(without)
        logger.info("%s: %d participants without images: %s", root, len(without), names)
    return Cohort(_subjects(top, participants, sessions), str(root))


def _images(root: Path) -> Iterator[_Image]:
    for path in sorted(path for place in _PLACES for path in root.glob(place)):
        match = _NAME.fullmatch(path.name)
        if not match:
            continue
        modality, variant = canonical_modality(match["suffix"]), match["entities"]
        if modality == "t1w" and _CONTRAST_AGENT.search(variant):
            modality, variant = "t1c", _CONTRAST_AGENT.sub("", variant)
        if modality in _MODALITIES:
            yield _Image(path, match["subject"], match["session"], variant, modality)


def _subjects(
    root: Path,
    participants: Mapping[str, Facts],
    sessions: Mapping[tuple[str, str | None], list[_Image]],
) -> Iterator[Subject]:
    visits: dict[str, dict[str, Facts]] = {}
    for (person, session), images in sorted(sessions.items(), key=lambda item: _order(item[0])):
        if person not in visits:
            table = root / person / f"{person}_sessions.tsv"
            visits[person] = _facts(table, "session_id", "ses-")
        visit = visits[person].get(session or "", {})
        said = {name: value for name, value in visit.items() if not missing(value)}
        facts = {**participants.get(person, {}), **said}
        covariates = {_free(name): value for name, value in facts.items() if name != "split"}
        split = facts.get("split")
        name = f"{person}_{session}" if session else person
        for variant, found in _runs(images).items():
            yield Subject(
                id=name + variant,
                subject=person,
                session=session,
                images=found,
                covariates=covariates,
                split=None if missing(split) else split,
            )


def _order(key: tuple[str, str | None]) -> tuple[str, str]:
    return key[0], key[1] or ""


def _runs(images: list[_Image]) -> dict[str, dict[str, Path]]:
    """The images of one session by variant; one entry "" where no modality comes twice."""
    counts = Counter(image.modality for image in images)
    once = {image.modality: image.path for image in images if counts[image.modality] == 1}
    runs: dict[str, dict[str, Path]] = {}
    for image in images:
        if counts[image.modality] > 1:
            run = runs.setdefault(image.variant, dict(once))
            if image.modality in run:
                raise CohortError(f"{run[image.modality]} and {image.path} are one scan twice")
            run[image.modality] = image.path
    return runs or {"": once}


def _facts(path: Path, key: str, prefix: str) -> dict[str, Facts]:
    """A BIDS table's rows by participant or session, with canonical names; {} without a file."""
    if not path.is_file():
        return {}
    table = read_table(path)
    if key not in table.columns:
        raise CohortError(f"{path}: no column {key!r}; columns are {', '.join(table.columns)}")
    names = {name: canonical_covariate(name) for name in table.columns if name != key}
    if len(set(names.values())) < len(names):
        raise CohortError(f"{path}: two of the columns {', '.join(names)} mean the same")
    rows: dict[str, Facts] = {}
    for line, record in zip(table.lines, table.records(), strict=True):
        label = prefix + record[key].removeprefix(prefix)
        if label in rows:
            raise CohortError(f"{path}, line {line}: a second row for {label}")
        rows[label] = {names[name]: record[name] for name in names}
    return rows


def _free(name: str) -> str:
    """A covariate's name that is none of a subject's own fields."""
    return f"participant_{name}" if name in RESERVED else name
