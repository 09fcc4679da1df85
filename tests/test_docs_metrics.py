"""The reference of metrics names all that there is to name, as it is called."""

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from brainweave.cli import app
from brainweave.evaluation import Settings, comparison, effects, evaluate, paired
from brainweave.evaluation.appearance import SIGNS
from brainweave.evaluation.base import Score
from brainweave.evaluation.extractors import REGISTRY, extractor
from brainweave.evaluation.report import ANSWERS, CSV, JSON, LAYOUTS, PAGE, QUESTIONS, Report

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {name: (DOCS / name).read_text() for name in ("reference/metrics.md", "how-to/evaluate.md")}
_PARTS = re.split(r"^## (.+)$", PAGES["reference/metrics.md"], flags=re.MULTILINE)[1:]
SECTIONS = dict(zip(_PARTS[::2], _PARTS[1::2], strict=True))
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def named(section: str) -> set[str]:
    """What stands in backticks at the beginning of a section's rows."""
    rows = re.findall(r"^\| (`.+?`) \|", SECTIONS[section], re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_metric_of_features_has_a_row_and_no_other() -> None:
    assert effects.shift  # registers its metric where it is defined
    assert named("Of feature vectors") == set(comparison.METRICS)


def test_every_metric_of_pairs_has_a_row() -> None:
    assert set(paired.METRICS) <= named("Of pairs")


def test_every_sign_of_appearance_has_a_row() -> None:
    signs = {f"appearance/{sign.name}" for sign in SIGNS}
    assert signs == {name for name in named("Appearance and diversity") if "/" in name}


def test_every_extractor_has_a_row() -> None:
    assert {name for name in named("Extractors") if ":" not in name} == set(REGISTRY)


@pytest.mark.parametrize("name", ["wavelet", "random-cnn", "regions"])
def test_extractors_without_weights_have_the_dimension_and_digest_of_their_row(name: str) -> None:
    row = next(r for r in SECTIONS["Extractors"].splitlines() if r.startswith(f"| `{name}` |"))
    made = extractor(name)
    assert f"`{made.digest[:12]}`" in row
    assert re.search(rf"\| {made.dimension}\b", row)


@pytest.mark.parametrize("command", ["evaluate", "priors"])
def test_every_option_has_a_row_and_no_other(command: str) -> None:
    options = [p for p in COMMANDS[command].params if p.param_type_name == "option"]
    known = {word for option in options for word in (*option.opts, *option.secondary_opts)}
    assert named(f"Options of `{command}`") == known - {"--help", "-h"}


def test_every_file_and_field_of_a_report_has_a_row() -> None:
    files = {PAGE, JSON, CSV, *(f"{layout}.md" for layout in LAYOUTS)}
    assert files | set(Score.__dataclass_fields__) <= named("Files of a report")


def test_every_question_of_a_report_has_a_row_with_its_answers() -> None:
    for topic, question in QUESTIONS.items():
        row = re.search(
            rf"^\| {re.escape(question)} \|.*$", PAGES["how-to/evaluate.md"], re.MULTILINE
        )
        assert row is not None
        assert [answer for answer in ANSWERS[topic].values() if answer not in row[0]] == []


@pytest.mark.parametrize("made", [evaluate, Settings, Score, Report])
def test_signatures_are_those_of_the_page(made: Callable[..., object]) -> None:
    text = PAGES["how-to/evaluate.md"].replace("\n" + " " * 9, " ")
    found = re.search(rf"^{made.__name__}\(.*\).*$", text, re.MULTILINE)
    assert found is not None
    (said,) = ast.parse(f"def {found[0]}: ...").body
    assert isinstance(said, ast.FunctionDef)
    defaults = [*said.args.defaults, *(value for value in said.args.kw_defaults if value)]
    own = inspect.signature(made).parameters.values()
    assert [a.arg for a in (*said.args.args, *said.args.kwonlyargs)] == [p.name for p in own]
    known = [p.default for p in own if p.default is not p.empty]
    for value, default in zip(map(ast.literal_eval, defaults), known, strict=True):
        assert value == default or value == {}  # made anew by a factory
