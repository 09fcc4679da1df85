"""The page of a report: one HTML file that opens offline, its pictures inside.

All text is escaped, for names come from users' files; the page runs no script and loads nothing.
"""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from io import BytesIO
from numbers import Real
from typing import Any

from PIL import Image, UnidentifiedImageError

from brainweave.errors import EvaluationError
from brainweave.evaluation.axes import number, signed
from brainweave.evaluation.base import Score
from brainweave.evaluation.forest import forest, has_null
from brainweave.evaluation.report import QUESTIONS, Figure, Finding, Grade, Report, Table, Topic
from brainweave.version import VERSION

LONG = 20  # rows above which a table is folded
_HEAVY = 150_000  # bytes above which a PNG is kept as JPEG
_SYMBOLS = {  # drawn, for not every font has them
    "good": "M2.5 8.5l4 4 7-9",
    "fair": "M2 9.5c2.5-5 5 2.5 7 0s3-3.5 5-1.5",
    "bad": "M3.5 3.5l9 9M12.5 3.5l-9 9",
    "unknown": "M5 5.2a3 3 0 1 1 4.4 2.6c-1 .5-1.4 1-1.4 2M8 12.8v.2",
}
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_COPIES = (  # of the audit, on the first screen
    "copies/residual P(d_train < d_test), all of train",
    "copies/nearest r mean",
    "copies/duplicates share",
)
_FOREST = (
    "Each mark is one score, placed by how far it lies from what disjoint halves of the real "
    "volumes score against each other: 0 is their mean, 1 their standard deviation, the band is "
    "±2. Right is higher, left is lower; what lies in the band cannot be told from real ones by "
    "that score. The line is the 95 % interval."
)


def render(report: Report) -> str:
    """The whole page. Raises EvaluationError for a picture that is no SVG, PNG or JPEG."""
    named = [*(f.section for f in report.figures), *(t.section for t in report.tables)]
    names = list(dict.fromkeys(named))
    sections = [(f"section-{index}", name) for index, name in enumerate(names)]
    last = [("scores", "All scores"), ("facts", "Settings, digests and versions")]
    links = "".join(f'<a href="#{at}">{escape(name)}</a>' for at, name in [*sections, *last])
    style = files("brainweave.evaluation").joinpath("page.css").read_text(encoding="utf-8")
    body = [
        f"<header><h1>{escape(report.title)}</h1>{_compared(report.facts)}</header>",
        f'<main><div class="first">{_cards(report)}{_first_forest(report.scores)}</div>',
        f'<nav aria-label="Sections">{links}</nav>',
        *(_section(at, name, report) for at, name in sections),
        _scores(report.scores),
        _facts(report.facts),
        "</main><footer><p class='soft'>Synthetic brains are not patients: not for clinical use. "
        f"brainweave {escape(VERSION)}</p></footer>",
    ]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f'<meta name="generator" content="brainweave {escape(VERSION)}">',
            f"<title>{escape(report.title)}</title>",
            f"<style>\n{style}</style></head><body>",
            *body,
            "</body></html>\n",
        ]
    )


def _compared(facts: dict[str, Any]) -> str:
    compared = facts.get("compared")
    if not isinstance(compared, dict):
        return f"<p>{escape(str(compared))}</p>" if compared else ""
    rows = (f"<dt>{escape(str(k))}</dt><dd>{escape(_said(v))}</dd>" for k, v in compared.items())
    return f'<dl class="compared">{"".join(rows)}</dl>'


def _cards(report: Report) -> str:
    cards = [_card(report, topic, question) for topic, question in QUESTIONS.items()]
    return f'<section class="cards" aria-label="Findings">{"".join(cards)}</section>'


def _card(report: Report, topic: Topic, question: str) -> str:
    """A question, its answer in words beside a symbol, and the sentences behind it."""
    grade = report.grade(topic)
    found = [finding for finding in report.findings if finding.topic == topic]
    mixed = len({finding.grade for finding in found}) > 1
    items = "".join(_finding(finding, mixed=mixed) for finding in found)
    return (
        f'<article class="card {grade}"><h2>{question}</h2>'
        f"<strong>{_symbol(grade)} "
        f"{escape(report.answer(topic))}</strong>{f'<ul>{items}</ul>' if items else ''}</article>"
    )


def _finding(finding: Finding, *, mixed: bool) -> str:
    symbol = _symbol(finding.grade, finding.grade) + " " if mixed else ""
    return f"<li>{symbol}{escape(finding.text)}</li>"


def _symbol(grade: Grade, said: str = "") -> str:
    """A grade's mark; `said` is read out where no word beside it says it."""
    role = f'role="img" aria-label="{said}"' if said else 'aria-hidden="true"'
    path = f'<path d="{_SYMBOLS[grade]}"/>'
    return f'<svg class="symbol {grade}" viewBox="0 0 16 16" {role}>{path}</svg>'


def _first_forest(scores: Sequence[Score]) -> str:
    """The forest plot of what answers first, wide and for a phone."""
    return _forest([s for s in scores if _leads(s)], "Scores against halves of the real volumes")


def _leads(score: Score) -> bool:
    """Whether a score is on the first screen: of strata, of other numbers of neighbours and of
    single regions and spaces there are too many."""
    name = score.name
    if " [" in name or name.endswith(("@3", "@10")) or name.startswith("asymmetry/"):
        return False
    if name.startswith("anatomy/"):
        return name.endswith("/effect") and not name.startswith("anatomy/right ")
    return not name.startswith("copies/") or name in _COPIES


