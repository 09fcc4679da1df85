"""The memorisation audit: are made volumes copies of those that the model was trained on?

No single number is reliable for this (arXiv:2306.04675), so several are told beside what real
volumes of other persons score, and one sentence says what they say together.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Score, bootstrap
from brainweave.evaluation.copies import ONE_SCAN, Pair, closest, duplicates, merged, same_person
from brainweave.evaluation.lowres import COPY, shrunk
from brainweave.evaluation.proximity import Nearer, wilson
from brainweave.evaluation.residuals import Frame
from brainweave.evaluation.scans import Scans
from brainweave.evaluation.spaces import ALL, Features, Real, Space, judge
from brainweave.progress import Reporter

Verdict = Literal["copies", "no sign", "cannot tell"]

FEWEST = 10  # made volumes, and persons of either kind, that a verdict takes
LEVEL = 0.01  # probability that chance alone makes any of the tests speak
WIDE = 0.4  # interval that is called so
MATCHED = 0.05  # shares of a site that differ by more are matched
HEADLINE = f"residual/{ALL}"  # the test that is told where none speaks


@dataclass(frozen=True)
class Brains:
    """One side of an audit: volumes of about 4 mm, whose they are, where from ("": not known)."""

    volumes: Float[np.ndarray, "n i j k"]
    persons: tuple[str, ...]
    sites: tuple[str, ...]

    @classmethod
    def of(cls, scans: Scans, reporter: Reporter | None = None) -> "Brains":
        """The brains of some scans; sites are in the covariate `site`."""
        volumes = shrunk(scans, COPY, reporter)
        return cls(volumes, tuple(scans.persons), tuple(scans.words("site")))

    def take(self, kept: Bool[np.ndarray, "n"]) -> "Brains":
        """Some of them."""
        rows = np.flatnonzero(kept)
        persons, sites = (tuple(x[i] for i in rows) for x in (self.persons, self.sites))
        return Brains(self.volumes[rows], persons, sites)


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    words: the verdict as a sentence. closest: pairs of a made and a training volume. threshold: the
    residual correlation from which two volumes count as one person's. tests: p-values and
    intervals, by the names of their scores. said: what was left out, matched or assumed.
    """

    verdict: Verdict
    words: str
    scores: list[Score]
    closest: tuple[Pair, ...]
    duplicates: tuple[Pair, ...]
    threshold: float
    tests: Mapping[str, Nearer]
    said: tuple[str, ...]


def audit(
    made: Brains,
    train: Brains,
    test: Brains,
    *,
    spaces: Mapping[str, Features] | None = None,
    seed: int = 0,
) -> Audit:
    """Holds made volumes against those that trained and against those that did not.

    spaces: features (made, train, test) to measure distances in too. They must not be fitted on
        training volumes alone, such as principal components of these: that sets them apart.
    Persons and files of both sides are left out of `test`. Raises EvaluationError where fewer than
    two persons are left or two volumes were made.
    """
    kept, said = _own(train, test)
    test = test.take(kept)
    _enough(len(made.volumes), train, test, said)
    pool = np.concatenate([train.volumes, test.volumes])
    frame = Frame.of(pool)
    to_real, among = frame.correlations(made.volumes, pool), _each_other(frame, pool)

    named = (*train.persons, *test.persons)
    persons = merged(among, named)
    if doubled := len(set(named)) - len(set(persons)):
        said.append(f"{doubled} real persons are others under another id and were taken as one.")
    trained = np.arange(len(persons)) < len(train.persons)
    strata, words = _strata(train.sites, test.sites)
    real = Real(np.unique(persons, return_inverse=True)[1], strata, trained)
    every = [Space("residual", 1 - to_real, 1 - among)]
    for name, (a, b, c) in (spaces or {}).items():
        every.append(Space.euclidean(name, (a, b, c[kept])))
    found = [judge(space, real, made.persons, seed=seed) for space in every]
    tests = {name: test for one in found for name, test in one.tests.items()}
    bound = _deviations(len(every))
    apart = [s.name for s, one in zip(every, found, strict=True) if one.apart > bound]

    threshold, origin = same_person(among, persons)
    near, usual = to_real[:, trained].max(1), among[np.ix_(~trained, trained)].max(1)
    own = _each_other(frame, made.volumes)
    twins, pairs = duplicates(own, made.persons, among, persons, threshold=threshold, seed=seed)
    copied = near >= threshold
    verdict, sentence = _verdict(copied, tests, apart, min(len(made.volumes), _fewest(real)))
    return Audit(
        verdict=verdict,
        words=f"{sentence} {_nearest_told(near, usual)}",
        scores=[s for one in found for s in one.scores]
        + _nearest(near, usual, made.persons, copied, float((usual >= threshold).mean()))
        + twins,
        closest=closest(to_real[:, trained]),
        duplicates=pairs,
        threshold=threshold,
        tests=tests,
        said=(*said, *words, f"Residual correlation of one person: {threshold:.2f}; {origin}."),
    )


def _own(train: Brains, test: Brains) -> tuple[Bool[np.ndarray, "n"], list[str]]:
    """Which test volumes are of persons and scans that did not train."""
    known = np.isin(test.persons, train.persons)
    frame = Frame.of(np.concatenate([train.volumes, test.volumes]))
    same = frame.correlations(test.volumes, train.volumes).max(1) > ONE_SCAN
    said = []
    if known.any():
        said.append(f"{known.sum()} real volumes are of persons who trained and were left out.")
    if (same & ~known).any():
        count = (same & ~known).sum()
        said.append(f"{count} real volumes are training volumes under other names: left out.")
    return ~(known | same), said


