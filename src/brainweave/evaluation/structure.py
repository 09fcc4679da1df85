"""Are the parts of the brain as large as in real ones, at every age? The chapter on anatomy."""

from collections.abc import Mapping, Sequence

import numpy as np

from brainweave.errors import EvaluationError
from brainweave.evaluation.anatomy import asymmetry
from brainweave.evaluation.axes import Axes
from brainweave.evaluation.base import CLEAR, Score, Vectors
from brainweave.evaluation.bench import Bench, Chapter, Space
from brainweave.evaluation.charts import Band, Line, bars, scatter
from brainweave.evaluation.counterfactuals import counterfactuals, heads
from brainweave.evaluation.effects import effects
from brainweave.evaluation.report import Figure, Finding, Table
from brainweave.evaluation.volumetry import AgeCurve, Aged, ageing, compare_regions

SECTION = "Anatomy"
REGIONS = "regions"  # the extractor
_CURVES = 6  # drawn
_TOLD = 4  # regions named in a sentence


def structure(bench: Bench) -> Chapter:
    """Volumes of regions, their curves over age, asymmetry, and what happens to one head."""
    chapter = Chapter()
    try:
        space = regions_of(bench)
        names = list(space.extractor.preprocessing["names"])
        ml = {side: np.exp(vectors) for side, vectors in space.vectors.items()}
        persons = bench.real.persons, bench.made.persons
        scores = compare_regions(ml["real"], ml["made"], names, *persons, seed=bench.settings.seed)
    except EvaluationError as error:
        chapter.findings.append(Finding("distrust", "fair", f"Anatomy was not compared: {error}"))
        return chapter
    chapter.scores += scores
    _told(names, ml, scores, chapter)
    paired, indices = asymmetry(names, ml["real"])
    if paired:
        both = {"real": indices, "made": asymmetry(names, ml["made"])[1]}
        chapter.scores += effects(bench, "asymmetry", paired, both)
    _ageing(bench, names, ml, chapter)
    _one_head(bench, names, ml, chapter)
    if bench.settings.priors is None:
        text = (
            "Anatomy is CSF and brain as a whole: build priors from label maps with "
            "`brainweave priors` and give them with --priors for ventricles, hippocampus, cortex."
        )
        chapter.findings.append(Finding("distrust", "unknown", text))
    return chapter


def regions_of(bench: Bench) -> Space:
    """The regions of all sides, measured now where they are none of the features compared.

    Raises EvaluationError where a volume cannot be measured.
    """
    if reason := bench.left.get(REGIONS):
        raise EvaluationError(reason)
    found = next((space for space in bench.spaces if space.name == REGIONS), None)
    return found or bench.described(bench.extractor(REGIONS))


def _told(
    names: Sequence[str], ml: dict[str, Vectors], scores: Sequence[Score], chapter: Chapter
) -> None:
    """Which regions are too large or small, in words, as bars and as a table."""
    effect = {s.name.split("/")[1]: s for s in scores if s.name.endswith("/effect")}
    distance = {s.name.split("/")[1]: s for s in scores if s.name.endswith("/wasserstein")}
    means = {side: values.mean(0) for side, values in ml.items()}
    clear = {n: s.value for n, s in effect.items() if abs(s.z or 0) > CLEAR}
    if words := _sizes(
        clear, {n: means["made"][i] / means["real"][i] - 1 for i, n in enumerate(names)}
    ):
        more = f", and {len(words) - _TOLD} more" if len(words) > _TOLD else ""
        text = f"Regions differ in size: {', '.join(words[:_TOLD])}{more}."
        chapter.findings.append(Finding("like", "bad", text))
    rows = tuple(
        (
            name,
            float(means["real"][i]),
            float(means["made"][i]),
            effect[name].value,
            effect[name].z,
            distance[name].value,
            distance[name].null_mean,
        )
        for i, name in enumerate(names)
    )
    chapter.tables.append(
        Table(
            SECTION,
            "Regions",
            ("region", "real, ml", "made, ml", "effect", "z", "distance, ml", "real halves, ml"),
            rows,
            "Means; effect: Cohen's d, made less real. Distance: Wasserstein, beside that of "
            "disjoint halves of the real volumes.",
        )
    )
    spans = [(s.low, s.high) for s in effect.values()]
    chapter.figures.append(
        Figure(
            SECTION,
            "Size of regions",
            bars(
                list(effect),
                {"made less real": [score.value for score in effect.values()]},
                Axes("Size of regions", "effect, real standard deviations", "", height=0),
                intervals={"made less real": [None if None in s else s for s in spans]},  # type: ignore[misc]
            ),
            "Cohen's d with its 95 % interval; 0: as large as in real brains.",
        )
    )


