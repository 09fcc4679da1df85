"""Do made volumes obey what was asked? Age and sex as judges trained on real volumes see them."""

from collections.abc import Callable

import numpy as np

from brainweave.errors import EvaluationError
from brainweave.evaluation.axes import Axes
from brainweave.evaluation.base import CLEAR, Score
from brainweave.evaluation.bench import Bench, Chapter
from brainweave.evaluation.charts import Line, scatter
from brainweave.evaluation.faithfulness import Looks, Obedience, age, sex
from brainweave.evaluation.lowres import AGE, blocks
from brainweave.evaluation.maturity import SECTION, maturity
from brainweave.evaluation.report import Figure, Finding, Grade, Table, Topic

HARDLY = "cannot be told: the judge hardly sees it in real volumes"
WEAK, NONE = 0.75, 0.25  # parts of what real volumes show, below which one obeys partly, not at all


def obedience(bench: Bench) -> Chapter:
    """Age and sex, each where enough volumes of every side have it."""
    chapter, untested = Chapter(), []
    looks = {
        side: Looks.of(scans, blocks(scans, AGE, bench.reporter))
        for side, scans in bench.sides.items()
        if side != "recon"
    }
    aged = maturity(bench, looks)
    judges: dict[str, Callable[..., Obedience]] = {"age": age, "sex": sex}
    for name, judge in judges.items():
        try:
            found = judge(
                looks["real"], looks["made"], looks.get("train"), seed=bench.settings.seed
            )
        except EvaluationError as error:
            untested.append(f"Whether {name} is obeyed was not tested: {error}")
            continue
        chapter.scores += found.scores
        chapter.findings.append(_age(found) if name == "age" else _sex(found))
        chapter.findings += [Finding("distrust", "unknown", words) for words in found.said]
        chapter.tables.append(_table(name, found))
        if name == "age":
            chapter.figures.append(_picture(found))
    tested = bool(chapter.scores)
    chapter.scores += aged.scores
    chapter.findings += aged.findings
    chapter.figures += aged.figures
    # one that was tested answers the question; the other is then no answer but a doubt
    topic: Topic = "distrust" if tested else "obey"
    chapter.findings += [Finding(topic, "unknown", text) for text in untested]
    return chapter


def _age(found: Obedience) -> Finding:
    """Correlation and slope beside the judge's own."""
    r = _named(found, "age r")
    if not any(score.name == "age slope corrected" for score in found.scores):
        text = f"Whether age is obeyed {HARDLY} (r {r.null_mean or 0:.2f})."
        return Finding("obey", "unknown", text)
    slope = _named(found, "age slope corrected")
    mae, bias = _named(found, "age mae"), _named(found, "age bias")
    text = (
        f"Age as seen correlates with the age asked at r {r.value:.2f}{_span(r)}, real volumes "
        f"{r.null_mean or 0:.2f}; a year asked is {slope.value:.2f}{_span(slope)} years seen, "
        f"corrected for what the judge misses in real volumes. Off by {mae.value:.1f} years, real "
        f"volumes by {mae.null_mean or 0:.1f}; mean error {bias.value:+.1f} years."
    )
    steep = min(slope.value, 1 / max(slope.value, 1e-9))  # three years seen for one is no obedience
    steep = 1.0 if _holds(slope, 1.0) else steep
    alike = 1.0 if _holds(r, r.null_mean or 0) else r.value / max(r.null_mean or 0, 1e-9)
    shifted = abs(bias.z or 0) > CLEAR
    return Finding("obey", _grade(min(alike, steep, (WEAK + NONE) / 2 if shifted else 1.0)), text)


def _holds(score: Score, value: float) -> bool:
    """Whether a score's interval holds a value."""
    return score.low is not None and score.high is not None and score.low <= value <= score.high


def _sex(found: Obedience) -> Finding:
    """How well sex is told apart beside real volumes."""
    auc, real = _named(found, "sex auc"), _named(found, "real sex auc")
    if not (real.low or 0) > 0.5:
        text = f"Whether sex is obeyed {HARDLY} (area {real.value:.2f}{_span(real)}, chance 0.50)."
        return Finding("obey", "unknown", text)
    text = (
        f"Sex as asked is told apart with an area of {auc.value:.2f}{_span(auc)}, in real volumes "
        f"{auc.null_mean or 0:.2f} (chance: 0.50)."
    )
    share = (auc.value - 0.5) / max((auc.null_mean or 0) - 0.5, 1e-9)
    return Finding("obey", _grade(share), text)


def _grade(share: float) -> Grade:
    return "good" if share >= WEAK else "fair" if share >= NONE else "bad"


def _named(found: Obedience, name: str) -> Score:
    return next(score for score in found.scores if score.name == name)


def _span(score: Score) -> str:
    return "" if score.low is None else f" [{score.low:.2f}, {score.high:.2f}]"


def _table(name: str, found: Obedience) -> Table:
    return Table(
        SECTION,
        f"{name.capitalize()} as a judge trained on real volumes sees it",
        ("score", "value", "low", "high", "real", "n"),
        tuple((s.name, s.value, s.low, s.high, s.null_mean, s.n) for s in found.scores),
        "The judge's own error on real volumes it has not seen comes first.",
    )


def _picture(found: Obedience) -> Figure:
    known = np.concatenate([found.real.known, found.made.known])
    seen = np.concatenate([found.real.seen, found.made.seen])
    groups = ["real"] * len(found.real.known) + ["made"] * len(found.made.known)
    ends = np.array([known.min(), known.max()])
    title = "Age seen against age asked"
    return Figure(
        SECTION,
        title,
        scatter(
            known,
            seen,
            groups,
            Axes(title, "age asked, or of the person, years", "age seen, years"),
            lines=[Line(ends, ends, "equal")],
        ),
        "One mark per volume. A judge of few brains sees the old too young and the young too old, "
        "in real volumes too.",
    )