def _enough(made: int, train: Brains, test: Brains, said: Sequence[str]) -> None:
    trained, others = len(set(train.persons)), len(set(test.persons))
    if min(made, trained, others) < 2:
        raise EvaluationError(
            f"an audit of {made} made volumes by {trained} persons who trained and {others} others "
            f"says nothing; give 2 or more of each, better 50. {' '.join(said)}".rstrip()
        )


def _strata(
    train: Sequence[str], test: Sequence[str]
) -> tuple[Int[np.ndarray, "m"], tuple[str, ...]]:
    """The sites of all real volumes as numbers, all 0 where they need not be matched."""
    sites = [*train, *test]
    shares = [{site: side.count(site) / len(side) for site in set(sites)} for side in (train, test)]
    most = max(sorted(set(sites)), key=lambda site: abs(shares[0][site] - shares[1][site]))
    a, b = (share[most] for share in shares)
    if abs(a - b) <= MATCHED:
        return np.zeros(len(sites), dtype=int), ()
    if "" in sites:
        missing = Counter(sites)[""]
        said = f"Sites differ between train and real, and {missing} are not known: not matched."
        return np.zeros(len(sites), dtype=int), (said,)
    said = f"{a:.0%} of train but {b:.0%} of real are from {most}: compared within sites."
    return np.unique(sites, return_inverse=True)[1], (said,)


def _fewest(real: Real) -> int:
    """The smaller number of persons, of those who can be compared."""
    count = 0
    for stratum in np.unique(real.strata):
        at = real.strata == stratum
        count += min(len(set(real.persons[at & side])) for side in (real.trained, ~real.trained))
    return count


def _each_other(frame: Frame, volumes: Float[np.ndarray, "n i j k"]) -> Float[np.ndarray, "n n"]:
    found = frame.correlations(volumes, volumes)
    larger: np.ndarray = np.maximum(found, found.T)  # only one of the two was mirrored
    return larger


def _nearest(
    near: Float[np.ndarray, "n"],
    usual: Float[np.ndarray, "m"],
    persons: Sequence[str],
    copied: Bool[np.ndarray, "n"],
    chance: float,
) -> list[Score]:
    """Residual correlation with the nearest training volume, made beside real test volumes.

    Volumes without noise of their own correlate more with all others, so this alone proves nothing.
    """
    n, scale = len(near), float(np.sqrt(1 / len(set(persons)) + 1 / len(usual)))
    value, low, high = bootstrap(lambda i: float(near[i].mean()), persons)
    mean, sd = float(usual.mean()), float(usual.std(ddof=1)) * scale
    z = (value - mean) / sd if sd else None
    bound = float(np.percentile(usual, 95))
    share, bottom, top = bootstrap(lambda i: float((near[i] > bound).mean()), persons)
    spread = float(np.sqrt(0.05 * 0.95)) * scale
    bounds = wilson(float(copied.mean()), float(len(set(persons))))
    return [
        Score("nearest r/mean", value, low, high, n, mean, sd, z),
        Score("nearest r/max", float(near.max()), n=n, null_mean=float(usual.max())),
        Score(
            "nearest r/share above real's 95 %",
            *(share, bottom, top, n, 0.05, spread, (share - 0.05) / spread),
        ),
        Score("nearest r/one person", float(copied.mean()), *bounds, n, null_mean=chance),
    ]


def _nearest_told(near: Float[np.ndarray, "n"], usual: Float[np.ndarray, "m"]) -> str:
    return (
        f"The nearest to a training volume correlates {near.max():.2f} with it, "
        f"of real volumes of others {usual.max():.2f} (residuals)."
    )


def _verdict(
    copied: Bool[np.ndarray, "n"], tests: Mapping[str, Nearer], apart: Sequence[str], size: int
) -> tuple[Verdict, str]:
    """What all of it says. Direct copies count whatever the tests can resolve."""
    bound = _deviations(len(tests))
    leaning = {
        name: test
        for name, test in tests.items()
        if test.low > 0.5 and test.value - 0.5 > bound * test.sd and test.p < LEVEL
    }
    name = max(leaning, key=lambda n: leaning[n].low) if leaning else HEADLINE
    test = tests[name]
    said = name.replace("/", " ")
    share = f"{said} = {test.value:.2f} [{test.low:.2f}, {test.high:.2f}], chance 0.50"
    if copied.any():
        return "copies", (
            f"Copies: {copied.sum()} of {len(copied)} made volumes are as near to a training "
            f"volume as scans of one person ({share})."
        )
    if size < FEWEST:
        return "cannot tell", (
            f"Cannot tell: {size} volumes or persons to compare, and {FEWEST} are the least "
            f"({share})."
        )
    if apart:
        return "cannot tell", (
            "Cannot tell: the training volumes differ from the real ones held against them "
            f"({', '.join(apart)}), so that being nearer to them is no sign ({share})."
        )
    if leaning:
        return "copies", (
            f"Copies: made volumes are nearer to training volumes than to others ({share})."
        )
    if test.low > 0.5:
        return "cannot tell", (
            f"Cannot tell: made volumes seem nearer to training ones than to others ({share}); "
            f"chance does as much with a probability of {test.p:.3f}. Give more real volumes."
        )
    wide = "; a wide interval, as few real volumes are nearest to most made ones"
    return "no sign", f"No sign of copying ({share}{wide * (test.high - test.low > WIDE)})."


def _deviations(tests: int) -> float:
    """How many standard deviations one of some tests must reach to speak."""
    return NormalDist().inv_cdf(1 - LEVEL / tests)
