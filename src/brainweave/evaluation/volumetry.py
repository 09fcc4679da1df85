"""What volumes of regions say about two sides: differences in ml, and how they change with age."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Score, bootstrap, halves, subsets

Table = Float[np.ndarray, "n r"]
Numbers = Float[np.ndarray, "n"]
FEWEST = 20  # real volumes for a band over age, and for halves of at least ten
_RANGE = 5.0  # years
FEWEST_MADE = 5  # made volumes within the real ages
_SMALLEST = 1e-3  # ml; what an empty region counts as on the log scale of the bands
_QUANTILE = 1.959964  # of the normal distribution, for 95 %
_AGES = 5  # different ages that a parabola needs
_GRID = 61  # ages at which a band is drawn


@dataclass(frozen=True)
class Aged:
    """The regions of one side: ml per scan and region, ages (NaN: not known), persons."""

    ml: Float[np.ndarray, "n r"]
    ages: Float[np.ndarray, "n"]
    persons: Sequence[str]

    @property
    def logs(self) -> Float[np.ndarray, "n r"]:
        """Log ml."""
        return np.log(np.maximum(self.ml, _SMALLEST))

    def take(self, chosen: Bool[np.ndarray, "n"] | Int[np.ndarray, "_"]) -> "Aged":
        """Some of the scans, by a mask or by indices."""
        persons = [self.persons[row] for row in np.arange(len(self.persons))[chosen]]
        return Aged(self.ml[chosen], self.ages[chosen], persons)


@dataclass(frozen=True)
class AgeCurve:
    """One region against age: the real 95 % band, both sides' points and what they say.

    ages, mean, low, high: the band, in years and ml. share: made volumes inside the band; its null
    is the same of real ones that were not fitted to. slope: ml per decade of the made ones; its
    null is the slope of the real ones.
    """

    region: str
    ages: Float[np.ndarray, "g"]
    mean: Float[np.ndarray, "g"]
    low: Float[np.ndarray, "g"]
    high: Float[np.ndarray, "g"]
    real: Float[np.ndarray, "n 2"]
    made: Float[np.ndarray, "m 2"]
    share: Score
    slope: Score


def compare_regions(
    real: Float[np.ndarray, "n r"],
    made: Float[np.ndarray, "m r"],
    names: Sequence[str],
    real_persons: Sequence[str],
    made_persons: Sequence[str],
    *,
    draws: int = 400,
    seed: int = 0,
) -> list[Score]:
    """Two scores per region: "anatomy/NAME/wasserstein" in ml and "anatomy/NAME/effect".

    Wasserstein: the 1-D distance between equal numbers of both sides, as many as half of the real
    ones or all made ones, mean over draws; it is above 0 for two real halves, which is its null.
    Effect: Cohen's d, made - real, of all volumes; its null is that of real halves, its spread
    brought to these numbers. Raises EvaluationError for too few or unmeasured volumes.
    """
    _require(real, made, names)
    size = min(len(real) // 2, len(made))
    if size < FEWEST // 2:
        raise EvaluationError(
            f"{len(real)} real and {len(made)} made volumes: regions are compared in halves of "
            f"{size}, {FEWEST // 2} are needed; give more volumes"
        )
    pairs = list(halves(real_persons, draws=draws, seed=seed))
    null = np.array([_distance(real[a[:size]], real[b[:size]]) for a, b in pairs])
    null_effect = np.array([_effect(real[a], real[b]) for a, b in pairs])
    null_effect *= np.sqrt((1 / len(real) + 1 / len(made)) / (2 / len(pairs[0][0])))
    ours = subsets(real_persons, size, draws=draws, seed=seed + 1)
    theirs = subsets(made_persons, size, draws=draws, seed=seed + 2)
    value = np.mean([_distance(real[a], made[b]) for a, b in zip(ours, theirs, strict=True)], 0)
    spread, effects = [], []
    for a, b in zip(
        _resampled(real_persons, draws, seed + 3),
        _resampled(made_persons, draws, seed + 4),
        strict=True,
    ):
        spread.append(_distance(real[a], made[b]))
        effects.append(_effect(real[a], made[b]))
    # resampling adds to a distance what it adds to its spread: only the spread is taken
    around = value + np.array(spread) - np.mean(spread, axis=0)
    effect = _effect(real, made)
    scores = []
    for r, name in enumerate(names):
        parts = (value[r], np.maximum(around[:, r], 0), null[:, r], size)
        scores.append(_score(f"anatomy/{name}/wasserstein", *parts))
        parts = (effect[r], np.array(effects)[:, r], null_effect[:, r], min(len(real), len(made)))
        scores.append(_score(f"anatomy/{name}/effect", *parts))
    return scores


def ageing(
    real: Aged, made: Aged, names: Sequence[str], *, draws: int = 300, seed: int = 0
) -> list[AgeCurve]:
    """Every region against age: a parabola of log ml with its 95 % prediction band.

    Log ml, because spread grows with size. Volumes without an age are left out, and made ones
    beyond the real ages, where a parabola knows nothing; the scores' n says how many stayed.
    Intervals and nulls resample persons, and the null is the share of real volumes in the bands of
    draws that they are not in. Raises EvaluationError for under 20 real or 5 made volumes left.
    """
    _require(real.ml, made.ml, names)
    real = real.take(np.isfinite(real.ages))
    different = np.unique(real.ages).size
    if len(real.ages) < FEWEST or different < _AGES:
        raise EvaluationError(
            f"{len(real.ages)} real volumes of {different} ages: a band over age needs {FEWEST} "
            f"volumes of {_AGES} ages or more"
        )
    first, last = float(real.ages.min()), float(real.ages.max())
    made = made.take((made.ages >= first) & (made.ages <= last))  # False for NaN
    if len(made.ages) < FEWEST_MADE:
        raise EvaluationError(
            f"{len(made.ages)} made volumes have an age of {first:g} to {last:g} years, as the "
            f"real ones; {FEWEST_MADE} are needed to compare ageing"
        )
    if np.ptp(made.ages) < _RANGE:
        raise EvaluationError(
            f"made volumes are all about {made.ages.mean():.0f} years old: ageing takes ages at "
            f"least {_RANGE:g} years apart"
        )
    band = _Band.fit(real.ages, real.logs)
    inside = band.holds(made.ages, made.logs).mean(axis=0)
    null, shares = _shares(real, made, draws, seed)
    grid = np.linspace(first, last, _GRID)
    mean, half = band.at(grid)
    curves = []
    for r, name in enumerate(names):
        label = f"anatomy/{name}/in band"
        share = _score(label, inside[r], shares[:, r], null[:, r], len(made.ages))
        under, middle, over = (np.exp(mean[:, r] + side * half[:, r]) for side in (-1, 0, 1))
        ours, theirs = (np.stack([side.ages, side.ml[:, r]], axis=1) for side in (real, made))
        slope = _slope(name, r, real, made, seed=seed)
        curves.append(AgeCurve(name, grid, middle, under, over, ours, theirs, share, slope))
    return curves


@dataclass(frozen=True)
class _Band:
    """Parabolas of all regions at once and the spread about them."""

    centre: float
    scale: float
    inverse: Float[np.ndarray, "3 3"]
    coefficients: Float[np.ndarray, "3 r"]
    deviation: Float[np.ndarray, "r"]

    @classmethod
    def fit(cls, ages: Numbers, values: Table) -> "_Band":
        centre, scale = float(ages.mean()), float(max(ages.std(), 1e-6))
        x = np.vander((ages - centre) / scale, 3)
        inverse = np.linalg.pinv(x.T @ x)
        coefficients = inverse @ x.T @ values
        left = ((values - x @ coefficients) ** 2).sum(axis=0) / max(len(ages) - 3, 1)
        return cls(centre, scale, inverse, coefficients, np.sqrt(left))

    def at(self, ages: Float[np.ndarray, "g"]) -> tuple[Table, Table]:
        """The mean and half the width of the prediction interval."""
        x = np.vander((ages - self.centre) / self.scale, 3)
        leverage = np.sqrt(1 + np.einsum("gi,ij,gj->g", x, self.inverse, x))
        return x @ self.coefficients, _QUANTILE * leverage[:, None] * self.deviation

    def holds(self, ages: Numbers, values: Table) -> Bool[np.ndarray, "n r"]:
        """Which values lie in the band."""
        mean, half = self.at(ages)
        return np.abs(values - mean) <= half


def _shares(
    real: Aged, made: Aged, draws: int, seed: int
) -> tuple[Table, Float[np.ndarray, "d r"]]:
    """Per draw: the share of real volumes in a band of other persons, and of made ones in it."""
    random = np.random.default_rng(seed + 2)
    null, shares = [], []
    for ours, theirs in zip(
        _resampled(real.persons, draws, seed),
        _resampled(made.persons, draws, seed + 1),
        strict=True,
    ):
        band = _Band.fit(real.ages[ours], real.logs[ours])
        others = np.setdiff1d(np.arange(len(real.ages)), ours)
        seen = real.ages[ours]
        others = others[(real.ages[others] >= seen.min()) & (real.ages[others] <= seen.max())]
        if others.size:
            taken = random.choice(others, len(made.ages))  # as many as are made
            null.append(band.holds(real.ages[taken], real.logs[taken]).mean(axis=0))
        shares.append(band.holds(made.ages[theirs], made.logs[theirs]).mean(axis=0))
    return np.array(null), np.array(shares)


def _slope(name: str, region: int, real: Aged, made: Aged, *, seed: int) -> Score:
    """ml per decade of both sides; null_sd is that of their difference."""
    made_slope, real_slope = (
        bootstrap(partial(_decade, side, region), side.persons, draws=300, seed=seed)
        for side in (made, real)
    )
    value, low, high = made_slope
    truth, under, over = real_slope
    spread = math.hypot(high - low, over - under) / (2 * _QUANTILE)
    z = (value - truth) / spread if spread > 0 else None
    return Score(
        f"anatomy/{name}/slope", value, low, high, len(made.ages), truth, spread or None, z
    )


def _decade(side: Aged, region: int, chosen: Int[np.ndarray, "_"]) -> float:
    """The slope of least squares per ten years; NaN where all ages are one."""
    ages, values = side.ages[chosen] - side.ages[chosen].mean(), side.ml[chosen, region]
    squares = float((ages**2).sum())
    return 10 * float(ages @ values) / squares if squares > 0 else math.nan


def _score(name: str, value: float, around: np.ndarray, null: np.ndarray, n: int) -> Score:
    low, high = (float(x) for x in np.percentile(around, [2.5, 97.5]))
    mean, spread = float(null.mean()), float(null.std(ddof=1))
    z = (float(value) - mean) / spread if spread > 0 else None
    return Score(name, float(value), low, high, n, mean, spread, z)


def _distance(a: Table, b: Float[np.ndarray, "m r"]) -> Float[np.ndarray, "r"]:
    """The 1-D Wasserstein-1 distance of each column; of unequal numbers between quantiles."""
    size = min(len(a), len(b))
    at = (np.arange(size) + 0.5) / size
    one, other = (
        np.sort(x, axis=0) if len(x) == size else np.quantile(x, at, axis=0, method="hazen")
        for x in (a, b)
    )
    return np.abs(one - other).mean(axis=0)


def _effect(real: Table, made: Float[np.ndarray, "m r"]) -> Float[np.ndarray, "r"]:
    """Cohen's d, positive where made is larger; 0 for columns that are constant."""
    n, m = len(real), len(made)
    pooled = (n - 1) * real.var(axis=0, ddof=1) + (m - 1) * made.var(axis=0, ddof=1)
    deviation = np.sqrt(pooled / (n + m - 2))
    return (made.mean(axis=0) - real.mean(axis=0)) / np.where(deviation > 0, deviation, np.inf)


def _resampled(persons: Sequence[str], draws: int, seed: int) -> Iterator[Int[np.ndarray, "_"]]:
    """Scans of persons drawn with replacement, as many persons as there are."""
    groups: dict[str, list[int]] = {}
    for index, person in enumerate(persons):
        groups.setdefault(person, []).append(index)
    scans = [np.array(indices) for indices in groups.values()]
    random = np.random.default_rng(seed)
    for _ in range(draws):
        yield np.concatenate([scans[p] for p in random.integers(0, len(scans), len(scans))])


def _require(real: np.ndarray, made: np.ndarray, names: Sequence[str]) -> None:
    for side, table in (("real", real), ("made", made)):
        if table.shape[1] != len(names):
            raise EvaluationError(f"{table.shape[1]} regions of {side} volumes, {len(names)} names")
        unknown = ~np.isfinite(table).all(axis=1)
        if unknown.any():
            raise EvaluationError(
                f"{int(unknown.sum())} {side} volumes could not be measured (NaN): leave them out"
            )