def _sizes(effects: Mapping[str, float], change: Mapping[str, float]) -> list[str]:
    """Regions with their change of size in words, the largest changes first; both sides as one
    where both change the same way."""
    found: dict[str, list[str]] = {}
    for name in sorted(effects, key=lambda name: -abs(change[name])):
        bare = name.removeprefix("left ").removeprefix("right ")
        sides = [f"left {bare}", f"right {bare}"]
        paired = all(s in effects and effects[s] * effects[name] > 0 for s in sides)
        found.setdefault(bare if paired else name, sides if paired else [name])
    return [
        f"{name} {'larger' if change[own[0]] > 0 else 'smaller'} by "
        f"{abs(float(np.mean([change[one] for one in own]))):.0%}"
        for name, own in found.items()
    ]


def _ageing(bench: Bench, names: Sequence[str], ml: dict[str, Vectors], chapter: Chapter) -> None:
    """Curves over age, where ages are known."""
    real, made = (
        Aged(ml[side], scans.numbers("age"), scans.persons)
        for side, scans in (("real", bench.real), ("made", bench.made))
    )
    try:
        curves = ageing(real, made, names, seed=bench.settings.seed)
    except EvaluationError as error:
        text = f"Regions were not compared over age: {error}"
        chapter.findings.append(Finding("distrust", "unknown", text))
        return
    chapter.scores += [score for curve in curves for score in (curve.share, curve.slope)]
    clearest = sorted(curves, key=lambda curve: -_clarity(curve))
    chapter.figures += [_curve(curve) for curve in clearest[:_CURVES]]
    flat = [c.region for c in curves if (c.slope.z or 0) * np.sign(c.slope.null_mean or 0) < -CLEAR]
    if flat:
        text = f"Age moves these regions less than in real brains: {', '.join(flat[:_TOLD])}."
        chapter.findings.append(Finding("obey", "fair", text))


def _clarity(curve: AgeCurve) -> float:
    """How clearly real brains change with age, relative to their spread."""
    spread = float(np.std(curve.real[:, 1])) or 1.0
    return abs((curve.slope.null_mean or 0.0) / spread)


def _curve(curve: AgeCurve) -> Figure:
    points = np.concatenate([curve.real, curve.made])
    groups = ["real"] * len(curve.real) + ["made"] * len(curve.made)
    title = f"{curve.region} over age"
    return Figure(
        SECTION,
        title,
        scatter(
            points[:, 0],
            points[:, 1],
            groups,
            Axes(title, "age, years", "ml"),
            band=Band(curve.ages, curve.low, curve.high),
            lines=[Line(curve.ages, curve.mean, "real, mean")],
        ),
        f"{curve.share.value:.0%} of made volumes lie in the band, "
        f"{curve.share.null_mean or 0:.0%} of real ones it was not fitted to. "
        f"{curve.slope.value:.3g} ml per decade made, {curve.slope.null_mean or 0:.3g} real.",
    )


def _one_head(bench: Bench, names: Sequence[str], ml: dict[str, Vectors], chapter: Chapter) -> None:
    """What another age does to one head, where heads were made at several ages."""
    persons = heads(bench.made)
    if len(set(persons)) == len(persons):
        return
    made = Aged(ml["made"], bench.made.numbers("age"), persons)
    real = Aged(ml["real"], bench.real.numbers("age"), bench.real.persons)
    try:
        found = counterfactuals(made, real, names, seed=bench.settings.seed)
    except EvaluationError as error:
        text = f"What age does to one head was not measured: {error}"
        chapter.findings.append(Finding("distrust", "unknown", text))
        return
    chapter.scores += found.scores
    chapter.findings += [Finding("distrust", "unknown", words) for words in found.said]
    chapter.tables.append(
        Table(
            SECTION,
            "One head at several ages",
            ("score", "made heads", "low", "high", "real persons", "z"),
            tuple((s.name, s.value, s.low, s.high, s.null_mean, s.z) for s in found.scores),
            "Mean slope within made heads, ml per decade, beside the slope between real persons.",
        )
    )
