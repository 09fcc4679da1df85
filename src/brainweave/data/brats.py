"""BraTS: cohorts by its file names, the names themselves, and what its labels mean.

2018 to 2021: Brats18_x_t1ce.nii.gz. From 2023 on: BraTS-GLI-00000-000-t1c.nii.gz, of any cohort.
A new naming is one row of `NAMINGS`.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from brainweave.data.cohort import Cohort, Subject, canonical_modality
from brainweave.data.folder import carries_age, images_below
from brainweave.errors import CohortError
from brainweave.part import hint

logger = logging.getLogger(__name__)

_NAME = re.compile(
    r"(?P<case>.+?)(?P<separator>[_-])(?P<suffix>[a-z0-9]+)(?P<extension>\.nii(\.gz)?)"
)
_VISIT = re.compile(r"(?P<person>.+-\d{4,})-(?P<visit>\d+)")  # BraTS-GLI-00000-000


@dataclass(frozen=True)
class Naming:
    """How a case's files are named: case, separator, a suffix per canonical modality, extension."""

    separator: str
    suffixes: Mapping[str, str] = field(hash=False)
    extension: str = ".nii.gz"

    def name(self, case: str, modality: str) -> str:
        """The file of a case: "BraTS-GLI-00000-000-t1n.nii.gz" for "t1w".

        Raises CohortError for a modality that BraTS has no name for.
        """
        if modality not in self.suffixes:
            raise CohortError(f"{case}: BraTS names no {modality!r}{hint(modality, self.suffixes)}")
        return f"{case}{self.separator}{self.suffixes[modality]}{self.extension}"


NAMINGS = (
    Naming("_", {"t1w": "t1", "t1c": "t1ce", "t2w": "t2", "flair": "flair", "seg": "seg"}),
    Naming("-", {"t1w": "t1n", "t1c": "t1c", "t2w": "t2w", "flair": "t2f", "seg": "seg"}),
)
IMAGES = ("t1w", "t1c", "t2w", "flair")  # also the order of the channels of nnU-Net's BraTS models


@dataclass(frozen=True)
class BratsFile:
    """What a file's name says; modality is canonical, "seg" among them."""

    case: str
    modality: str
    naming: Naming


ENHANCING = {"2018": 4, "2023": 3}  # the label that changed, by a year that has it so


def from_brats(root: Path) -> Cohort:
    """The cases of a folder in BraTS names, at any depth, sorted; each has the images it has.

    The id is the case. One that ends in the number of a person, of four digits or more, and of a
    visit, as BraTS-GLI-00000-000, has `subject` BraTS-GLI-00000 and session "000". Other images
    are logged and left out. Raises CohortError where there is no case, for two files that are one
    image of a case and for one whose name nearly is: CASE_t1w.nii.gz beside CASE_flair.nii.gz.
    """
    cases: dict[str, dict[str, Path]] = {}
    others = []
    for path in images_below(root):
        if not (file := parse(path)):
            others.append(path)
            continue
        images = cases.setdefault(file.case, {})
        if file.modality in images:
            both = f"{images[file.modality]} and {path}"
            raise CohortError(f"{both} are both the {file.modality} of {file.case}; remove one")
        images[file.modality] = path
    if not cases:
        examples = " or ".join(naming.name("CASE", "t1c") for naming in NAMINGS)
        raise CohortError(f"{root}: no file is named as in BraTS, such as {examples}")
    for path in others:
        if (near := _almost(path)) and near[0] in cases:
            raise CohortError(
                f"{path} is not named as BraTS names {near[1]}: rename it, as "
                f"{' or '.join(naming.name(*near) for naming in NAMINGS)}, or give a table"
            )
    if others:
        logger.info("%s: %d other images are not used, as %s", root, len(others), others[0])
    return Cohort((_case(name, cases[name]) for name in sorted(cases)), str(root))


def is_brats(root: Path) -> bool:
    """Whether a folder holds BraTS: some case begins with BraTS, or every image is so named and
    some case has two contrasts. A folder with a name that carries an age is not BraTS."""
    paths = images_below(root)
    files = [parse(path) for path in paths]
    cases = Counter(file.case for file in files if file and file.modality in IMAGES)
    if not cases or any(map(carries_age, paths)):
        return False
    named = any(case.lower().startswith("brats") for case in cases)
    return named or (all(files) and max(cases.values()) > 1)


def convention(labels: Iterable[int | float]) -> str | None:
    """Which of `ENHANCING` label maps with these values follow: "2018" has 4, "2023" has 3.

    None where there is neither: then both say the same of what is left (1 the necrotic core, 2 the
    oedema). Raises CohortError for other values and for 3 beside 4, which BraTS up to 2016 and
    after treatment (2024) have, and by which they mean other things.
    """
    found = set(labels) - {0}
    if strange := sorted(found - {1, 2, 3, 4}):
        words = ", ".join(f"{label:g}" for label in strange)
        raise CohortError(f"labels {words} are none of BraTS (1, 2, and 3 or 4)")
    if {3, 4} <= found:
        raise CohortError(
            "labels 3 and 4 occur together; only one of them is the enhancing tumour from 2017 to "
            "2021 (4) and in 2023 (3); map them to one of these first"
        )
    return "2018" if 4 in found else "2023" if 3 in found else None


def parse(path: Path) -> BratsFile | None:
    """What the name of a BraTS file says; None for any other, BIDS names among them."""
    match = _NAME.fullmatch(path.name)
    if not match or match["case"].startswith(("sub-", ".")):
        return None
    for naming in NAMINGS:
        kinds = {suffix: modality for modality, suffix in naming.suffixes.items()}
        if match["separator"] == naming.separator and match["suffix"] in kinds:
            found = replace(naming, extension=match["extension"])
            return BratsFile(match["case"], kinds[match["suffix"]], found)
    return None


def _almost(path: Path) -> tuple[str, str] | None:
    """Case and contrast of a name that says them as others do."""
    match = _NAME.fullmatch(path.name)
    modality = canonical_modality(match["suffix"]) if match else ""
    return (match["case"], modality) if match and modality in IMAGES else None


def naming_of(path: Path) -> Naming | None:
    """The naming that a file follows, with its extension; None for a name that is not BraTS's."""
    file = parse(path)
    return file.naming if file else None


def _case(name: str, images: Mapping[str, Path]) -> Subject:
    """A case with its images in one order."""
    visit = _VISIT.fullmatch(name)
    return Subject(
        id=name,
        subject=visit["person"] if visit else name,
        session=visit["visit"] if visit else None,
        images={kind: images[kind] for kind in (*IMAGES, "seg") if kind in images},
    )
