"""Cohorts from folders whose file names carry ages, and what else a file's name says."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from brainweave.data.cohort import Cohort, Subject, canonical_modality
from brainweave.errors import CohortError

_NIFTI = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
_AGE = re.compile(r"[_-]AGE[_-](\d+\.\d+|\d+)(?=([_-]\d+(?=[_-]|$))|[_-]|$)", re.IGNORECASE)
_SEX = re.compile(r"[_-]SEX[_-](male|female|m|f)(?=[_-]|$)", re.IGNORECASE)
_PERSON = re.compile(r"(?:^|[/_-])(sub-[A-Za-z0-9]+)")
_SESSION = re.compile(r"(?:^|[/_-])(ses-[A-Za-z0-9]+)")
# short names count only at the end: t2 may be a visit, CT a control, PD a diagnosis
_CONTRAST = re.compile(
    r"(?:^|[/_-])(t1w|t1ce|t1gd|t2w|flair)(?=[/_-]|$)|[_-](t1|t1n|t1c|t2|t2f|pd|ct|pet|seg|labels)$",
    re.IGNORECASE,
)


def from_folder(root: Path, *, modality: str = "t1w", ages: bool = True) -> Cohort:
    """Images below `root` whose names carry ages, as x_AGE_65.3.nii.gz or sub-01_age-65_sex-F.nii.

    modality: that of names without a contrast such as _T2w or _FLAIR; names equal but for the
    contrast are one subject. The person is `sub-XXX`, else what precedes AGE. ages: every name
    must carry one; without, the age is not known where it does not.
    Raises CohortError where there are no images, or some whose name lacks the age it needs.
    """
    scans: dict[str, dict[str, Path]] = {}
    for path in _aged(root) if ages else images_below(root):
        where = stem(path.relative_to(os.path.realpath(root)).as_posix())
        kind = canonical_modality(contrast(where) or modality)
        images = scans.setdefault(_CONTRAST.sub("", where), {})
        if kind in images:
            raise CohortError(f"{images[kind]} and {path} are one {kind} twice; remove one")
        images[kind] = path
    ids = unique([tuple(reversed(where.strip("/").split("/"))) for where in scans])
    found = zip(ids, scans.items(), strict=True)
    return Cohort((_scan(name, where, images) for name, (where, images) in found), str(root))


def images_below(root: Path) -> list[Path]:
    """The .nii and .nii.gz files at any depth of a folder, hidden ones left out, links followed to
    its top. Raises CohortError where there is none."""
    if not root.is_dir():
        raise CohortError(f"{root} is no folder")
    top = Path(os.path.realpath(root))
    paths = [path for path in sorted(top.rglob("*")) if is_nifti(path.name)]
    paths = [path for path in paths if not _hidden(path.relative_to(top)) and not path.is_dir()]
    if not paths:
        raise CohortError(f"{root}: no .nii or .nii.gz file below this folder")
    return paths


def carries_age(path: Path) -> bool:
    """Whether a file's name says an age, as x_AGE_65.3.nii.gz."""
    return _AGE.search(stem(path.name)) is not None


def is_nifti(path: str) -> bool:
    """Whether a name ends in .nii or .nii.gz."""
    return _NIFTI.search(path) is not None


def stem(path: str) -> str:
    """A path without .nii or .nii.gz."""
    return _NIFTI.sub("", path)


def contrast(path: str) -> str | None:
    """The contrast that a path without its extension names, such as T1w; the last of several."""
    matches = [match[1] or match[2] for match in _CONTRAST.finditer(path)]
    return matches[-1] if matches else None


def unique(labels: Sequence[Sequence[str]]) -> list[str]:
    """Each label's first part, with as many of its further parts as tell it from the others."""
    ids = [parts[0] for parts in labels]
    for depth in range(2, 1 + max(map(len, labels), default=0)):
        counts = Counter(ids)
        pairs = zip(ids, labels, strict=True)
        ids = ["_".join(parts[:depth]) if counts[name] > 1 else name for name, parts in pairs]
    return ids


def _aged(root: Path) -> list[Path]:
    """The images below a folder, each with one readable age in its name."""
    paths = images_below(root)
    ageless = [path for path in paths if not carries_age(path)]
    if ageless:
        raise CohortError(
            f"{root}: {len(ageless)} of {len(paths)} files have no age in their name, the first is "
            f"{ageless[0]}; name them x_AGE_65.3.nii.gz or list them in a cohort.csv"
        )
    for path in paths:
        match = _AGE.search(stem(path.name))
        # FlowLet's own preparation writes 48.87 as AGE_48_87 and reads it back as 48
        if match and match[2] and "." not in match[1]:
            decimal = f"{match[1]}.{match[2][1:]}"
            raise CohortError(
                f"{path}: age {match[1]} or {decimal}? write AGE_{decimal}, or run-01"
            )
    return paths


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _scan(name: str, where: str, images: Mapping[str, Path]) -> Subject:
    """What the name of a scan says; `where` is its path without contrast and extension."""
    label = where.rpartition("/")[2]
    age, sex = _AGE.search(label), _SEX.search(label)
    person, session = _PERSON.search(where), _SESSION.search(where)
    covariates = {"age": float(age[1])} if age else {}
    before = label[: age.start()].strip("_-") if age else ""
    return Subject(
        id=name.strip("_-"),
        subject=person[1] if person else before,
        session=session[1] if session else None,
        images=images,
        covariates={**covariates, **({"sex": sex[1]} if sex else {})},
    )
