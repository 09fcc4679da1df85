"""What README and docs say can be done, can be done: blocks run, commands parse, links lead on."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
import yaml

from brainweave.cli import app
from brainweave.cost import parameter_count
from brainweave.data.phantom import phantom
from brainweave.generator import Generator
from brainweave.part import Part
from brainweave.recipes import RECIPES, build
from brainweave.version import VERSION

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`(brainweave [^`]+)`")
LINK = re.compile(r"\]\((?!https?://)([^)#]+)")
FILE = re.compile(r"\b(?:benchmarks|docs|examples|src|tests)/[\w/.-]*\w")


class Block(NamedTuple):
    """Fenced text: where, in which language, what, and the plain block that follows as output."""

    page: Path
    language: str
    text: str
    output: str | None


def blocks(page: Path) -> list[Block]:
    found = list(FENCE.finditer(page.read_text()))
    made = []
    for match, following in zip(found, [*found[1:], None], strict=False):
        beside = following and not page.read_text()[match.end() : following.start()].strip()
        output = following[2] if following and beside and not following[1] else None
        made.append(Block(page, match[1], match[2], output))
    return made


def commands() -> list[str]:
    """Every brainweave command of every page, in blocks and in running text."""
    found = []
    for page in PAGES:
        for block in blocks(page):
            lines = block.text.replace("\\\n", " ").splitlines() if block.language == "bash" else []
            for line in lines:
                if match := re.search(r"(?:^|-m |srun )(brainweave .+)", line):
                    found.append(re.split(r" # | & ", match[1])[0])
        found += SPAN.findall(FENCE.sub("", page.read_text()))
    return sorted({" ".join(command.split()) for command in found})


def relative(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


PYTHON = [block for page in PAGES for block in blocks(page) if block.language == "python"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README's commands leave it: runs/heads is a model, here an untrained one."""
    folder = tmp_path_factory.mktemp("home")
    smaller = ["network.width=8", "network.groups=4", "sampling.steps=2", "representation.whiten=0"]
    recipe = build("tiny", ["training.band_power=0", *smaller])
    grid = phantom(age=50.0, sex="F", seed=0, shape=(32, 40, 32))["t1w"].grid
    Generator(recipe.replace(template=grid)).save(folder / "runs" / "heads")
    return folder


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: relative(block.page))
def test_python_blocks_run_and_print_what_stands_below_them(block, home, monkeypatch, capsys):
    monkeypatch.chdir(home)
    exec(compile(block.text, relative(block.page), "exec"), {"__name__": "page"})
    printed = capsys.readouterr().out
    assert block.output is None or printed == block.output


@pytest.mark.parametrize("command", commands())
def test_commands_parse(command):
    name, *words = shlex.split(command)[1:]
    if name in ("--help", "X"):
        return
    known = typer.main.get_command(app).commands
    assert name in known
    if words and words != ["--help"]:
        known[name].make_context(name, words)


PLACES = ("data", "out", "latents", "start", "autoencoder", "schema")  # paths that are not there


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("brainweave train ")])
def test_recipes_can_be_assigned_what_train_commands_assign(command):
    recipe, *assignments = shlex.split(command)[2:]
    own = [a for a in assignments if a.partition("=")[0] not in PLACES]
    if not recipe.endswith(".py") and recipe != "RECIPE":
        build(recipe, own)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_lead_to_files(page):
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_named_files_exist(page):
    named = set(FILE.findall(page.read_text()))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("name", RECIPES)
def test_the_table_of_recipes_says_their_parameters(name):
    row = re.search(rf"^\| `{name}` \|.*\| ([\d,.]+) M \|$", README.read_text(), re.MULTILINE)
    assert row is not None
    assert row[1] == f"{parameter_count(build(name)) / 1e6:,.1f}"


def test_the_reference_names_every_field_of_every_part_it_describes():
    text = (ROOT / "docs" / "reference" / "recipes.md").read_text()
    sections = re.split(r"^## `(\w+)`$", text, flags=re.MULTILINE)[1:]
    for name, section in zip(sections[::2], sections[1::2], strict=True):
        rows = re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE)
        fields = re.findall(r"`(\w+)`", " ".join(rows))
        assert sorted(fields) == sorted(Part.registry[name].fields()), name


def test_the_citation_and_the_changelog_are_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == VERSION
    assert f"## [{VERSION}]" in (ROOT / "CHANGELOG.md").read_text()
