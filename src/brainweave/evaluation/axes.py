"""Frames of charts as SVG: scales, round ticks, legends, numbers as they are shown.

Every colour is a class (c0, c1 ...; good, fair, bad) that the page sets for light and dark, with
the light one as an attribute beside it for a chart that stands alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import Float

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#AA4499", "#B8860B", "#4477AA")
MARKERS = (  # paths about a point: told apart without colour
    "m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z",
    "m0-3.8l3.4 6.2h-6.8z",
    "m-2.8-2.8h5.6v5.6h-5.6z",
    "m0-4l4 4l-4 4l-4-4z",
)
SIZE = 12  # of letters, in the units of the chart
LINE = 18  # from one line of text to the next


@dataclass(frozen=True)
class Axes:
    """What a chart is about. title: what is read out instead of it; x, y: labels with units."""

    title: str
    x: str
    y: str
    width: int = 440
    height: int = 310


@dataclass(frozen=True)
class Frame:
    """Axes in their place. x, y: values at the ends; left, top, right: where the plot ends."""

    axes: Axes
    x: tuple[float, float]
    y: tuple[float, float]
    left: float
    top: float
    right: float

    @property
    def bottom(self) -> float:
        """Where the plot ends below."""
        return self.axes.height - 2.4 * LINE

    def across(self, values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """Where values lie from left to right."""
        low, high = self.x
        return self.left + (values - low) / (high - low) * (self.right - self.left)

    def down(self, values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """Where values lie from top to bottom."""
        low, high = self.y
        return self.bottom - (values - low) / (high - low) * (self.bottom - self.top)

    def path(self, x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]) -> str:
        """A polyline through the finite points, empty where there are none."""
        seen = np.isfinite(x) & np.isfinite(y)
        points = zip(self.across(x[seen]), self.down(y[seen]), strict=True)
        joined = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
        return f"M{joined}" if joined else ""

    def drawn(self, *, rows: bool = True) -> str:
        """The grid, the ticks' numbers and the labels; without `rows`, of x alone."""
        middle = (self.left + self.right) / 2
        label = text(middle, self.axes.height - 6, self.axes.x, anchor="middle")
        return self._columns(full=not rows) + (self._rows() if rows else "") + label

    def _columns(self, *, full: bool) -> str:
        values = ticks(*self.x)
        places = self.across(np.array(values))
        top = self.top if full else self.bottom
        grid = "".join(f"M{x:.1f} {top:.1f}V{self.bottom + 4:.1f}" for x in places)
        numbers = [
            text(float(x), self.bottom + 17, tick(value), anchor="middle")
            for value, x in zip(values, places, strict=True)
        ]
        zero = [f"M{x:.1f} {top:.1f}V{self.bottom:.1f}" for x in places[np.array(values) == 0]]
        return (
            _hairline(grid) + (_hairline(zero[0], 0.6) if full and zero else "") + "".join(numbers)
        )

    def _rows(self) -> str:
        values = ticks(*self.y)
        places = self.down(np.array(values))
        grid = "".join(f"M{self.left:.1f} {y:.1f}H{self.right:.1f}" for y in places)
        numbers = [
            text(self.left - 6, y + 4, tick(value), anchor="end")
            for value, y in zip(values, map(float, places), strict=True)
        ]
        turned = f"translate({SIZE} {(self.top + self.bottom) / 2:.1f}) rotate(-90)"
        label = element("g", text(0, 0, self.axes.y, anchor="middle"), transform=turned)
        return _hairline(grid) + "".join(numbers) + label


def frame(
    axes: Axes,
    x: Sequence[float] | Float[np.ndarray, "_"],
    y: Sequence[float] | Float[np.ndarray, "_"],
    *,
    keys: Sequence[tuple[str, str]] = (),
    tight: bool = False,
) -> tuple[Frame, str]:
    """Axes that hold all finite values of x and y, and the drawn legend of `keys` (mark, words).

    tight: y ends at its values, with no room about them.
    """
    drawn, rows = legend(keys, axes.width)
    ends_x, ends_y = _ends(x), _ends(y, room=0.0 if tight else 0.05)
    numbers = max(width_of(tick(value)) for value in ticks(*ends_y))
    left = (2 * SIZE + 2 if axes.y else 8) + numbers
    return Frame(axes, ends_x, ends_y, left, rows * LINE + 10.0, axes.width - 14.0), drawn


