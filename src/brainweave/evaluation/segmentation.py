"""Overlap of segmentations: Dice of label maps, and of the tumour's parts in BraTS.

A new convention is one row of `data.brats.ENHANCING`.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool, Int

from brainweave.data.brats import ENHANCING, convention
from brainweave.errors import CohortError, EvaluationError
from brainweave.evaluation.paired import Comparison, Row, load_labels, matched, summarise
from brainweave.evaluation.scans import Scans

Labels = Int[np.ndarray, "..."]
Parts = Mapping[str, tuple[int, ...]]

CONVENTIONS: dict[str, Parts] = {  # whole tumour, tumour core, enhancing tumour
    name: {"WT": (1, 2, label), "TC": (1, label), "ET": (label,)}
    for name, label in ENHANCING.items()
}
NEWEST = "2023"


def dice(a: Bool[np.ndarray, "..."], b: Bool[np.ndarray, "..."]) -> float:
    """2 |a and b| / (|a| + |b|); 1 where both are empty.

    BraTS scores a part that both sides lack as 1 too, and one that only one side has as 0.
    """
    if a.shape != b.shape:
        raise EvaluationError(f"shapes {a.shape} and {b.shape}: masks must lie on one grid")
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero(a & b) / total if total else 1.0


def label_dice(a: Labels, b: Labels) -> dict[int, float]:
    """Dice of every label above 0 that one of the maps has."""
    labels = np.union1d(np.unique(a), np.unique(b))
    return {int(label): dice(a == label, b == label) for label in labels if label > 0}


def find_convention(labels: Iterable[int]) -> str | None:
    """As `data.brats.convention`; raises EvaluationError where that raises CohortError."""
    try:
        return convention(labels)
    except CohortError as error:
        raise EvaluationError(str(error)) from None


def tumour_parts(labels: Labels, of: str) -> dict[str, Bool[np.ndarray, "..."]]:
    """Masks of whole tumour, tumour core and enhancing tumour: "WT", "TC", "ET".

    Raises EvaluationError for an unknown convention and for labels that are not of it.
    """
    if of not in CONVENTIONS:
        raise EvaluationError(f"no convention {of!r}; there are {', '.join(CONVENTIONS)}")
    parts = CONVENTIONS[of]
    if strange := np.setdiff1d(labels, (0, *parts["WT"])).tolist():
        raise EvaluationError(f"labels {strange} are not of {of}, which has {parts['WT']}")
    return {part: np.isin(labels, those) for part, those in parts.items()}


def tumour_dice(
    real: Labels, made: Labels, *, conventions: tuple[str, str] | None = None
) -> dict[str, float]:
    """Dice of "WT", "TC" and "ET". conventions: of real and made; None finds each from its labels.

    Raises EvaluationError as `find_convention` and `tumour_parts` do.
    """
    a, b = conventions or _agreed(np.unique(real).tolist(), np.unique(made).tolist())
    theirs = tumour_parts(made, b)
    return {part: dice(mask, theirs[part]) for part, mask in tumour_parts(real, a).items()}


def compare_segmentations(real: Scans, made: Scans, *, seed: int = 0) -> Comparison:
    """Dice of WT, TC and ET between the "seg" of pairs, names "dice WT"; intervals over persons.

    The convention of a side is found from all of its label maps. Notes say which, and how many
    cases score 1 because both sides are empty. Raises EvaluationError as `tumour_dice` does, and
    where ids do not pair.
    """
    pairs = list(matched(real, made))
    a, b = _agreed(_values(real, [i for i, _ in pairs]), _values(made, [j for _, j in pairs]))
    rows: list[Row] = []
    empty = dict.fromkeys(CONVENTIONS[a], 0)
    for index, partner in pairs:
        ours = tumour_parts(load_labels(real, index), a)
        theirs = tumour_parts(load_labels(made, partner), b)
        row: Row = {"id": real[index].id, "subject": real[index].subject}
        for part in ours:
            row[f"dice {part}"] = dice(ours[part], theirs[part])
            empty[part] += not (ours[part].any() or theirs[part].any())
        rows.append(row)
    scores, notes = summarise(rows, seed=seed)
    notes.append(f"Label conventions: {real.name} {a}, {made.name} {b}.")
    notes += [
        f"dice {part}: {count} of {len(rows)} cases have none on either side and count as 1."
        for part, count in empty.items()
        if count
    ]
    return Comparison(scores, rows, notes)


def _agreed(real: Iterable[int], made: Iterable[int]) -> tuple[str, str]:
    """The conventions of two sides; one without enhancing tumour takes the other's."""
    a, b = find_convention(real), find_convention(made)
    return a or b or NEWEST, b or a or NEWEST


def _values(scans: Scans, indices: Iterable[int]) -> set[int]:
    """All labels of a side."""
    return {int(v) for index in indices for v in np.unique(load_labels(scans, index))}
