"""The forest plot: every score in units of what real volumes score against each other."""

import math
from collections.abc import Sequence
from html import escape

from brainweave.errors import EvaluationError
from brainweave.evaluation.axes import (
    LINE,
    chart,
    element,
    legend,
    number,
    shortened,
    signed,
    text,
    tick,
    ticks,
)
from brainweave.evaluation.base import Score

FURTHEST = 10.0  # |z| beyond which a score is an arrow at the edge
_NEAREST = 4.0  # |z| to which the axis always goes
_COLUMNS = {"value": 540, "real: mean ± sd": 674, "z": 714}  # right ends
_GRADES = {  # by |z|: class, its colour in light, its shape
    "good": ("#0072B2", "m-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0z"),
    "fair": ("#9A6B00", "m0-5l5 5l-5 5l-5-5z"),
    "bad": ("#D55E00", "m-4-4h8v8h-8z"),
}
_ARROW = "m-5-5.5l10 5.5l-10 5.5z"


class Forest:
    """Where things lie. narrow: for a phone, labels above their rows."""

    def __init__(self, rows: Sequence[Score], *, narrow: bool) -> None:
        self.narrow = narrow
        self.width = 360.0 if narrow else 720.0
        self.left, self.right = (14.0, 346.0) if narrow else (190.0, 470.0)
        self.step = 36.0 if narrow else 20.0
        found = [min(max(row.z or 0.0, -FURTHEST), FURTHEST) for row in rows]
        self.low = min(-_NEAREST, float(math.floor(min(found))))
        self.high = max(_NEAREST, float(math.ceil(max(found))))

    def at(self, z: float) -> float:
        """Where z lies from left to right; what is off the scale lies at its end."""
        share = (min(max(z, self.low), self.high) - self.low) / (self.high - self.low)
        return self.left + 8 + share * (self.right - self.left - 16)


def has_null(score: Score) -> bool:
    """Whether a score can be drawn in a forest plot: it has a z."""
    return score.z is not None and not math.isnan(score.z)


def forest(
    scores: Sequence[Score],
    *,
    title: str = "Scores against halves of the real volumes",
    narrow: bool = False,
) -> str:
    """One row per score that has a z, grouped by what comes before "/" in its name.

    0 is the mean between halves of the real volumes, 1 their standard deviation; the band is -2 to
    2. The line is the 95 % interval of the score. |z| above 10 is an arrow at the edge. Raises
    EvaluationError where no score has a z.
    """
    rows = [score for score in scores if has_null(score)]
    if not rows:
        raise EvaluationError(f"nothing to draw in {title!r}: no score has a null to lie beside")
    plot = Forest(rows, narrow=narrow)
    groups: dict[str, list[Score]] = {}
    for score in rows:
        groups.setdefault(_split(score.name)[0], []).append(score)

    keys, lines = legend(_keys(), plot.width)
    y = top = lines * LINE + 8.0
    y += LINE
    parts = [] if narrow else [_headings(y - 5)]
    for name, members in groups.items():
        if len(groups) > 1 or name:
            y += 1.2 * LINE
            parts.append(element("g", text(4, y - 5, name or "others"), font_weight="bold"))
        for score in members:
            parts.append(_row(plot, score, y))
            y += plot.step
    axis = _axis(plot, top + LINE, y)
    return chart(plot.width, y + 2.4 * LINE, title, [keys, axis, *parts])


def _row(plot: Forest, score: Score, y: float) -> str:
    """The words, the interval, the mark and the numbers of one score."""
    assert score.z is not None
    z, middle = score.z, y + plot.step - 10
    beyond = abs(z) > FURTHEST
    grade = "good" if abs(z) <= 2 else "fair" if abs(z) <= 3 else "bad"
    colour, shape = _GRADES[grade]
    turned = " rotate(180)" if beyond and z < 0 else ""
    mark = element(
        "path", d="M0 0" + (_ARROW if beyond else shape), fill="currentColor",
        transform=f"translate({plot.at(z):.1f} {middle:.1f}){turned}",
    )  # fmt: skip
    drawn = element("g", _interval(plot, score, middle) + mark, class_=grade, color=colour)
    full = element("title", escape(f"{score.name}, n = {score.n}, z = {number(z)}"))
    return element("g", full + drawn + _words(plot, score, y, middle))


