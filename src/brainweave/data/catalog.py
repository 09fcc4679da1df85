"""One cohort table from several folders, BIDS datasets and tables, or from OASIS-3."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from brainweave.data.cohort import Cohort, Subject, canonical_modality
from brainweave.data.oasis3 import from_oasis3
from brainweave.data.readers import open_cohort
from brainweave.errors import CohortError, OutputError

logger = logging.getLogger(__name__)


def catalog(
    inputs: Sequence[Path],
    out: Path,
    *,
    oasis3: Path | None = None,
    modality: str | None = None,
    overwrite: bool = False,
) -> Cohort:
    """The inputs as one cohort, written to `out` and returned.

    oasis3: its clinical table; then the inputs are folders of OASIS-3 images, and the cognitively
    normal are kept. modality: the one contrast to keep, and that of file names that do not say.
    Raises OutputError for an `out` that exists, CohortError for no subject or one found twice.
    """
    if out.exists() and not overwrite:
        raise OutputError(f"{out} exists; choose another name or allow overwriting")
    if not inputs:
        raise CohortError("nothing to catalog: name a folder or a table")
    if oasis3 is not None:
        cohort = from_oasis3(inputs, oasis3, modality=modality or "t1w")
    else:
        found = [open_cohort(path, modality=modality or "t1w", ignore=out) for path in inputs]
        cohort = Cohort(_joined(inputs, found), ", ".join(map(str, inputs)))
    if oasis3 is None and modality is not None:
        cohort = _only(cohort, canonical_modality(modality))
    if not cohort:
        raise CohortError(f"{cohort.source}: no subject is left for {out}")
    cohort.to_csv(out)
    return Cohort(cohort, str(out))


def _joined(inputs: Sequence[Path], cohorts: Sequence[Cohort]) -> list[Subject]:
    """All subjects; an id that several inputs use gets the input's name in front.

    `subject` stays: two inputs may hold one person, who must not be in two splits.
    """
    uses = Counter(name for cohort in cohorts for name in {s.id for s in cohort})
    subjects: list[Subject] = []
    owners: dict[Path, Path] = {}
    for path, cohort in zip(inputs, cohorts, strict=True):
        prefix = path.stem if path.is_file() else path.resolve().name
        for s in cohort:
            for image in s.images.values():
                if owners.setdefault(image, path) is not path:
                    raise CohortError(f"{image} is in both {owners[image]} and {path}; name one")
            subjects.append(replace(s, id=f"{prefix}_{s.id}") if uses[s.id] > 1 else s)
    for name, count in Counter(s.id for s in subjects).items():
        if count > 1:
            raise CohortError(f"id {name!r} is used {count} times; rename a folder or its subjects")
    return subjects


def _only(cohort: Cohort, modality: str) -> Cohort:
    """The cohort with the images of one contrast; who has none is logged and left out."""
    having = [s for s in cohort if modality in s.images]
    kept = [replace(s, images={modality: s.images[modality]}) for s in having]
    if len(kept) < len(cohort):
        logger.warning("%d of %d scans have no %s", len(cohort) - len(kept), len(cohort), modality)
    return Cohort(kept, cohort.source)
