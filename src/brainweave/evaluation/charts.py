"""The charts of a report as inline SVG: pure functions from numbers to text.

A new chart makes its `frame`, draws inside it and returns a `chart`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from brainweave.errors import EvaluationError
from brainweave.evaluation.axes import (
    LINE,
    MARKERS,
    Axes,
    Frame,
    chart,
    coloured,
    element,
    frame,
    number,
    shortened,
    signed,
    text,
    width_of,
)

Values = Float[np.ndarray, "_"]
_DASHES = ("none", "6 4", "2 3", "9 3 2 3")  # of lines, in order
_THICK, _GAP = 13, 9  # of horizontal bars and between their rows


@dataclass(frozen=True)
class Band:
    """Where real ones lie: low and high at places x, and what it is called."""

    x: Values
    low: Values
    high: Values
    name: str = "real, 95 %"


@dataclass(frozen=True)
class Line:
    """A polyline and what it is called."""

    x: Values
    y: Values
    name: str


def scatter(
    x: Values,
    y: Values,
    groups: Sequence[str],
    axes: Axes,
    *,
    band: Band | None = None,
    lines: Sequence[Line] = (),
) -> str:
    """One mark per volume, each group in its colour and shape, over the real band and lines.

    Points without a finite x and y are left out and counted in the legend. Raises EvaluationError
    where none is left.
    """
    seen = np.isfinite(x) & np.isfinite(y)
    _refuse_empty(axes, bool(seen.any()))
    member = {n: np.array([group == n for group in groups]) for n in dict.fromkeys(groups)}
    keys = [
        (_marks(index, [(0.0, 0.0)]), _counted(name, seen[chosen]))
        for index, (name, chosen) in enumerate(member.items())
    ]
    keys += [(_swatch(0.15), band.name)] if band else []
    keys += [(_line("M-7 0H7", index), line.name) for index, line in enumerate(lines)]
    xs, ys = [x[seen]], [y[seen]]
    if band:
        xs, ys = [*xs, band.x], [*ys, band.low, band.high]
    xs, ys = [*xs, *(line.x for line in lines)], [*ys, *(line.y for line in lines)]
    framed, legend = frame(axes, np.concatenate(xs), np.concatenate(ys), keys=keys)

    parts = [legend, framed.drawn(), _area(framed, band) if band else ""]
    parts += [_line(framed.path(line.x, line.y), index) for index, line in enumerate(lines)]
    for index, chosen in enumerate(member.values()):
        places = framed.across(x[chosen & seen]), framed.down(y[chosen & seen])
        parts.append(_marks(index, list(zip(*places, strict=True))))
    return chart(axes.width, axes.height, axes.title, parts)


def histogram(
    groups: Mapping[str, Values],
    axes: Axes,
    *,
    bins: int = 24,
    marks: Mapping[str, float] | None = None,
) -> str:
    """The share of each group, in percent, per bin of equal width; bins are common to all.

    marks: values drawn as vertical lines with their names, such as a threshold. Values that are
    not finite are left out and counted. Raises EvaluationError where none is left.
    """
    finite = {name: values[np.isfinite(values)] for name, values in groups.items()}
    found = np.concatenate([np.zeros(0), *finite.values()])
    _refuse_empty(axes, len(found) > 0)
    low, high = float(found.min()), float(found.max())
    room = 0.0 if high > low else 0.05 * abs(high) or 0.5
    edges = np.linspace(low - room, high + room, bins + 1)
    shares = [100 * np.histogram(v, edges)[0] / max(1, len(v)) for v in finite.values()]
    places = marks or {}
    keys = [
        (coloured(index, _line("M-8 0H8", index)), _counted(name, np.isfinite(values)))
        for index, (name, values) in enumerate(groups.items())
    ]
    keys += [(_line("M0-6V6", index), name) for index, name in enumerate(places)]
    top = 1.05 * max(float(share.max()) for share in shares)
    framed, legend = frame(axes, [*edges, *places.values()], (0.0, top), keys=keys, tight=True)

    parts = [legend, framed.drawn()]
    parts += [_steps(framed, edges, share, index) for index, share in enumerate(shares)]
    for index, place in enumerate(places.values()):
        parts.append(_line(framed.path(np.array([place] * 2), np.array([0.0, top])), index))
    return chart(axes.width, axes.height, axes.title, parts)


def bars(
    labels: Sequence[str],
    groups: Mapping[str, Sequence[float | None]],
    axes: Axes,
    *,
    intervals: Mapping[str, Sequence[tuple[float, float] | None]] | None = None,
) -> str:
    """A bar from 0 to the right or left per label and group, its interval, its number.

    axes: y and height are not used. A value that is None or not finite has no bar and says "-".
    Raises EvaluationError where there is no value at all.
    """
    spans = intervals or {}
    given = [value for group in groups.values() for value in group]
    _refuse_empty(axes, any(_finite(value) for value in given))
    ends = [end for group in spans.values() for pair in group for end in pair or ()]
    known = [0.0, *(float(v) for v in (*given, *ends) if v is not None and math.isfinite(v))]
    keys = [(coloured(i, _swatch(0.75)), name) for i, name in enumerate(groups)]
    left = min(0.4 * axes.width, 16 + max(width_of(label) for label in labels))
    step = _THICK * len(groups) + _GAP
    height = len(labels) * step + 4.4 * LINE
    tall = Axes(axes.title, axes.x, "", axes.width, round(height))
    framed, legend = frame(tall, known, (0.0, 1.0), keys=keys if len(groups) > 1 else ())
    framed = replace(framed, left=left, right=axes.width - 56.0)

    parts = [legend, framed.drawn(rows=False)]
    for row, label in enumerate(labels):
        y = framed.top + row * step + _GAP / 2
        middle = y + _THICK * len(groups) / 2 + 4
        parts.append(text(left - 8, middle, shortened(label, left - 10), anchor="end"))
        for index, (name, values) in enumerate(groups.items()):
            span = spans[name][row] if name in spans else None
            parts.append(_bar(framed, y + index * _THICK, values[row], span, index))
    return chart(tall.width, tall.height, axes.title, parts)


def _bar(
    framed: Frame,
    y: float,
    value: float | None,
    span: tuple[float, float] | None,
    index: int,
) -> str:
    """One bar with its interval and, at the right, its number."""
    said = text(framed.axes.width - 4, y + 10.5, signed(number(value, missing="–")), anchor="end")
    if value is None or not math.isfinite(value):
        return said
    origin, end = framed.across(np.array([0.0, value]))
    x, wide = min(origin, end), abs(end - origin)
    bar = element(
        "rect", x=f"{x:.1f}", y=f"{y + 1:.1f}", width=f"{wide:.1f}", height=_THICK - 2,
        fill="currentColor", opacity=0.75,
    )  # fmt: skip
    whisker = ""
    if span is not None and all(math.isfinite(edge) for edge in span):
        low, high = framed.across(np.array(span))
        d = f"M{low:.1f} {y + _THICK / 2:.1f}H{high:.1f}m0-3v6M{low:.1f} {y + _THICK / 2 - 3:.1f}v6"
        whisker = element("path", d=d, stroke="currentColor", stroke_width=1.3)
    return coloured(index, bar) + whisker + said


def _steps(framed: Frame, edges: Values, share: Values, index: int) -> str:
    """The outline of a histogram; the first group is filled too."""
    x, y = np.repeat(edges, 2), np.concatenate([[0.0], np.repeat(share, 2), [0.0]])
    d = framed.path(x, y)
    filled = element("path", d=d + "Z", fill="currentColor", opacity=0.22 if index == 0 else 0.07)
    outline = element(
        "path", d=d, stroke="currentColor", stroke_width=1.8,
        stroke_dasharray=_DASHES[index % len(_DASHES)],
    )  # fmt: skip
    return coloured(index, filled + outline)


def _area(framed: Frame, band: Band) -> str:
    x, y = np.concatenate([band.x, band.x[::-1]]), np.concatenate([band.low, band.high[::-1]])
    outline = framed.path(x, y)
    return element("path", d=outline + "Z", fill="currentColor", opacity=0.15) if outline else ""


def _line(d: str, index: int) -> str:
    dashes = _DASHES[index % len(_DASHES)]
    return element("path", d=d, stroke="currentColor", stroke_width=1.6, stroke_dasharray=dashes)


def _marks(index: int, places: Sequence[tuple[float, float]]) -> str:
    """All points of a series as one path."""
    shape = MARKERS[index % len(MARKERS)]
    d = "".join(f"M{x:.1f} {y:.1f}{shape}" for x, y in places)
    return coloured(index, element("path", d=d, fill="currentColor", fill_opacity=0.7))


def _swatch(opacity: float) -> str:
    return element("rect", x=-7, y=-5, width=14, height=10, fill="currentColor", opacity=opacity)


def _counted(name: str, seen: np.ndarray) -> str:
    """A group's name with how many of it are drawn, and how many could not be."""
    lost = int((~seen).sum())
    return f"{name}, n = {int(seen.sum())}" + (f" ({lost} without a value)" if lost else "")


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _refuse_empty(axes: Axes, anything: bool) -> None:
    if not anything:
        raise EvaluationError(f"nothing to draw in {axes.title!r}: no value is finite")