def _forest(scores: Sequence[Score], title: str) -> str:
    drawn = [score for score in scores if has_null(score)]
    if not drawn:
        return f"<figure><h3>{title}</h3><p>No score has halves of real to lie beside.</p></figure>"
    left = len(scores) - len(drawn)
    rest = f" {left} more without such halves: see all scores." if left else ""
    return (
        f'<figure><h3>{title}</h3><div class="wide">{forest(drawn, title=title)}</div>'
        f'<div class="narrow">{forest(drawn, title=title, narrow=True)}</div>'
        f"<figcaption>{_FOREST}{rest}</figcaption></figure>"
    )


def _section(at: str, name: str, report: Report) -> str:
    figures = [_figure(figure) for figure in report.figures if figure.section == name]
    tables = [_table(table) for table in report.tables if table.section == name]
    grid = f'<div class="figures">{"".join(figures)}</div>' if figures else ""
    return f'<section id="{at}"><h2>{escape(name)}</h2>{grid}{"".join(tables)}</section>'


def _figure(figure: Figure) -> str:
    tag = ' <span class="tag">synthetic</span>' if figure.synthetic else ""
    return (
        f"<figure><h3>{escape(figure.title)}{tag}</h3>{_picture(figure)}"
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
    )


def _picture(figure: Figure) -> str:
    """SVG as it is, bytes as a data URI; large PNGs as JPEG."""
    if isinstance(figure.body, str):
        if not figure.body.startswith("<svg"):
            raise EvaluationError(f"figure {figure.title!r} is text but no SVG of brainweave")
        return figure.body
    try:
        with Image.open(BytesIO(figure.body)) as picture:
            kind, (width, height) = picture.format, picture.size
            body = figure.body
            if kind == "PNG" and len(body) > _HEAVY:
                kind, body = "JPEG", _jpeg(picture)
    except UnidentifiedImageError:
        kind = None
    if kind not in ("PNG", "JPEG"):
        raise EvaluationError(f"figure {figure.title!r} is neither SVG nor PNG nor JPEG")
    alt = escape(("synthetic: " if figure.synthetic else "") + figure.title)
    data = f"data:image/{kind.lower()};base64,{b64encode(body).decode()}"
    return f'<img src="{data}" alt="{alt}" width="{width}" height="{height}">'


def _jpeg(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.convert("L" if picture.mode == "L" else "RGB").save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _table(table: Table) -> str:
    """A table, folded where it is long; columns of numbers stand to the right."""
    numeric = [
        any(_is_number(row[column]) for row in table.rows)
        and all(row[column] is None or _is_number(row[column]) for row in table.rows)
        for column in range(len(table.columns))
    ]
    kinds = [' class="number"' if flag else "" for flag in numeric]
    head = "".join(
        f'<th scope="col"{kind}>{escape(name)}</th>'
        for name, kind in zip(table.columns, kinds, strict=True)
    )
    rows = "".join(
        "<tr>"
        + "".join(f"<td{k}>{_cell(v)}</td>" for v, k in zip(row, kinds, strict=True))
        + "</tr>"
        for row in table.rows
    )
    inner = (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f'<tbody>{rows}</tbody></table></div><p class="caption">{escape(table.caption)}</p>'
    )
    title = escape(table.title)
    if len(table.rows) <= LONG:
        return f'<div class="table"><h3>{title}</h3>{inner}</div>'
    return (
        f'<details class="table"><summary>{title} ({len(table.rows)} rows)</summary>'
        f"{inner}</details>"
    )


def _scores(scores: Sequence[Score]) -> str:
    """All scores: those of strata and all that is not on the first screen as forest plots of their
    own, then the table."""
    strata = [score for score in scores if " [" in score.name and has_null(score)]
    others = [s for s in scores if " [" not in s.name and not _leads(s) and has_null(s)]
    drawn = _forest(strata, "Scores within strata") if strata else ""
    if others:
        more = _forest(others, "More scores against halves of the real volumes")
        summary = f"<summary>{len(others)} more scores beside their null</summary>"
        drawn += f"<details>{summary}{more}</details>"
    columns = ("score", "value", "low", "high", "real: mean", "real: sd", "z", "n", "features")
    rows = tuple(
        (s.name, s.value, s.low, s.high, s.null_mean, s.null_sd, s.z, s.n, s.digest[:12])
        for s in scores
    )
    caption = (
        "low, high: 95 % interval. real: the same score between disjoint halves of the real "
        "volumes. z: (value - mean) / sd. n: volumes or pairs on each side. features: the first "
        "letters of the SHA-256 of what the score was computed on. In full in scores.json."
    )
    table = _table(Table("", "Scores", columns, rows, caption))
    return f'<section id="scores"><h2>All scores</h2>{drawn}{table}</section>'


def _facts(facts: dict[str, Any]) -> str:
    """Every fact but what was compared, in tables by group."""
    lone = {name: value for name, value in facts.items() if not isinstance(value, dict)}
    groups = {"Settings": {k: v for k, v in lone.items() if k != "compared"}}
    groups |= {
        name: value for name, value in facts.items() if name not in lone and name != "compared"
    }
    tables = [
        _table(Table("", name, ("name", "value"), tuple((k, _said(v)) for k, v in v.items()), ""))
        for name, v in groups.items()
        if v
    ]
    heading = "<h2>Settings, digests and versions</h2>"
    return f'<section id="facts">{heading}{"".join(tables)}</section>'


def _said(value: Any) -> str:
    """A fact in words."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value))
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_said(inner)}" for name, inner in value.items())
    if value is None:
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool) or not _is_number(value):
        return escape(str(value))
    return signed(number(float(value), missing="–") if isinstance(value, float) else str(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