def legend(keys: Sequence[tuple[str, str]], width: float | int) -> tuple[str, int]:
    """Marks, each drawn about (0, 0), with their words, in as many lines as it takes."""
    parts, x, row = [], 8.0, 0
    for mark, words in keys:
        needed = 26 + width_of(words)
        if x > 8 and x + needed > width:
            x, row = 8.0, row + 1
        y = (row + 0.5) * LINE
        parts.append(element("g", mark, transform=f"translate({x + 7:.0f} {y:.0f})"))
        parts.append(text(x + 19, y + 4, words))
        x += needed + 10
    return "".join(parts), row + 1 if keys else 0


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """The multiples of 1, 2 or 5 times a power of ten from low to high, some `about` of them."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= 0.999 * rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.10g}") for index in range(first, last + 1)]


def tick(value: float) -> str:
    """The number at a tick."""
    return signed(f"{value:.8g}")


def number(value: float | None, *, digits: int = 3, missing: str = "-") -> str:
    """So many significant digits, or all whole ones: 0.0123, 1.23e-05, 12345."""
    if value is None or math.isnan(value):
        return missing
    if 0 < abs(value) < 1e-3:
        return f"{value:.{digits - 1}e}"
    return f"{value:.0f}" if 10**digits <= abs(value) < 1e6 else f"{value:.{digits}g}"


def signed(words: str) -> str:
    """A number with a true minus sign."""
    return words.replace("-", "−")


def width_of(words: str) -> float:
    """About how wide words are: no font is at hand."""
    return 6.7 * len(words)


def shortened(words: str, width: float) -> str:
    """As many letters as fit, and an ellipsis."""
    fit = int(width / width_of("n"))
    return words if len(words) <= fit else words[: max(1, fit - 1)] + "…"


def element(tag: str, content: str = "", **attributes: object) -> str:
    """One element of SVG, attributes escaped: `class_` is class, `stroke_width` stroke-width."""
    said = "".join(
        f" {name if name == 'viewBox' else name.rstrip('_').replace('_', '-')}"
        f'="{escape(str(value))}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{said}>{content}</{tag}>" if content else f"<{tag}{said}/>"


def text(
    x: float | int, y: float | int, words: str, *, anchor: str = "start", **attributes: object
) -> str:
    """Words at a place, escaped. anchor: "start", "middle" or "end"."""
    placed = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text_anchor": anchor}
    return element("text", escape(words), **placed, fill="currentColor", **attributes)


def coloured(index: int, content: str) -> str:
    """A group in the colour of series `index`, which is currentColor inside."""
    index %= len(PALETTE)
    return element("g", content, class_=f"c{index}", color=PALETTE[index])


def chart(width: float | int, height: float | int, title: str, parts: Sequence[str]) -> str:
    """A whole chart. title: what is read out instead of it."""
    return element(
        "svg",
        "".join(parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        role="img",
        aria_label=title,
        font_size=SIZE,
        font_family="system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif",
        fill="none",
    )


def _hairline(d: str, opacity: float = 0.18) -> str:
    return element("path", d=d, stroke="currentColor", stroke_opacity=opacity) if d else ""


def _ends(
    values: Sequence[float] | Float[np.ndarray, "_"], room: float = 0.05
) -> tuple[float, float]:
    """The ends of an axis: the finite values and a share of their range about them."""
    found = np.asarray(values, dtype=float)
    found = found[np.isfinite(found)]
    low, high = float(found.min()), float(found.max())
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        room, high, low = 0.0, high + (0.05 * abs(high) or 0.5), low - (0.05 * abs(low) or 0.5)
    return low - room * (high - low), high + room * (high - low)
