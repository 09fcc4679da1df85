"""Distances between real and made features beside what real volumes score among themselves.

A new metric is one function of two sets of vectors under `@distribution(name, better=...)`: it gets
its null, its interval and its rows of the report without further work.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Score, Vectors
from brainweave.evaluation.distribution import (
    Made,
    Real,
    frechet,
    frechet_infinity,
    kid,
    median_distance,
    mmd,
)
from brainweave.evaluation.neighbours import Neighbourhood, neighbourhoods
from brainweave.evaluation.nulls import Numbers, Pairs, Sets, draw, interval, share_error, spread

Better = Literal["lower", "higher", "zero"]
Features = Float[np.ndarray, "_ d"]
KS = (3, 5, 10)  # neighbours
FLAT = 1e-6  # standard deviation, in parts of the largest value, that counts as none

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Metric:
    """A registered distance: the numbers it gives and how to read them.

    better: which way is closer to the real ones. shares: those of `names` that are parts of 1.
    measure: (real, made) or, with `prepare`, (real, made, prepare(all real)) to one number or
    some of `names`.
    """

    names: tuple[str, ...]
    better: Better
    measure: Callable[..., float | Mapping[str, float]]
    prepare: Callable[[Vectors], Any] | None
    by_default: bool
    shares: frozenset[str]


METRICS: dict[str, Metric] = {}  # by the name of each number


def distribution(
    *names: str,
    better: Better,
    prepare: Callable[[Vectors], Any] | None = None,
    by_default: bool = True,
    shares: Iterable[str] = (),
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers a function of (real, made) vectors as a metric.

    prepare: what it needs to know of all real vectors, the same in every draw; given third.
    by_default: whether it is computed without being asked for.
    """

    def register(measure: Callable[..., Any]) -> Callable[..., Any]:
        metric = Metric(names, better, measure, prepare, by_default, frozenset(shares))
        METRICS.update(dict.fromkeys(names, metric))
        return measure

    return register


distribution("frechet", better="lower")(frechet)
distribution("frechet_infinity", better="lower", by_default=False)(frechet_infinity)
distribution("kid", better="lower")(kid)


@distribution("mmd", better="lower", prepare=median_distance)
def _mmd(real: Real, made: Made, bandwidth: float) -> float:
    return mmd(real, made, bandwidth=bandwidth)


@distribution(
    *(f"{name}@{k}" for k in KS for name in Neighbourhood._fields),
    better="higher",
    shares=(f"{name}@{k}" for k in KS for name in ("precision", "recall", "coverage")),
)
def _prdc(real: Real, made: Made) -> dict[str, float]:
    ks = [k for k in KS if k < min(len(real), len(made))]
    found = neighbourhoods(real, made, ks) if ks else {}
    return {f"{n}@{k}": x for k, four in found.items() for n, x in four._asdict().items()}


class Standardised(NamedTuple):
    """Features in units of the real ones' spread, and a sentence on those that had none."""

    real: Features
    made: Features
    said: str


def standardise(real: Real, made: Made) -> Standardised:
    """Both sides less the mean of all real vectors, over their standard deviation.

    A feature that does not vary among the real ones has no unit. Where made ones do not leave it
    either it is dropped; where they do it is kept, and counts as if it varied relative to its own
    size as the median feature does: a deviation is seen, and outweighs no other of its size.
    """
    real, made = np.asarray(real, float), np.asarray(made, float)
    mean, spread = real.mean(axis=0), real.std(axis=0, ddof=1)
    size = np.abs(real).max(axis=0)
    flat = spread <= FLAT * size
    if flat.all():
        raise EvaluationError(
            f"none of {len(size)} features varies among {len(real)} real volumes: "
            "look for one volume under many names, or take another extractor"
        )
    typical = float(np.median(spread[~flat] / size[~flat]))
    largest = np.maximum(size, np.abs(made).max(axis=0))
    left = np.abs(made - mean).max(axis=0) > FLAT * largest
    unit = np.where(flat, typical * largest, spread)
    kept = ~flat | left
    said = ""
    if flat.any():
        said = f"{flat.sum()} of {flat.size} features do not vary among the real volumes"
        said += f": {(flat & left).sum()} where made ones differ are kept, the rest dropped"
    return Standardised(
        (real - mean)[:, kept] / unit[kept], (made - mean)[:, kept] / unit[kept], said
    )


