"""How unlike each other the volumes of a set are: MS-SSIM over pairs of them.

Nearer to the real value is better, in either direction. Above it, made volumes resemble each other
too much; below it they are not "more diverse" but noisy or broken: noise lowers MS-SSIM.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Score, halves
from brainweave.evaluation.scans import Scans
from brainweave.evaluation.similarity import ms_ssim
from brainweave.progress import Reporter

NAME = "ms_ssim diversity"
HELD = 2**28  # bytes of volumes that are kept between pairs
MOST = 10  # times as many real pairs are compared at most, so that small halves have some
Pair = tuple[int, int]


class _Compared(NamedTuple):
    """Pairs of a side and their MS-SSIM."""

    pairs: list[Pair]
    values: Float[np.ndarray, "m"]


def diversity(
    real: Scans,
    made: Scans,
    *,
    pairs: int = 100,
    draws: int = 200,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> list[Score]:
    """Mean MS-SSIM over random pairs within made, and within real: `NAME`, `NAME` + " [real]".

    Pairs are distinct, unordered and never of one person; they come in rounds that use every scan
    once. n: pairs. null_mean: the real value; null_sd: the root mean square difference of the same
    mean between disjoint real halves of at most as many scans as were made, which is cautious:
    simulated z between equal sets has a deviation of 0.6 to 0.9. Intervals allow for pairs that
    share a person. `similarity.pyramid` says how many scales were used.
    Raises EvaluationError for sides without two persons, or on two grids.
    """
    if real.grid.shape != made.grid.shape:
        raise EvaluationError(f"grids {real.grid.shape} and {made.grid.shape}: one is needed")
    size = min(len(made), len(real) // 2)
    # of pairs of the whole, a share of about (size / whole)^2 lies within one half
    pool = min(round(pairs * (len(real) / max(size, 1)) ** 2), MOST * pairs)
    drawn = [draw_pairs(made.persons, pairs, seed=seed), draw_pairs(real.persons, pool, seed=seed)]
    reporter = reporter or Reporter(quiet=True)
    reporter.start("comparing volumes", sum(map(len, drawn)))
    of_made, of_real = (_compare(s, p, reporter) for s, p in zip((made, real), drawn, strict=True))
    reporter.stop()

    centre, spread = float(of_real.values.mean()), _null(of_real, real.persons, size, draws, seed)
    value = float(of_made.values.mean())
    score = Score(
        NAME,
        value,
        *interval(of_made.pairs, of_made.values, made.persons),
        len(of_made.pairs),
        null_mean=centre,
        null_sd=spread,
        z=(value - centre) / spread if spread else None,
    )
    bounds = interval(of_real.pairs, of_real.values, real.persons)
    return [score, Score(f"{NAME} [real]", centre, *bounds, len(of_real.pairs))]


def draw_pairs(persons: Sequence[str], count: int, *, seed: int = 0) -> list[Pair]:
    """`count` random pairs of scans, or all there are: distinct, of two persons, evenly spread.

    Rounds of a round-robin tournament in random order; in each every scan (but one, where their
    number is odd) is in one pair, except where its partner is of the same person.
    Raises EvaluationError for fewer than two persons.
    """
    if len(set(persons)) < 2 or count < 1:
        raise EvaluationError(
            f"{len(set(persons))} persons, {count} pairs: diversity needs two persons and a pair"
        )
    random = np.random.default_rng(seed)
    order = random.permutation(len(persons)).tolist()
    if len(order) % 2:
        order.append(-1)  # whoever meets it has no pair in this round
    fixed, circle = order[0], order[1:]
    drawn: list[Pair] = []
    for turn in random.permutation(len(circle)).tolist():
        line = [fixed, *circle[turn:], *circle[:turn]]
        meeting = [(line[k], line[-1 - k]) for k in range(len(line) // 2)]
        met = [(min(p), max(p)) for p in meeting if -1 not in p]
        met = [(a, b) for a, b in met if persons[a] != persons[b]]
        drawn += [met[k] for k in random.permutation(len(met))]
        if len(drawn) >= count:
            break
    return drawn[:count]


def interval(
    pairs: Sequence[Pair], values: Float[np.ndarray, "m"], persons: Sequence[str]
) -> tuple[float | None, float | None]:
    """95 % of a mean over pairs that share persons, by the dyadic cluster-robust variance.

    Covariances are summed over all pairs of pairs with a person in common (arXiv:1312.3398);
    resampling persons is too wide where pairs are few, resampling pairs too narrow where many.
    None for pairs of fewer than four persons.
    """
    errors = values - values.mean()
    names = {name: index for index, name in enumerate(dict.fromkeys(persons))}
    who = np.array([[names[persons[scan]] for scan in pair] for pair in pairs])
    seen = len(np.unique(who))
    if seen < 4:
        return None, None
    sums = np.bincount(who.ravel(), np.repeat(errors, 2))
    own = float((errors**2).sum())
    variance = max(float((sums**2).sum()) - own, own) / len(values) ** 2
    # few persons: Student's quantile and n / (n - 2) bring simulated coverage to 0.91 to 0.96
    reach = float(student.ppf(0.975, seen - 1)) * sqrt(variance * seen / (seen - 2))
    return float(values.mean()) - reach, float(values.mean()) + reach


def _compare(scans: Scans, pairs: list[Pair], reporter: Reporter) -> _Compared:
    """MS-SSIM of every pair, with as many volumes kept as `HELD` allows."""
    bytes_each = int(np.prod(scans.grid.shape)) * 4
    load = lru_cache(maxsize=max(2, HELD // bytes_each))(scans.load)
    values = []
    for a, b in pairs:
        values.append(ms_ssim(load(a), load(b)))
        reporter.advance(scans.name)
    return _Compared(pairs, np.array(values))


def _null(
    compared: _Compared, persons: Sequence[str], size: int, draws: int, seed: int
) -> float | None:
    """Root mean square difference of means between halves, None where halves hold no pairs."""
    a, b = np.array(compared.pairs).T
    differences = []
    for split in halves(persons, draws=draws, seed=seed):
        means = []
        for side in split:
            inside = np.zeros(len(persons), dtype=bool)
            inside[side[:size]] = True
            kept = compared.values[inside[a] & inside[b]]
            means.append(kept.mean() if len(kept) else np.nan)
        differences.append(means[0] - means[1])
    known = np.array(differences)[np.isfinite(differences)]
    return sqrt(float((known**2).mean())) if len(known) > 1 else None
