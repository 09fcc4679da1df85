"""Shifts of single measures, in standard deviations of the real ones, beside their null."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Score, Vectors
from brainweave.evaluation.bench import Bench
from brainweave.evaluation.comparison import Made, Real, distribution


@distribution("shift", better="zero", by_default=False)
def shift(real: Real, made: Made) -> float:
    """How far the made mean lies above the real one, over all features; of standardised features
    of one column Cohen's d with the real standard deviation (Glass's delta)."""
    return float(np.mean(made) - np.mean(real))


def effects(
    bench: Bench, prefix: str, names: Sequence[str], vectors: Mapping[str, Vectors]
) -> tuple[list[Score], list[str]]:
    """The shift of every column as `prefix/name`, and the columns that do not vary anywhere."""
    scores, flat = [], []
    for column, name in enumerate(names):
        single = {side: values[:, [column]] for side, values in vectors.items()}
        try:
            (score,) = bench.beside_null(prefix, single, metrics=["shift"])
        except EvaluationError:
            if np.ptp(single["real"]) > 0:
                raise
            flat.append(name)
            continue
        scores.append(replace(score, name=f"{prefix}/{name}"))
    return scores, flat
