"""Do made volumes look as old, and of the sex, as was asked for?

Judges are fitted on real volumes at evaluation time; their own error on real persons whom they did
not see comes first, since made volumes cannot be judged better than real ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from brainweave.errors import EvaluationError
from brainweave.evaluation.base import Score
from brainweave.evaluation.linear import Kind, Scaling, fit, predicted
from brainweave.evaluation.scans import Scans

FEWEST = 20  # volumes with an age, or of each sex half as many, that a judge or a score takes
FAINT = 0.2  # slope of a judge below which dividing by it says nothing
_DRAWS = 1000

Statistic = Callable[[Float[np.ndarray, "_"], Float[np.ndarray, "_"]], float]  # known, seen


@dataclass(frozen=True)
class Looks:
    """One side: features of volumes and what is known of them, or was asked.

    blocks: low-resolution means. regions: volumes of regions, any unit, on all sides or none.
    ages: years, NaN not known. sexes: "F", "M", else not known. sites: "" not known.
    """

    blocks: Float[np.ndarray, "n f"]
    regions: Float[np.ndarray, "n r"] | None
    persons: tuple[str, ...]
    ages: Float[np.ndarray, "n"]
    sexes: tuple[str, ...]
    sites: tuple[str, ...]

    @classmethod
    def of(
        cls,
        scans: Scans,
        blocks: Float[np.ndarray, "n f"],
        regions: Float[np.ndarray, "n r"] | None = None,
    ) -> "Looks":
        """Features of some scans with the covariates age, sex and site."""
        sexes, sites = tuple(scans.texts("sex")), tuple(scans.words("site"))
        return cls(blocks, regions, tuple(scans.persons), scans.numbers("age"), sexes, sites)

    def take(self, kept: Bool[np.ndarray, "n"]) -> "Looks":
        """Some of them."""
        rows = np.flatnonzero(kept)
        regions = None if self.regions is None else self.regions[rows]
        texts = (tuple(x[i] for i in rows) for x in (self.persons, self.sexes, self.sites))
        persons, sexes, sites = texts
        return Looks(self.blocks[rows], regions, persons, self.ages[rows], sexes, sites)


@dataclass(frozen=True)
class Seen:
    """What was known of, or asked for, and what a judge saw: years, or 1 for M and log odds."""

    known: Float[np.ndarray, "n"]
    seen: Float[np.ndarray, "n"]
    persons: tuple[str, ...]
    sites: tuple[str, ...]


@dataclass(frozen=True)
class Obedience:
    """How far one thing that was asked is seen. `scores` tell of real volumes first ("real age
    mae"), then of made ones ("age mae") with the real value as null."""

    scores: list[Score]
    real: Seen
    made: Seen
    said: tuple[str, ...]


def age(real: Looks, made: Looks, train: Looks | None = None, *, seed: int = 0) -> Obedience:
    """Brain age by ridge regression. Of real volumes it is predicted in cross-validation, or by
    the judge of `train` where that is given; persons who trained it are left out of `real`.

    The slope of seen on asked age is below 1 for real volumes too (regression dilution): "age slope
    corrected" is the slope divided by that of real ones, 1 where age is obeyed as in real brains.
    Raises EvaluationError for fewer than 20 volumes with an age on a side.
    """
    sides, said = _sides(real, made, train)
    known = {name: np.isfinite(side.ages) for name, side in sides.items()}
    said += _dropped(known, "age")
    seen = _seen("ridge", sides, known, {n: s.ages for n, s in sides.items()}, seed)
    if np.ptp(seen["made"].known) == 0:
        raise EvaluationError(
            f"every made volume was asked to be {seen['made'].known[0]:g} years old; whether age "
            "is obeyed shows in different ages"
        )
    outside = (seen["made"].known < seen["real"].known.min()) | (
        seen["made"].known > seen["real"].known.max()
    )
    if outside.any():
        said.append(
            f"{outside.sum()} of {len(outside)} asked ages are outside of the real ones, "
            f"{seen['real'].known.min():.0f} to {seen['real'].known.max():.0f} years."
        )
    rows: dict[str, Statistic] = {"mae": _mae, "bias": _bias, "r": _r, "slope": _slope}
    scores = _beside("age", rows, seen["real"], seen["made"], seed)
    scores += _by_site("age mae", _mae, seen["real"], seen["made"], seed)
    corrected, words = _corrected(seen["real"], seen["made"], seed)
    return Obedience(scores + corrected, seen["real"], seen["made"], (*said, *words))


def sex(real: Looks, made: Looks, train: Looks | None = None, *, seed: int = 0) -> Obedience:
    """Sex by logistic regression with an L2 penalty; as `age`. "sex auc" and "sex accuracy"."""
    sides, said = _sides(real, made, train)
    known = {name: np.isin(side.sexes, ("F", "M")) for name, side in sides.items()}
    said += _dropped(known, "sex")
    targets = {n: (np.array(side.sexes) == "M").astype(float) for n, side in sides.items()}
    for name, side in targets.items():
        for word, count in (("F", (known[name] & (side == 0)).sum()), ("M", (side == 1).sum())):
            if count < FEWEST // 2:
                raise EvaluationError(
                    f"{name}: {count} volumes of sex {word}; sex is judged with "
                    f"{FEWEST // 2} or more of each"
                )
    seen = _seen("logistic", sides, known, targets, seed)
    rows: dict[str, Statistic] = {"auc": auc, "accuracy": _accuracy}
    scores = _beside("sex", rows, seen["real"], seen["made"], seed)
    scores += _by_site("sex accuracy", _accuracy, seen["real"], seen["made"], seed)
    return Obedience(scores, seen["real"], seen["made"], tuple(said))


def apparent(
    real: Looks, made: Looks, train: Looks | None = None, *, seed: int = 0
) -> tuple[Seen, Float[np.ndarray, "m"]]:
    """How old volumes look to the judge of `age`: the real ones, of known age, and all made ones,
    whatever was asked. Raises EvaluationError for fewer than 20 real volumes with an age."""
    sides, _ = _sides(real, made, train)
    known = {name: np.isfinite(side.ages) for name, side in sides.items() if name != "made"}
    _dropped(known, "age")
    known["made"] = np.ones(len(made.persons), dtype=bool)
    seen = _seen("ridge", sides, known, {n: s.ages for n, s in sides.items()}, seed)
    return seen["real"], seen["made"].seen


def auc(labels: Float[np.ndarray, "_"], values: Float[np.ndarray, "_"]) -> float:
    """The probability that a value labelled 1 is above one labelled 0, ties half; NaN where one of
    the labels is absent."""
    from scipy.stats import rankdata

    ones = labels == 1
    count, others = int(ones.sum()), int((~ones).sum())
    if not count or not others:
        return float("nan")
    return float((rankdata(values)[ones].sum() - count * (count + 1) / 2) / (count * others))


def _sides(real: Looks, made: Looks, train: Looks | None) -> tuple[dict[str, Looks], list[str]]:
    """The sides by name, with nobody who trained among the real."""
    if train is None:
        return {"real": real, "made": made}, []
    own = np.isin(real.persons, train.persons)
    if own.all():
        raise EvaluationError("every real person is in train by id; give others, or other ids")
    said = [f"{own.sum()} real volumes are of persons in train: not judged."] if own.any() else []
    return {"real": real.take(~own), "made": made, "train": train}, said


def _dropped(known: dict[str, Bool[np.ndarray, "_"]], what: str) -> list[str]:
    """Says who is not judged. Raises EvaluationError where too few are."""
    said = []
    for name, some in known.items():
        if some.sum() < FEWEST:
            raise EvaluationError(
                f"{name}: {some.sum()} of {len(some)} volumes have a known {what}; {FEWEST} is the "
                f"least that says something about {what}"
            )
        if not some.all():
            said.append(f"{name}: {(~some).sum()} of {len(some)} volumes lack {what}: left out.")
    return said


def _seen(
    kind: Kind,
    sides: dict[str, Looks],
    known: dict[str, Bool[np.ndarray, "_"]],
    targets: dict[str, Float[np.ndarray, "_"]],
    seed: int,
) -> dict[str, Seen]:
    """What a judge sees on both sides."""
    base = "train" if "train" in sides else "real"
    taken = {name: side.take(known[name]) for name, side in sides.items()}
    wanted = {name: targets[name][known[name]] for name in sides}
    scaling = Scaling.of(taken[base].blocks.astype(float), taken[base].regions)
    rows = {n: scaling(side.blocks.astype(float), side.regions) for n, side in taken.items()}
    judge = fit(kind, rows[base], wanted[base], taken[base].persons, seed=seed)
    values = {"made": judge(rows["made"])}
    if base == "train":
        values["real"] = judge(rows["real"])
    else:
        who = taken["real"].persons
        values["real"] = predicted(kind, rows["real"], wanted["real"], who, seed=seed)
    return {
        name: Seen(wanted[name], value, taken[name].persons, taken[name].sites)
        for name, value in values.items()
    }


def _beside(
    what: str, rows: dict[str, Statistic], real: Seen, made: Seen, seed: int
) -> list[Score]:
    """Statistics of real volumes, then of made ones; the null's spread is that of the difference
    between both, as persons are drawn anew."""
    own, others = [], []
    for name, statistic in rows.items():
        a, b = (_draws(side, statistic, seed + place) for place, side in enumerate((real, made)))
        null, value = statistic(real.known, real.seen), statistic(made.known, made.seen)
        sd = float(np.hypot(np.nanstd(a), np.nanstd(b)))
        own.append(Score(f"real {what} {name}", null, *_interval(a), len(real.seen)))
        z = (value - null) / sd if sd else None
        others.append(Score(f"{what} {name}", value, *_interval(b), len(made.seen), null, sd, z))
    return own + others


def _by_site(name: str, statistic: Statistic, real: Seen, made: Seen, seed: int) -> list[Score]:
    """One statistic for every site with enough volumes on both sides, where there are several; no
    z below 20, too few for a spread."""
    scores = []
    for site in sorted(set(real.sites) & set(made.sites) - {""}):
        sides = [_at(side, site) for side in (real, made)]
        if len(set(made.sites)) > 1 and min(len(side.seen) for side in sides) >= FEWEST // 4:
            what, _, which = name.partition(" ")
            found = _beside(what, {which: statistic}, sides[0], sides[1], seed)
            if min(len(side.seen) for side in sides) < FEWEST:
                found = [replace(score, null_sd=None, z=None) for score in found]
            scores += [replace(score, name=f"{score.name} [site={site}]") for score in found]
    return scores


def _corrected(real: Seen, made: Seen, seed: int) -> tuple[list[Score], tuple[str, ...]]:
    """The made slope over the real one."""
    a, b = (_draws(side, _slope, seed + place) for place, side in enumerate((real, made)))
    null = _slope(real.known, real.seen)
    low = float(np.nanpercentile(a, 2.5))
    if low < FAINT:
        return [], (
            f"The judge hardly sees age in real volumes (slope {null:.2f}, from {low:.2f}): "
            "no slope was corrected by it.",
        )
    ratio = b / np.where(a > 0, a, np.nan)
    value = _slope(made.known, made.seen) / null
    sd = float(np.hypot(np.nanstd(a), np.nanstd(b))) / null
    z = (value - 1) / sd if sd else None
    return [Score("age slope corrected", value, *_interval(ratio), len(made.seen), 1.0, sd, z)], ()


def _draws(side: Seen, statistic: Statistic, seed: int) -> Float[np.ndarray, "_"]:
    """A statistic of persons drawn anew."""
    codes = np.unique(side.persons, return_inverse=True)[1]
    scans = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    random, values = np.random.default_rng(seed), []
    for _ in range(_DRAWS):
        drawn = np.concatenate([scans[i] for i in random.integers(0, len(scans), len(scans))])
        values.append(statistic(side.known[drawn], side.seen[drawn]))
    return np.array(values)


def _interval(values: Float[np.ndarray, "_"]) -> tuple[float, float]:
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def _at(side: Seen, site: str) -> Seen:
    rows = [row for row, own in enumerate(side.sites) if own == site]
    persons = tuple(side.persons[row] for row in rows)
    return Seen(side.known[rows], side.seen[rows], persons, (site,) * len(rows))


def _mae(known: Float[np.ndarray, "_"], seen: Float[np.ndarray, "_"]) -> float:
    return float(np.abs(seen - known).mean())


def _bias(known: Float[np.ndarray, "_"], seen: Float[np.ndarray, "_"]) -> float:
    return float((seen - known).mean())


def _r(known: Float[np.ndarray, "_"], seen: Float[np.ndarray, "_"]) -> float:
    x, y = known - known.mean(), seen - seen.mean()
    spread = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / spread if spread else float("nan")


def _slope(known: Float[np.ndarray, "_"], seen: Float[np.ndarray, "_"]) -> float:
    x = known - known.mean()
    return float(x @ seen) / float(x @ x) if x.any() else float("nan")


def _accuracy(known: Float[np.ndarray, "_"], seen: Float[np.ndarray, "_"]) -> float:
    return float(((seen > 0) == (known == 1)).mean())