def _words(plot: Forest, score: Score, y: float, middle: float) -> str:
    name = _split(score.name)[1]
    value = number(score.value)
    z = number(score.z) if abs(score.z or 0.0) >= 1000 else f"{score.z:.1f}"
    null = f"{number(score.null_mean)} ± {number(score.null_sd, digits=2)}"
    if plot.narrow:
        numbers = f"{signed(value)} · z {signed(z)}"
        room = plot.width - 24 - 6.7 * len(numbers)
        return text(plot.left, y + 12, shortened(name, room)) + text(
            plot.right, y + 12, numbers, anchor="end"
        )
    cells = zip(_COLUMNS.values(), (value, null, z), strict=True)
    numbers = "".join(text(x, middle + 4, signed(cell), anchor="end") for x, cell in cells)
    return text(14, middle + 4, shortened(name, plot.left - 18)) + numbers


def _interval(plot: Forest, score: Score, y: float) -> str:
    """The 95 % interval in units of the null, where there are both."""
    ends = (score.low, score.high, score.null_mean, score.null_sd)
    if any(end is None or not math.isfinite(end) for end in ends) or not score.null_sd:
        return ""
    low, high, mean, sd = (float(end or 0) for end in ends)
    d = f"M{plot.at((low - mean) / sd):.1f} {y:.1f}H{plot.at((high - mean) / sd):.1f}"
    return element("path", d=d, stroke="currentColor", stroke_width=2, stroke_opacity=0.55)


def _axis(plot: Forest, top: float, bottom: float) -> str:
    """The band of the null, the ticks and what they count."""
    low, high = plot.at(-2.0), plot.at(2.0)
    band = element(
        "rect", x=f"{low:.1f}", y=f"{top:.1f}", width=f"{high - low:.1f}",
        height=f"{bottom - top:.1f}", fill="currentColor", opacity=0.1,
    )  # fmt: skip
    values = [value for value in ticks(plot.low, plot.high, 8) if value == round(value)]
    grid = "".join(
        f"M{plot.at(v):.1f} {bottom:.1f}v4M{plot.at(v):.1f} {top:.1f}v-4" for v in values
    )
    zero = f"M{plot.at(0.0):.1f} {top:.1f}V{bottom:.1f}"
    numbers = [
        text(plot.at(value), y, tick(value), anchor="middle")
        for y in (top - 6, bottom + 16)
        for value in values
    ]
    middle = (plot.left + plot.right) / 2
    label = text(middle, bottom + 34, "z: sd from the mean between halves of real", anchor="middle")
    lines = element("path", d=zero + grid, stroke="currentColor", stroke_opacity=0.5)
    return band + lines + "".join(numbers) + label


def _headings(y: float) -> str:
    words = [text(x, y, heading, anchor="end") for heading, x in _COLUMNS.items()]
    return element("g", "".join(words), opacity=0.7)


def _keys() -> list[tuple[str, str]]:
    """What the marks mean."""
    words = {"good": "within 2 sd", "fair": "2 to 3 sd", "bad": "beyond 3 sd"}
    keys = [
        (
            element("path", d="M0 0" + shape, fill="currentColor", class_=grade, color=colour),
            words[grade],
        )
        for grade, (colour, shape) in _GRADES.items()
    ]
    arrow = element("path", d="M0 0" + _ARROW, fill="currentColor", class_="bad", color="#D55E00")
    return [*keys, (arrow, f"beyond {FURTHEST:g}, off the scale")]


def _split(name: str) -> tuple[str, str]:
    """The feature space, or nothing, and the metric with its stratum."""
    head, bracket, stratum = name.partition(" [")
    space, slash, metric = head.partition("/")
    return (space, metric + bracket + stratum) if slash else ("", name)
