"""Shifts of single measures, in standard deviations of the real ones, beside their null."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from brainweave.errors import EvaluationError
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
) -> tuple[list[Score], list[str]]:
    """The shift of every column as `prefix/name`, and the columns that do not vary among the real
    volumes: where made ones differ there, the shift is in hundredths of the measure's own unit."""
    scores, flat = [], []
    for column, name in enumerate(names):
        single = {side: values[:, [column]] for side, values in vectors.items()}
        try:
            (score,) = bench.beside_null(prefix, single, metrics=["shift"])
        except EvaluationError:
            if np.ptp(single["real"]) > 0:
                raise
            flat.append(name)
            if single["made"].mean() != single["real"].mean():
                scores.append(_constant(f"{prefix}/{name}", single))
            continue
        scores.append(replace(score, name=f"{prefix}/{name}"))
    return scores, flat


def _constant(name: str, sides: Mapping[str, Vectors]) -> Score:
    """The shift of a measure that is one number in all real volumes, in hundredths."""
    value = float(sides["made"].mean() - sides["real"].mean()) / _UNIT
    return Score(name, value, n=len(sides["made"]), null_mean=0.0, null_sd=1.0, z=value)