def compare(  # noqa: PLR0913 - two sides, each with its persons
    real: Real,
    made: Made,
    *,
    real_persons: Sequence[str],
    made_persons: Sequence[str],
    name: str,
    digest: str = "",
    metrics: Sequence[str] | None = None,
    draws: int = 50,
    seed: int = 0,
) -> list[Score]:
    """Every metric of standardised features at one number n of volumes a side, beside its null.

    n is half the real volumes, or all made ones where they are fewer. value: the mean over `draws`
    of n real against n made ones, drawn without replacement; null_mean: of n real against n others
    from disjoint halves; null_sd, low, high: `nulls.spread` and `nulls.interval`. Where nothing is
    wrong z has a standard deviation of 0.3 to 1.2 (a mean over draws varies less than one draw), so
    that it is cautious and `mmd_test` sees less; but among 24 volumes, or with far outliers,
    frechet and kid may still reach 5.

    What a metric cannot measure at n volumes, such as 10 neighbours, is left out.
    metrics: names among METRICS; without them all that are computed by default.
    Raises EvaluationError for fewer than 4 real persons, unknown metrics and features that are not
    finite or do not vary.
    """
    _check("real", real, real_persons)
    _check("made", made, made_persons)
    sets = draw(real_persons, made_persons, draws=draws, seed=seed)
    wanted = [key for key, metric in METRICS.items() if metric.by_default]
    wanted = wanted if metrics is None else list(metrics)
    if unknown := [key for key in wanted if key not in METRICS]:
        raise EvaluationError(f"no metric {unknown[0]!r}; there are {', '.join(METRICS)}")
    real, made, said = standardise(real, made)
    if said:
        _log.warning("%s: %s", name, said)
    scores = {}
    for metric in dict.fromkeys(METRICS[key] for key in wanted):
        for key, numbers in _measure(metric, real, made, sets).items():
            scores[key] = _score(f"{name}/{key}", digest, sets, numbers, key in metric.shares)
    return [scores[key] for key in wanted if key in scores]


def _check(side: str, vectors: np.ndarray, persons: Sequence[str]) -> None:
    if len(vectors) != len(persons):
        raise EvaluationError(f"{len(vectors)} {side} vectors of {len(persons)} persons")
    if not np.isfinite(vectors).all():
        row = int(np.nonzero(~np.isfinite(vectors).all(axis=1))[0][0])
        raise EvaluationError(f"the features of {side} {persons[row]!r} are not finite")


def _measure(metric: Metric, real: np.ndarray, made: np.ndarray, sets: Sets) -> dict[str, Numbers]:
    """The numbers of a metric by name, over all sets."""
    known = () if metric.prepare is None else (metric.prepare(real),)

    def over(pairs: Pairs, others: np.ndarray) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        for left, right in pairs:
            result = metric.measure(real[left], others[right], *known)
            named = result if isinstance(result, Mapping) else {metric.names[0]: result}
            for key, number in named.items():
                found.setdefault(key, []).append(float(number))
        return found

    across, within, fewer = over(sets.across, made), over(sets.within, real), over(sets.fewer, real)
    same = bool(sets.halved) and len(sets.halved[0][1]) == sets.n
    halved = across if same else over(sets.halved, made)
    return {
        key: Numbers(numbers, halved.get(key, []), within[key], fewer.get(key, []))
        for key, numbers in across.items()
    }


def _score(name: str, digest: str, sets: Sets, numbers: Numbers, share: bool) -> Score:
    value, null = float(np.mean(numbers.across)), float(np.mean(numbers.within))
    low, high = interval(numbers) or (None, None)
    deviation = spread(numbers, sets)
    if share:
        deviation = max(deviation, share_error(null, sets.n))
        low, high = (None if end is None else min(max(end, 0.0), 1.0) for end in (low, high))
    z = (value - null) / deviation if deviation > 0 else None
    return Score(name, value, low, high, sets.n, null, deviation, z, digest)
