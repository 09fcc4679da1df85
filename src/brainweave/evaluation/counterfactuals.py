"""One made head at several ages: which regions move, and do they move as they differ between real
persons of these ages?

Real slopes are cross-sectional: between persons, not within one, and so only a yardstick.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Score
from brainweave.evaluation.scans import Scans
from brainweave.evaluation.volumetry import Aged

FEWEST_HEADS, FEWEST_REAL = 3, 20
HEADS = ("head", "seed")  # covariates that say which volumes are one head
_SPAN = 5.0  # years between a head's youngest and oldest, at least
_DECADE, _DRAWS = 10.0, 1000


@dataclass(frozen=True)
class Counterfactuals:
    """Scores by region, and a sentence on what was left out."""

    scores: list[Score]
    said: tuple[str, ...]


def heads(scans: Scans) -> tuple[str, ...]:
    """Which scans are one head: by the covariate `head` or `seed` where there is one, else by
    person; a scan without either is a head of its own."""
    for name in HEADS:
        words = scans.words(name)
        if any(words):
            pairs = zip(words, scans.subjects, strict=True)
            return tuple(f"{name} {word}" if word else subject.id for word, subject in pairs)
    return tuple(scans.persons)


def counterfactuals(
    made: Aged, real: Aged, names: Sequence[str], *, seed: int = 0
) -> Counterfactuals:
    """Per region the mean over made heads of the slope on asked age, in the regions' unit per
    decade, beside the slope between real persons of that range of ages; and in how many of the
    regions that change in real persons the made ones change to the same side.

    Intervals: heads, persons drawn anew. Raises EvaluationError for fewer than 3 heads at ages 5
    years apart or fewer than 20 real volumes of these ages.
    """
    made, said = _families(made)
    low, high = float(made.ages.min()), float(made.ages.max())
    kept = (real.ages >= low) & (real.ages <= high)
    if kept.sum() < FEWEST_REAL:
        raise EvaluationError(
            f"{kept.sum()} real volumes are {low:.0f} to {high:.0f} years old, as the made heads "
            f"are; {FEWEST_REAL} is the least that tells how regions change with age"
        )
    if not kept.all():
        said.append(f"Real slopes are from {kept.sum()} of {len(kept)} volumes, of these ages.")
    whole = real.take(kept)
    random = np.random.default_rng(seed)
    each = np.stack([_slopes(part) for part in _split(made)])
    persons = _split(whole)
    value, null = each.mean(0), _slopes(whole)
    drawn = np.stack([each[_again(len(each), random)].mean(0) for _ in range(_DRAWS)])
    others = np.stack([_redrawn(persons, random) for _ in range(_DRAWS)])
    spread = np.hypot(drawn.std(0), others.std(0))
    scores = []
    for r, name in enumerate(names):
        for kind, mean, rows, n in (
            ("real ", null, others, len(whole.ages)),
            ("", value, drawn, len(made.ages)),
        ):
            bounds = _interval(rows[:, r])
            score = Score(f"{kind}{name}/change per decade", float(mean[r]), *bounds, n)
            scores.append(score if kind else _beside(score, float(null[r]), float(spread[r])))
    agreement, words = _agreement(value, drawn, null, others)
    return Counterfactuals(scores + agreement, (*said, *words))


def _families(made: Aged) -> tuple[Aged, list[str]]:
    """The volumes of heads that have several ages."""
    words = np.array(made.persons)
    known = np.isfinite(made.ages)
    spans = {h: made.ages[known & (words == h)] for h in dict.fromkeys(made.persons)}
    wide = [h for h, ages in spans.items() if len(ages) > 1 and np.ptp(ages) >= _SPAN]
    if len(wide) < FEWEST_HEADS:
        raise EvaluationError(
            f"{len(wide)} of {len(spans)} made heads have ages {_SPAN:g} years apart; give "
            f"{FEWEST_HEADS} or more, told by a column {' or '.join(HEADS)} or by person"
        )
    rows = np.flatnonzero(known & np.isin(words, wide))
    left = len(words) - len(rows)
    said = [f"{left} made volumes are no head at several ages: left out."] if left else []
    return made.take(rows), said


def _split(aged: Aged) -> list[Aged]:
    """By head."""
    codes = np.unique(aged.persons, return_inverse=True)[1]
    return [aged.take(codes == code) for code in range(codes.max() + 1)]


def _slopes(aged: Aged) -> Float[np.ndarray, "r"]:
    """Least-squares slope of every region per decade."""
    x = aged.ages - aged.ages.mean()
    found: np.ndarray = _DECADE * (x @ aged.ml) / max(float(x @ x), 1e-12)
    return found


def _again(count: int, random: np.random.Generator) -> np.ndarray:
    return random.integers(0, count, count)


def _redrawn(persons: list[Aged], random: np.random.Generator) -> Float[np.ndarray, "r"]:
    """The slopes of persons drawn anew."""
    drawn = [persons[i] for i in _again(len(persons), random)]
    ages = np.concatenate([person.ages for person in drawn])
    return _slopes(Aged(np.concatenate([person.ml for person in drawn]), ages, [""] * len(ages)))


def _beside(score: Score, null: float, sd: float) -> Score:
    z = (score.value - null) / sd if sd else None
    return Score(score.name, score.value, score.low, score.high, score.n, null, sd, z)


def _agreement(
    value: Float[np.ndarray, "r"],
    drawn: Float[np.ndarray, "k r"],
    null: Float[np.ndarray, "r"],
    others: Float[np.ndarray, "k r"],
) -> tuple[list[Score], tuple[str, ...]]:
    """The share of regions with a real change that change to the same side."""
    low, high = np.percentile(others, [2.5, 97.5], axis=0)
    sure = (low > 0) | (high < 0)
    if not sure.any():
        return [], ("No region changes with age beyond chance in the real volumes.",)
    side = np.sign(null[sure])
    shares = (np.sign(drawn[:, sure]) == side).mean(1)
    share = float((np.sign(value[sure]) == side).mean())
    return [Score("regions/same direction", share, *_interval(shares), int(sure.sum()))], ()


def _interval(values: Float[np.ndarray, "_"]) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
