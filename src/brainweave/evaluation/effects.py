"""Shifts of single measures, in standard deviations of the real ones, beside their null."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from brainweave.evaluation.base import Score, Vectors
from brainweave.evaluation.bench import Bench
from brainweave.evaluation.comparison import Made, Real, distribution

_UNIT = 0.01  # of measures that do not vary among real volumes


@distribution("shift", better="zero", by_default=False)
def shift(real: Real, made: Made) -> float:
    """How far the made mean lies above the real one, over all features; of standardised features
    of one column Cohen's d with the real standard deviation (Glass's delta)."""
    return float(np.mean(made) - np.mean(real))


def effects(
    bench: Bench, prefix: str, names: Sequence[str], vectors: Mapping[str, Vectors]
) -> list[Score]:
    """The shift of every column as `prefix/name`.

    A column that is one number in all real volumes has no standard deviation: where made ones
    differ, the shift is in hundredths of the measure's own unit, else there is no score.
    """
    scores = []
    for column, name in enumerate(names):
        single = {side: values[:, [column]] for side, values in vectors.items()}
        if np.ptp(single["real"]) > 0:
            (score,) = bench.beside_null(prefix, single, metrics=["shift"])
            scores.append(replace(score, name=f"{prefix}/{name}"))
        elif single["made"].mean() != single["real"].mean():
            scores.append(_constant(f"{prefix}/{name}", single))
    return scores


def _constant(name: str, sides: Mapping[str, Vectors]) -> Score:
    """The shift of a measure that is one number in all real volumes, in hundredths."""
    value = float(sides["made"].mean() - sides["real"].mean()) / _UNIT
    return Score(name, value, n=len(sides["made"]), null_mean=0.0, null_sd=1.0, z=value)
