"""Tables as text: CSV and TSV in and out, what counts as missing and what as a number."""

import csv
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainweave.data.files import atomic
from brainweave.errors import CohortError

SUFFIXES = (".csv", ".tsv")
_MISSING = frozenset({"", "n/a", "na", "nan"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_SEX = {"m": "M", "male": "M", "f": "F", "female": "F"}


@dataclass(frozen=True)
class Table:
    """A header and its rows, every field stripped; `lines` are the rows' line numbers."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def column(self, name: str) -> list[str]:
        """The fields of one column from the top down."""
        index = self.columns.index(name)
        return [row[index] for row in self.rows]

    def records(self) -> list[dict[str, str]]:
        """One mapping from column to field per row."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def read_table(path: Path) -> Table:
    """A CSV, or by its extension a TSV, in UTF-8; blank lines are not rows.

    Raises CohortError for an unreadable file, a row of another length than the header, a column
    with values but no name and a name used twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=_delimiter(path), strict=True)
            numbered = [(reader.line_num, [field.strip() for field in row]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CohortError(f"{path}: not readable as a table in UTF-8: {error}") from None
    filled = [(line, row) for line, row in numbered if any(row)]
    if not filled:
        raise CohortError(f"{path}: the table is empty; it needs a header and a row per scan")
    (_, header), *body = filled
    for line, row in body:
        if len(row) != len(header):
            raise CohortError(
                f"{path}, line {line}: {len(row)} fields where the header has {len(header)}"
            )
    return _named(path, header, body)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Writes a CSV, or by its extension a TSV, atomically."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=_delimiter(path), lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def missing(value: float | str | None) -> bool:
    """Whether a value says nothing: None, NaN, or one of "", "n/a", "NA", "nan" in any case."""
    if isinstance(value, str):
        return value.strip().lower() in _MISSING
    return value is None or math.isnan(value)


def number(text: str) -> float | None:
    """The number that a whole text is; None for all else, "inf" and "1_000" included."""
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def written(value: float | str | None) -> str:
    """A value as a table holds it: 48.87, 65 (not 65.0), "n/a" where missing."""
    if value is None or missing(value):
        return "n/a"
    if isinstance(value, str):
        return value.strip()
    return str(int(value)) if abs(value) < 1e15 and value == int(value) else repr(float(value))


def typed(name: str, values: Sequence[float | str | None]) -> list[float | str | None]:
    """A covariate's values with one type: numbers, NaN where missing, if all that is there are
    numbers; else texts, None where missing. Sex in any spelling becomes "M" or "F"."""
    texts = [None if missing(value) else written(value) for value in values]
    numbers = [math.nan if text is None else number(text) for text in texts]
    if None not in numbers:
        return [*numbers]
    return [None if text is None else spelled(name, text) for text in texts]


def spelled(name: str, text: str) -> str:
    """A text value in the one spelling used for its covariate."""
    return _SEX.get(text.lower(), text) if name == "sex" else text


def aligned(rows: Iterable[Sequence[str]]) -> str:
    """Rows with every column, but the last, as wide as its widest cell."""
    rows = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else ","


def _named(path: Path, header: list[str], body: list[tuple[int, list[str]]]) -> Table:
    """The table without nameless empty columns, as spreadsheets leave them at the right."""
    keep = [i for i, name in enumerate(header) if name or any(row[i] for _, row in body)]
    columns = tuple(header[i] for i in keep)
    if not all(columns):
        raise CohortError(f"{path}: column {keep[columns.index('')] + 1} has values but no name")
    for name in columns:
        if columns.count(name) > 1:
            raise CohortError(f"{path}: {columns.count(name)} columns are named {name!r}")
    rows = tuple(tuple(row[i] for i in keep) for _, row in body)
    return Table(path, columns, rows, tuple(line for line, _ in body))
