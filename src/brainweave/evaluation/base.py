"""What evaluation says: scores with intervals and what real brains score, and how they are drawn.

Every number is a `Score`. Randomness comes from `numpy.random.default_rng(seed)`; what is drawn is
persons, never scans, so that two scans of one person are always on the same side.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

Indices = Int[np.ndarray, "_"]
Vectors = Float[np.ndarray, "n d"]
CLEAR, NOTED = 3.0, 2.0  # |z| that is called different, and that may be chance
LEAST = 10  # volumes a side on which an answer in words rests


@dataclass(frozen=True)
class Score:
    """One number, what it would be by chance, and how sure it is.

    name: "wavelet/frechet", with its stratum "wavelet/frechet [sex=F]". low, high: 95 % interval.
    n: volumes, or pairs of them, on each side. null_mean, null_sd: the same number between disjoint
    halves of the real volumes; z: how many null_sd the value lies above null_mean.
    digest: the SHA-256 of the features behind it, empty where there are none. None: not defined.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    null_mean: float | None = None
    null_sd: float | None = None
    z: float | None = None
    digest: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The score for JSON, where a number that is not finite is null."""
        return {name: _finite(value) for name, value in asdict(self).items()}


def bootstrap(
    statistic: Callable[[Indices], float],
    persons: Sequence[str],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """A statistic of indices of scans and its 95 % percentile interval over resampled persons.

    For means, slopes and shares; what looks at distances between scans uses `halves` instead,
    since a scan drawn twice is its own copy.
    """
    groups = _scans_of(persons)
    random = np.random.default_rng(seed)
    values = [
        statistic(np.concatenate([groups[p] for p in random.integers(0, len(groups), len(groups))]))
        for _ in range(draws)
    ]
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(statistic(np.arange(len(persons)))), float(low), float(high)


def halves(persons: Sequence[str], *, draws: int, seed: int) -> Iterator[tuple[Indices, Indices]]:
    """Random pairs of disjoint sets of scans of equal size, nobody in both.

    With one scan a person each half has len(persons) // 2 scans.
    """
    groups = _scans_of(persons)
    random = np.random.default_rng(seed)
    for _ in range(draws):
        order = random.permutation(len(groups))
        left, right = order[: len(order) // 2], order[len(order) // 2 :]
        a, b = (np.concatenate([groups[p] for p in side]) for side in (left, right))
        size = min(len(a), len(b))
        yield a[:size], b[:size]


def subsets(persons: Sequence[str], size: int, *, draws: int, seed: int) -> Iterator[Indices]:
    """Random sets of `size` scans without replacement, whole persons first."""
    groups = _scans_of(persons)
    random = np.random.default_rng(seed)
    for _ in range(draws):
        scans = np.concatenate([groups[p] for p in random.permutation(len(groups))])
        yield scans[:size]


def _scans_of(persons: Sequence[str]) -> list[Indices]:
    """The indices of each person's scans, in order of first appearance."""
    found: dict[str, list[int]] = {}
    for index, person in enumerate(persons):
        found.setdefault(person, []).append(index)
    return [np.array(indices) for indices in found.values()]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
