"""Who is compared with whom, and how far a number strays where nothing is wrong.

n is half the real volumes, or all made ones where they are fewer. Sets are drawn without
replacement: a volume drawn twice would be its own neighbour and no new direction of a covariance.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Indices, halves, subsets

Pairs = Sequence[tuple[Indices, Indices]]
FEWEST = 4  # persons without whom there are no two halves to compare


class Sets(NamedTuple):
    """Pairs of sets of indices.

    across: n real, n made volumes. halved: n real, at most half the made. within: n real, n other
    real. fewer: disjoint real sets so small that they differ by chance as the two sides do:
    2 / (1/M + 5/N) of N real and M made. shared: the part of that difference that `within` shows
    of single volumes: 0 for whole halves, which always add up to the same volumes.
    """

    n: int
    across: Pairs
    halved: Pairs
    within: Pairs
    fewer: Pairs
    shared: float


class Numbers(NamedTuple):
    """One number over all `Sets`; empty where it could not be measured."""

    across: list[float]
    halved: list[float]
    within: list[float]
    fewer: list[float]


def draw(
    real_persons: Sequence[str], made_persons: Sequence[str], *, draws: int, seed: int
) -> Sets:
    """Random sets of whole persons. Raises EvaluationError for fewer than four real persons."""
    if (found := len(set(real_persons))) < FEWEST:
        raise EvaluationError(
            f"{found} real person(s): what real volumes score among themselves takes {FEWEST} "
            "at the very least, 20 to be of use; give more real volumes"
        )
    if len(made_persons) < 2 or draws < 2:
        raise EvaluationError(
            f"{len(made_persons)} made volume(s), {draws} draw(s): at least 2 of each are needed"
        )
    split = list(halves(real_persons, draws=draws, seed=seed))
    n = min(len(made_persons), *(len(a) for a, _ in split))
    if n < 2:
        raise EvaluationError("one real person has nearly all real volumes: no two sets to compare")
    total = len(real_persons)
    fewer = min(n, max(2, int(2 / (1 / len(made_persons) + 5 / total))))
    reals = list(subsets(real_persons, n, draws=draws, seed=seed))
    mades, halved = (
        list(subsets(made_persons, size, draws=draws, seed=seed + 1))
        for size in (n, min(n, len(made_persons) // 2))
    )
    return Sets(
        n,
        across=list(zip(reals, mades, strict=True)),
        halved=list(zip(reals, halved, strict=True)) if len(made_persons) >= 4 else [],
        within=[(a[:n], b[:n]) for a, b in split],
        fewer=[(a[:fewer], b[:fewer]) for a, b in split],
        shared=1.0 if fewer == n else max(0.0, (1 / n - 2 / total) / (1 / fewer - 2 / total)),
    )


def interval(numbers: Numbers) -> tuple[float, float] | None:
    """95 %: percentiles over draws of half of each side, moved to the mean of `across`.

    Halves without replacement vary as whole samples do where volumes count one by one, more where
    pairs do. None where too few were made to halve.
    """
    if not numbers.halved:
        return None
    value = float(np.mean(numbers.across))
    low, high = np.percentile(numbers.halved, [2.5, 97.5]) - np.mean(numbers.halved) + value
    return min(float(low), value), max(
        float(high), value
    )  # one far draw moves the mean past an end


def spread(numbers: Numbers, sets: Sets) -> float:
    """The standard deviation of a null, `within` or what it should be where that is too small.

    What belongs to single volumes, some typical and some odd, cancels between whole halves:
    Frechet distances came out up to nine such deviations off where nothing was wrong. `fewer` shows
    it in full; there the part of pairs is (n / fewer)^2 times too large, and the excess comes off.
    """
    variance = float(np.var(numbers.within, ddof=1))
    if numbers.fewer:
        among = float(np.var(numbers.fewer, ddof=1))
        excess = (sets.n / len(sets.fewer[0][0])) ** 2 - 1
        of_pairs = max(0.0, variance - sets.shared * among)
        variance = max(variance, among - excess * of_pairs)
    return math.sqrt(variance)


def share_error(share: float, n: int) -> float:
    """The standard error of a share of n independent cases, two of each kind added (Agresti and
    Coull 1998): one near 1 hardly varies until it falls."""
    part = (n * share + 2) / (n + 4)
    return math.sqrt(part * (1 - part) / (n + 4))
