"""Numbers as tables hold them: exact, or as the interval that a birth date was hidden in."""

import math
import re

from brainweave.data.table import number, written

Interval = tuple[float, float]  # both ends belong to it; an exact number is one of width 0

_N = r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)"
_BETWEEN = re.compile(rf"{_N}\s*(?:-|–|—|\.\.|to)\s*{_N}", re.IGNORECASE)
_BRACKETS = re.compile(rf"[\[(]\s*{_N}\s*[,;]\s*{_N}\s*[\])]", re.IGNORECASE)
_ABOVE = re.compile(rf"(?:>=?|≥|over|above)\s*{_N}|{_N}\s*\+", re.IGNORECASE)
_BELOW = re.compile(rf"(?:<=?|≤|under|below)\s*{_N}", re.IGNORECASE)


def interval(text: str) -> Interval | None:
    """What "72.5", "60-65", "[60, 65)", ">89", "89+" or "<20" says; None for any other text.

    An end that is not told is infinite.
    """
    text = text.strip()
    if (exact := number(text)) is not None:
        return exact, exact
    if match := _BETWEEN.fullmatch(text) or _BRACKETS.fullmatch(text):
        low, high = float(match[1]), float(match[2])
        return (low, high) if low <= high else None
    if match := _ABOVE.fullmatch(text):
        return float(match[1] or match[2]), math.inf
    if match := _BELOW.fullmatch(text):
        return -math.inf, float(match[1])
    return None


def worded(value: tuple[float, ...], lowest: float, highest: float) -> str | float:
    """The inverse of `interval` for one that was cut to [lowest, highest]."""
    low, high = value
    if low == high:
        return low
    if high == highest and low > lowest:
        return f">{written(low)}"
    if low == lowest and high < highest:
        return f"<{written(high)}"
    return f"{written(low)}-{written(high)}"
