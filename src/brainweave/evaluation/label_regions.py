"""FlowLet's table (arXiv:2601.05212, its _externals/ROI_metrics): labels of pairs of like age.

Real and made volumes are paired by rank of age, so the persons differ, and a good Dice or MAE says
"near the mean brain". Use it to compare with published tables, not to choose a model.

Where this departs from the original, on purpose: a label that is missing is left out of the means
over labels and counted, not entered as 0; a label that only the made map has is a row with Dice 0,
not ignored; sets of unequal size are refused, where the original takes the youngest of the longer.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from brainweave.errors import EvaluationError

Row = dict[str, Any]
Numbers = Float[np.ndarray, "_"]
LEVELS = 256  # of intensity, as FastSurfer's conformed volumes have
TINY = 1e-5  # the original's, in both places
NAMES = ("MAE", "MSE", "KLD")
COLUMNS = (*(f"{name} i" for name in NAMES), *(f"{name} u" for name in NAMES), "Dice")


class Labelled(NamedTuple):
    """A volume in 0..1, which becomes whole numbers of 0..255, and its label map; 0 is no label."""

    image: Float[np.ndarray, "i j k"]
    labels: Int[np.ndarray, "i j k"]


def rank_pairs(real_ages: Numbers, made_ages: Numbers) -> list[tuple[int, int]]:
    """Indices (real, made) in order of age: the youngest with the youngest.

    Raises EvaluationError for unequal numbers and for ages that are missing.
    """
    if len(real_ages) != len(made_ages) or not len(real_ages):
        raise EvaluationError(
            f"{len(real_ages)} real and {len(made_ages)} made volumes: pairing by rank of age "
            "needs as many of each; draw equal numbers over the same ages"
        )
    for side, ages in (("real", real_ages), ("made", made_ages)):
        if lacking := int(np.isnan(ages).sum()):
            raise EvaluationError(f"{lacking} {side} volumes have no age; leave them out")
    orders = (np.argsort(ages, kind="stable").tolist() for ages in (real_ages, made_ages))
    return list(zip(*orders, strict=True))


def label_rows(pairs: Iterable[tuple[Labelled, Labelled]]) -> Iterator[Row]:
    """One row per pair and label: "pair", "label", "MAE i" ... "Dice".

    i and u: over the intersection and the union of the two masks, None where it is empty.
    """
    for number, (real, made) in enumerate(pairs):
        shapes = {array.shape for array in (*real, *made)}
        if len(shapes) > 1:
            raise EvaluationError(f"pair {number}: shapes {sorted(shapes)}, one grid is needed")
        for row in _rows(real, made):
            yield {"pair": number, **row}


def means(rows: Sequence[Row]) -> dict[str, dict[str, tuple[float, float, int]]]:
    """Mean, SD and count by column: "global" over rows, "local" over the means of labels.

    SD as in the original: of a sample over rows, of a population over labels.
    """
    if not rows:
        raise EvaluationError("no pair has a label above 0; check the label maps")
    labels = sorted({row["label"] for row in rows})
    table: dict[str, dict[str, tuple[float, float, int]]] = {"global": {}, "local": {}}
    for column in COLUMNS:
        every = [row[column] for row in rows if row[column] is not None]
        by_label = [
            np.mean(own)
            for label in labels
            if (own := [r[column] for r in rows if r["label"] == label and r[column] is not None])
        ]
        if not every:
            continue
        spread = float(np.std(every, ddof=1)) if len(every) > 1 else 0.0
        table["global"][column] = (float(np.mean(every)), spread, len(every))
        local = float(np.mean(by_label)), float(np.std(by_label)), len(by_label)
        table["local"][column] = local
    return table


def flowlet_table(rows: Sequence[Row]) -> str:
    """The table as markdown, mean ± SD with the count, and what it must not be read as."""
    table = means(rows)
    pairs, labels = len({row["pair"] for row in rows}), len({row["label"] for row in rows})
    lines = [f"| | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, numbers in table.items():
        cells = [
            "{:.2f} ± {:.2f} (n {})".format(*numbers[column]) if column in numbers else "none"
            for column in COLUMNS
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        f"{pairs} pairs of unlike persons by rank of age, {labels} labels; intensities 0 to 255; "
        "i: intersection, u: union of the two masks; a label missing on one side has Dice 0 and no "
        "intersection, one missing on both is not counted.",
    ]
    return "\n".join(lines)


def _rows(real: Labelled, made: Labelled) -> Iterator[Row]:
    """All labels of one pair, by counting each voxel once."""
    a, b = real.labels.ravel(), made.labels.ravel()
    x, y = (_levels(side.image) for side in (real, made))
    labels = np.union1d(np.unique(a), np.unique(b))
    labels = labels[labels > 0]
    if not len(labels):
        return
    slot = np.zeros(int(labels[-1]) + 1, dtype=np.int64)
    slot[labels] = np.arange(1, len(labels) + 1)  # slot 0 gathers what has no label
    i, j = slot[np.maximum(a, 0)], slot[np.maximum(b, 0)]
    both, apart = i == j, i != j
    inner = _Numbers.of(i[both], x[both], y[both], len(labels))
    # a voxel whose labels differ lies in two unions
    outer = _Numbers.of(
        np.concatenate([i, j[apart]]),
        np.concatenate([x, x[apart]]),
        np.concatenate([y, y[apart]]),
        len(labels),
    )
    for index, label in enumerate(labels.tolist(), start=1):
        row: Row = {"label": label}
        for suffix, numbers in (("i", inner), ("u", outer)):
            row |= {f"{name} {suffix}": value for name, value in numbers.row(index).items()}
        shared, union = inner.voxels[index], outer.voxels[index]
        yield row | {"Dice": float(2 * shared / (shared + union))}


class _Numbers(NamedTuple):
    """Per slot: voxels, sums of errors, histograms of both volumes."""

    voxels: np.ndarray
    absolute: np.ndarray
    squared: np.ndarray
    real: np.ndarray
    made: np.ndarray

    @classmethod
    def of(cls, slots: np.ndarray, x: np.ndarray, y: np.ndarray, labels: int) -> "_Numbers":
        """Counts of voxels with these slots and intensities."""
        size = labels + 1
        error = (x - y).astype(np.float64)
        histograms = (
            np.bincount(slots * LEVELS + v, minlength=size * LEVELS).reshape(size, LEVELS)
            for v in (x, y)
        )
        return cls(
            np.bincount(slots, minlength=size),
            np.bincount(slots, np.abs(error), minlength=size),
            np.bincount(slots, error**2, minlength=size),
            *histograms,
        )

    def row(self, slot: int) -> dict[str, float | None]:
        """The three numbers of a slot, None without voxels."""
        voxels = self.voxels[slot]
        if not voxels:
            return dict.fromkeys(NAMES)
        p, q = self.real[slot] / voxels, self.made[slot] / voxels
        divergence = float((p * np.log2(p / (q + TINY) + TINY)).sum())
        return {
            "MAE": float(self.absolute[slot] / voxels),
            "MSE": float(self.squared[slot] / voxels),
            "KLD": divergence,
        }


def _levels(image: np.ndarray) -> np.ndarray:
    """0..1 as whole numbers of 0..255, flat."""
    top = LEVELS - 1
    return np.clip(np.rint(image.ravel() * top), 0, top).astype(np.int64)
