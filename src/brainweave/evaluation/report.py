"""What a comparison found, and its files: report.html, scores.json, scores.csv.

The page is drawn by `page`, its charts by `charts` and `forest`.
"""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from brainweave.data.files import atomic, sweep, write_json
from brainweave.errors import EvaluationError, OutputError
from brainweave.evaluation.axes import number
from brainweave.evaluation.base import Score

Topic = Literal["like", "obey", "copy", "distrust"]
Grade = Literal["good", "fair", "bad", "unknown"]
PAGE, JSON, CSV = "report.html", "scores.json", "scores.csv"
WORDS = "findings.json"
LAYOUTS = ("slides", "medmetric", "flowlet")  # tables beside a report, LAYOUT.md
QUESTIONS: dict[Topic, str] = {
    "like": "Are they like real ones?",
    "obey": "Do they obey?",
    "copy": "Do they copy?",
    "distrust": "What to distrust",
}
ANSWERS: dict[Topic, dict[Grade, str]] = {
    "like": {"good": "No difference found", "fair": "Nearly", "bad": "No"},
    "obey": {"good": "Yes", "fair": "Partly", "bad": "No"},
    "copy": {"good": "No sign of it", "unknown": "Cannot tell", "fair": "Perhaps", "bad": "Yes"},
    "distrust": {
        "good": "Nothing noted",
        "unknown": "See the notes",
        "fair": "Read with care",
        "bad": "Do not rely on it",
    },
}
_SEVERITY: tuple[Grade, ...] = ("good", "unknown", "fair", "bad")


@dataclass(frozen=True)
class Finding:
    """One sentence in plain words on one of the four topics."""

    topic: Topic
    grade: Grade
    text: str


@dataclass(frozen=True)
class Figure:
    """A picture of the report: SVG text of `charts`, or the bytes of a PNG or JPEG.

    caption: how to read it. synthetic: made volumes are in it, which the page says beside it.
    """

    section: str
    title: str
    body: str | bytes
    caption: str
    synthetic: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the report. Cells are texts, numbers, or None where there is no value."""

    section: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise EvaluationError(
                    f"table {self.title!r}: {len(row)} cells, {len(self.columns)} columns: {row}"
                )


@dataclass(frozen=True)
class Report:
    """All that a comparison found.

    facts: values by name, or groups of them: {"compared": {"real": "60 volumes in ..."},
    "versions": {"torch": "2.6"}}. "compared" is told first on the page, all others last.
    Sections of the page come in the order in which figures and tables name them.
    """

    title: str
    findings: tuple[Finding, ...]
    scores: tuple[Score, ...]
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    def grade(self, topic: Topic) -> Grade:
        """The worst grade of a topic's findings; without any, unknown, or good for "distrust"."""
        grades = [finding.grade for finding in self.findings if finding.topic == topic]
        if topic == "obey":  # what was tested answers
            grades = [grade for grade in grades if grade != "unknown"] or grades
        return max(grades or ["good" if topic == "distrust" else "unknown"], key=_SEVERITY.index)

    def answer(self, topic: Topic) -> str:
        """A topic's grade in words; "Not tested" where nothing was found out about it."""
        if topic != "distrust" and not any(found.topic == topic for found in self.findings):
            return "Not tested"
        return ANSWERS[topic].get(self.grade(topic), "Not tested")

    def save(self, folder: Path) -> None:
        """Writes report.html, scores.json, scores.csv and findings.json, in place of an earlier
        report's.

        Each is whole or as it was. Raises OutputError where `earlier` does.
        """
        from brainweave.evaluation.page import render

        page, table = render(self), _csv(self.scores)
        earlier(folder)
        sweep(folder)
        write_json(folder / JSON, [score.to_dict() for score in self.scores])
        answers = {topic: self.answer(topic) for topic in QUESTIONS}
        findings = [asdict(finding) for finding in self.findings]
        write_json(folder / WORDS, {"answers": answers, "findings": findings, "facts": self.facts})
        for name, content in ((CSV, table), (PAGE, page)):
            with atomic(folder / name) as temporary:
                temporary.write_text(content, encoding="utf-8", newline="\n")

    @staticmethod
    def load_scores(folder: Path) -> tuple[Score, ...]:
        """The scores of a saved report; a value that was not finite is NaN.

        Raises EvaluationError where there are none or they cannot be read.
        """
        path = folder / JSON
        try:
            return tuple(_score(entry) for entry in json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise EvaluationError(
                f"{folder} has no {JSON}; give the folder that `brainweave evaluate --out` wrote"
            ) from None
        except (ValueError, TypeError, AttributeError) as error:
            raise EvaluationError(f"{path} is not a list of scores: {error}") from error

    def summary(self) -> str:
        """The answers and the findings behind them."""
        lines = [self.title, ""]
        for topic, question in QUESTIONS.items():
            lines.append(f"{question} {self.answer(topic)}")
            lines += [f"  {found.text}" for found in self.findings if found.topic == topic]
        return "\n".join(lines)

    def __str__(self) -> str:
        """The summary, then the scores as a table of text."""
        return "\n".join([self.summary(), "", *_aligned(self.scores)])


def earlier(folder: Path) -> bool:
    """Whether `folder` holds a report that `save` would replace; makes the folder.

    Raises OutputError where `folder` is a file or holds anything that is not a report's: it may be
    a cohort. Ask before the work, not after it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise OutputError(f"{folder} is a file; give a folder for the report") from None
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    foreign = [
        name
        for name in names
        if name not in (PAGE, JSON, CSV, WORDS, *(f"{layout}.md" for layout in LAYOUTS))
    ]
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise OutputError(
            f"{folder} holds {foreign[0]}{more}, which no report wrote; give a new or empty folder"
        )
    return bool(names)


def _csv(scores: Sequence[Score]) -> str:
    """One line per score, numbers in full, nothing where there is no value."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [f.name for f in fields(Score)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(score.to_dict() for score in scores)
    return buffer.getvalue()


def _score(entry: dict[str, Any]) -> Score:
    known = {f.name for f in fields(Score)}
    unknown = set(entry) - known
    if unknown:
        raise ValueError(f"a score has no {sorted(unknown)[0]!r}")
    numbers = ("low", "high", "null_mean", "null_sd", "z")
    read = {name: None if entry.get(name) is None else float(entry[name]) for name in numbers}
    value = math.nan if entry.get("value") is None else float(entry["value"])
    return Score(**{**entry, **read, "value": value})


def _aligned(scores: Sequence[Score]) -> list[str]:
    """The scores as lines of text, numbers to the right."""
    head = ("score", "value", "95 % interval", "real: mean, sd", "z", "n")
    rows = [head, *(_cells(score) for score in scores)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _cells(score: Score) -> tuple[str, ...]:
    known = score.low is not None and score.high is not None
    interval = f"{number(score.low)} .. {number(score.high)}" if known else ""
    null = "" if score.null_mean is None else f"{number(score.null_mean)}, {number(score.null_sd)}"
    z = "" if score.z is None else f"{score.z:.1f}"
    return score.name, number(score.value), interval, null, z, str(score.n)
