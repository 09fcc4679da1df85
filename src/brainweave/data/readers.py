"""Cohorts from tables; `open_cohort` finds out what lies at a path.

Tables are FlowLet's (SubjectID, FilePath, Age, Condition) or ours: `id`, covariates, a column of
paths per modality, and `subject`, `session`, `split` where there are several scans or a split.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from brainweave.data.bids import from_bids
from brainweave.data.brats import from_brats, is_brats
from brainweave.data.cohort import (
    MODALITIES,
    RESERVED,
    Cohort,
    Subject,
    canonical_covariate,
    canonical_modality,
)
from brainweave.data.folder import contrast, from_folder, is_nifti, stem, unique
from brainweave.data.table import SUFFIXES, Table, missing, number, read_table
from brainweave.errors import CohortError

logger = logging.getLogger(__name__)


def open_cohort(
    path: Path, *, modality: str = "t1w", ignore: Path | None = None, ages: bool = True
) -> Cohort:
    """The cohort at `path`: a table, a folder with one, BIDS, BraTS, or names that carry ages.

    `cohort.csv:split=val,sex=F` keeps the rows with these values. modality: that of files in a
    folder whose names do not say. ignore: a table not to open. ages: file names must carry them.
    Raises CohortError for anything else.
    """
    whole, colon, words = str(path).rpartition(":")
    if colon and "=" in words and not path.exists():
        chosen = _selected(
            open_cohort(Path(whole), modality=modality, ignore=ignore, ages=ages), words
        )
        if not chosen:
            raise CohortError(f"{path}: nobody has these values; look at {whole}")
        return Cohort(chosen, str(path))
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return from_bids(path.parent) if path.name == "participants.tsv" else from_csv(path)
    if not path.is_dir():
        what = "is neither a table (.csv, .tsv) nor a folder" if path.exists() else "does not exist"
        raise CohortError(f"{path} {what}")
    return _open_folder(path, modality, ignore, ages)


def from_generated(path: Path) -> Cohort:
    """The participants.tsv of `brainweave generate`: a seed is a person, with heads of any age."""
    table = read_table(path)
    rows = []
    for record in table.records():
        name = record["file"]
        image = {contrast(stem(name)) or "t1w": _located(path, name)}
        facts = {k: v for k, v in record.items() if k not in ("participant_id", "file")}
        seed = f"seed-{facts['seed']}" if facts.get("seed") else ""
        rows.append(_subject(record["participant_id"], {**facts, "subject": seed}, image))
    return Cohort(rows, str(path.parent))


def from_csv(path: Path) -> Cohort:
    """A table in FlowLet's format or in ours; paths are relative to its folder.

    Columns of paths are those named after a modality and those whose values all end in .nii or
    .nii.gz. Raises CohortError for a table without ids or images, or two columns of one meaning.
    """
    table = read_table(path)
    lower = {name.lower(): name for name in table.columns}
    if "subjectid" in lower and "filepath" in lower:
        return _flowlet(table, lower["subjectid"], lower["filepath"])
    have = ", ".join(table.columns)
    if "id" not in lower:
        raise CohortError(f"{path}: no column 'id' nor SubjectID and FilePath; columns are {have}")
    images, covariates = _images_and_covariates(table)
    if not images:
        raise CohortError(f"{path}: no column of images, such as t1 with paths; columns are {have}")
    rows = []
    for line, record in zip(table.lines, table.records(), strict=True):
        if missing(name := record[lower["id"]]):
            raise CohortError(f"{path}, line {line}: no id")
        found = {images[c]: _located(path, record[c]) for c in images if not missing(record[c])}
        rows.append(_subject(name, {covariates[c]: record[c] for c in covariates}, found))
    return Cohort(rows, str(path))


def _open_folder(path: Path, modality: str, ignore: Path | None, ages: bool) -> Cohort:
    """The cohort of a folder, by what lies in it."""
    for table in (path / "cohort.csv", path / "participants.csv"):
        if table.is_file() and not (ignore and ignore.exists() and table.samefile(ignore)):
            if table.name == "cohort.csv" or _images_and_covariates(read_table(table))[0]:
                return from_csv(table)
            logger.info("%s names no images and is not used", table)
    if (made := path / "participants.tsv").is_file() and "file" in read_table(made).columns:
        return from_generated(made)
    if (path / "participants.tsv").is_file() or any(p.is_dir() for p in path.glob("sub-*")):
        return from_bids(path)
    if is_brats(path):
        return from_brats(path)
    return from_folder(path, modality=modality, ages=ages)


def _flowlet(table: Table, subject: str, path: str) -> Cohort:
    """FlowLet's table: a row per scan, T1-weighted where the file's name does not say."""
    covariates = _named(table, [name for name in table.columns if name not in (subject, path)])
    records, stems = table.records(), [stem(value) for value in table.column(path)]
    for line, record in zip(table.lines, records, strict=True):
        if missing(record[subject]):
            raise CohortError(f"{table.path}, line {line}: no SubjectID")
    pairs = zip(records, stems, strict=True)
    ids = unique(
        [(record[subject], *reversed(where.strip("/").split("/"))) for record, where in pairs]
    )
    rows = []
    for name, record, where in zip(ids, records, stems, strict=True):
        modality = canonical_modality(contrast(where) or "t1w")
        found = {} if missing(record[path]) else {modality: _located(table.path, record[path])}
        known = {covariates[column]: record[column] for column in covariates}
        rows.append(_subject(name, {**known, "subject": record[subject]}, found))
    return Cohort(rows, str(table.path))


def _selected(cohort: Cohort, words: str) -> Cohort:
    """The subjects with the values that "column=value,column=value" names."""
    pairs = [word.partition("=") for word in words.split(",")]
    for column, equals, _ in pairs:
        if not column or not equals:
            raise CohortError(f"{cohort.source}:{words} is not read as column=value,column=value")
    return cohort.select(**{column: value for column, _, value in pairs})


def _subject(name: str, row: Mapping[str, str], images: Mapping[str, Path]) -> Subject:
    """The subject of a row, whose covariates are still texts."""
    said = {key: value for key, value in row.items() if not missing(value)}
    return Subject(
        id=name,
        subject=said.get("subject", name),
        session=said.get("session"),
        images=images,
        covariates={key: value for key, value in row.items() if key not in RESERVED},
        split=said.get("split"),
    )


def _images_and_covariates(table: Table) -> tuple[dict[str, str], dict[str, str]]:
    """Columns of paths with their modality, and all others with their canonical name."""
    paths = [name for name in table.columns if _names_images(name, table.column(name))]
    images: dict[str, str] = {}
    for column in paths:
        modality = canonical_modality(column)
        if modality in images.values():
            both = [name for name in paths if canonical_modality(name) == modality]
            raise CohortError(f"{table.path}: columns {', '.join(both)} are all {modality!r}")
        images[column] = modality
    return images, _named(table, [name for name in table.columns if name not in paths])


def _names_images(column: str, fields: list[str]) -> bool:
    """Whether a column holds paths. One named pd or t1 that holds numbers is a covariate."""
    values = [field for field in fields if not missing(field)]
    if column.lower() in RESERVED or (values and all(number(v) is not None for v in values)):
        return False
    named = canonical_modality(column) in MODALITIES
    return named or (bool(values) and all(map(is_nifti, values)))


def _named(table: Table, columns: list[str]) -> dict[str, str]:
    """The canonical name of each column that does not hold paths."""
    named: dict[str, str] = {}
    for column in columns:
        name = canonical_covariate(column)
        if name in named.values():
            both = [other for other in columns if canonical_covariate(other) == name]
            raise CohortError(f"{table.path}: columns {', '.join(both)} are all {name!r}")
        named[column] = name
    return named


def _located(table: Path, field: str) -> Path:
    """A path as the table says it, its folder's links followed so that '..' means one place."""
    path = table.parent / field
    return Path(os.path.realpath(path.parent)) / path.name
