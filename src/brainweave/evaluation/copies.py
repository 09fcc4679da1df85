"""Pairs that are too alike: a made volume and a training volume, or two made volumes.

Everything here looks at residual correlations, see `residuals`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from brainweave.evaluation.base import Score, halves

RESCANS = 5  # pairs of scans of one person that a threshold takes
LISTED = 100  # duplicates, at most
ONE_SCAN = 0.99  # residual correlation of two files of one scan
Alike = Float[np.ndarray, "n n"]


@dataclass(frozen=True)
class Pair:
    """Two volumes by their indices and their residual correlation.

    The first is made; the second is of the training set, for duplicates made as well.
    """

    made: int
    other: int
    r: float


def closest(to_train: Float[np.ndarray, "n m"], count: int = 5) -> tuple[Pair, ...]:
    """The made volumes nearest to a training volume, each with that volume, nearest first."""
    best = to_train.max(1)
    order = np.argsort(-best, kind="stable")[:count]
    return tuple(Pair(int(i), int(to_train[i].argmax()), float(best[i])) for i in order)


def strangers(persons: Sequence[str]) -> Bool[np.ndarray, "n n"]:
    """Whether two scans are of different persons."""
    codes = np.unique(list(persons), return_inverse=True)[1]
    differ: np.ndarray = codes[:, None] != codes[None]
    return differ


def merged(real: Alike, persons: Sequence[str]) -> list[str]:
    """Who the persons are when files of one scan are one person's, whatever their ids."""
    from scipy.sparse.csgraph import connected_components

    linked = (real > ONE_SCAN) | ~strangers(persons)
    return [f"person {label}" for label in connected_components(linked, directed=False)[1]]


def limit(real: Alike, persons: Sequence[str]) -> float:
    """The correlation of the two most alike real volumes of different persons."""
    return float(real[strangers(persons)].max())


def same_person(real: Alike, persons: Sequence[str]) -> tuple[float, str]:
    """From which correlation on two volumes are one person's, and where that comes from.

    The one that 95 % of real pairs of scans of one person reach, where there are such pairs and
    strangers do not reach it; else halfway from the most alike strangers to identity.
    """
    apart = limit(real, persons)
    pairs = np.triu(~strangers(persons), 1)
    if (count := int(pairs.sum())) >= RESCANS:
        reached = float(np.percentile(real[pairs], 5))
        if reached > apart:
            return reached, f"95 % of {count} pairs of scans of one person reach it"
    return (1 + apart) / 2, "halfway from the two most alike real strangers to identity"


def duplicates(
    made: Alike,
    made_persons: Sequence[str],
    real: Float[np.ndarray, "m m"],
    real_persons: Sequence[str],
    *,
    threshold: float,
    seed: int,
) -> tuple[list[Score], tuple[Pair, ...]]:
    """Made volumes more alike than any two real persons are: their share and the pairs, most alike
    first; and from `threshold` on, where two are one person's, the share that has a double and how
    many heads are left. Volumes of one made person are meant to be alike and not counted.

    The share is a mean over draws of as many made volumes as half of the real ones, judged by such
    a half, since the most alike of more volumes are more alike. Its null is that of the other half.
    No interval: a volume drawn twice is its own duplicate.
    """
    from scipy.sparse.csgraph import connected_components

    bound = limit(real, real_persons)
    apart = strangers(made_persons)
    linked = apart & (made > bound)
    rows, columns = np.nonzero(np.triu(linked, 1))
    order = np.argsort(-made[rows, columns], kind="stable")[:LISTED]
    pairs = tuple(
        Pair(int(rows[i]), int(columns[i]), float(made[rows[i], columns[i]])) for i in order
    )
    random, values, shares = np.random.default_rng(seed), [], []
    for a, b in halves(real_persons, draws=200, seed=seed):
        bound = limit(real[np.ix_(a, a)], [real_persons[i] for i in a])
        other = strangers([real_persons[i] for i in b]) & (real[np.ix_(b, b)] > bound)
        shares.append(float(other.any(1).mean()))
        drawn = random.permutation(len(made))[: len(b)]
        own = np.ix_(drawn, drawn)
        values.append(float((apart[own] & (made[own] > bound)).any(1).mean()))
    value, null, sd = float(np.mean(values)), float(np.mean(shares)), float(np.std(shares))
    z = (value - null) / sd if sd else None
    same = apart & (made >= threshold)
    heads = int(connected_components(same | ~apart, directed=False)[0])
    count = len(made)
    scores = [
        Score("duplicates/share", value, n=count, null_mean=null, null_sd=sd, z=z),
        Score("duplicates/one person", float(same.any(1).mean()), n=count),
        Score("duplicates/unique heads", float(heads), n=len(set(made_persons))),
    ]
    return scores, pairs
