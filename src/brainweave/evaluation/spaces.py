"""What one space of distances says about copying: one more space is one more `Space`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from brainweave.evaluation.base import Score, bootstrap
from brainweave.evaluation.distribution import frechet
from brainweave.evaluation.proximity import (
    Nearer,
    Panel,
    Statistic,
    alike,
    equal,
    exchange,
    nearer,
    weighed,
)

DRAWN, ALL = "P(d_train < d_test)", "P(d_train < d_test), all of train"
_GAPS, _EXCHANGES = 3, 50  # draws of persons for a Frechet distance, exchanges of labels

Features = tuple[Float[np.ndarray, "a d"], Float[np.ndarray, "b d"], Float[np.ndarray, "c d"]]


@dataclass(frozen=True)
class Real:
    """Who the real volumes are, those that trained first. strata: compared within only."""

    persons: Int[np.ndarray, "m"]
    strata: Int[np.ndarray, "m"]
    trained: Bool[np.ndarray, "m"]


@dataclass(frozen=True)
class Space:
    """Distances of made to real volumes and of real ones to each other.

    features: of the made and the real volumes, where there are such.
    """

    name: str
    to_real: Float[np.ndarray, "n m"]
    real: Float[np.ndarray, "m m"]
    features: tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]] | None = None

    @classmethod
    def euclidean(cls, name: str, features: Features) -> "Space":
        """Distances of features (made, train, test), each scaled by its spread over real ones."""
        from scipy.spatial.distance import cdist

        made, *sides = features
        real = np.concatenate(sides).astype(float)
        spread = real.std(0)
        kept = spread > 1e-9 * max(1e-300, float(np.abs(real).max()))
        scaled = [(x[:, kept] - real[:, kept].mean(0)) / spread[kept] for x in (made, real)]
        made, real = scaled
        return cls(name, cdist(made, real), cdist(real, real), (made, real))


@dataclass(frozen=True)
class Said:
    """The scores of a space; tests by the names of their scores; apart: by how many standard
    deviations training and test volumes differ, so that nothing can be concluded."""

    scores: list[Score]
    tests: dict[str, Nearer]
    apart: float


def judge(space: Space, real: Real, made_persons: Sequence[str], *, seed: int) -> Said:
    """All that a space says."""
    panel = Panel(space.to_real, real.persons, real.strata, real.trained)
    shares: dict[str, Statistic] = {DRAWN: equal, ALL: weighed}
    tests = {f"{space.name}/{key}": nearer(f, panel, seed=seed) for key, f in shares.items()}
    count = len(space.to_real)
    scores = [
        Score(name, t.value, t.low, t.high, count, 0.5, t.sd, _z(t.value, 0.5, t.sd))
        for name, t in tests.items()
    ]
    scores.append(_authentic(space, real, made_persons))
    if space.features is not None:
        scores.append(_gap(space.name, space.features, panel, seed))
    between = replace(panel, distances=space.real)
    value = alike(between, np.random.default_rng(seed))
    null = exchange(alike, between, seed=seed)
    apart = _against(f"{space.name}/train and test apart", value, len(space.real), null)
    return Said([*scores, apart], tests, apart.z or 0.0)


def _authentic(space: Space, real: Real, made_persons: Sequence[str]) -> Score:
    """The share of volumes that are further from their nearest training volume than that is from
    its own nearest one (authenticity, arXiv:2102.08921), beside that of real test volumes."""
    persons, trained = real.persons[real.trained], real.trained
    among = space.real[np.ix_(trained, trained)]
    own = np.where(persons[:, None] != persons[None], among, np.inf).min(1)
    made, test = (
        own[d.argmin(1)] < d.min(1)
        for d in (space.to_real[:, trained], space.real[np.ix_(~trained, trained)])
    )
    value, low, high = bootstrap(lambda i: float(made[i].mean()), made_persons)
    null, count = float(test.mean()), len(np.unique(real.persons[~trained]))
    sd = float(np.sqrt(null * (1 - null) * (1 / len(set(made_persons)) + 1 / count)))
    name = f"{space.name}/authentic"
    return Score(name, value, low, high, len(made), null, sd, _z(value, null, sd))


def _gap(
    name: str,
    features: tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]],
    panel: Panel,
    seed: int,
) -> Score:
    """The Frechet distance to training volumes less that to equally many test volumes: below 0
    for copies. The null exchanges who trained."""
    made, real = features

    def gap(panel: Panel, random: np.random.Generator) -> float:
        total = 0.0
        for _ in range(_GAPS):
            train, test = panel.draw(random)
            total += frechet(real[train], made) - frechet(real[test], made)
        return total / _GAPS

    null = exchange(gap, panel, seed=seed, count=_EXCHANGES)
    value = gap(panel, np.random.default_rng(seed))
    return _against(f"{name}/frechet train - test", value, len(made), null)


def _against(name: str, value: float, count: int, null: Float[np.ndarray, "_"]) -> Score:
    """A score beside what exchanges make of it."""
    mean, sd = float(null.mean()), float(null.std())
    return Score(name, value, n=count, null_mean=mean, null_sd=sd, z=_z(value, mean, sd))


def _z(value: float, mean: float, sd: float) -> float | None:
    return (value - mean) / sd if sd else None
