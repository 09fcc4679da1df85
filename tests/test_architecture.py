"""Who may import whom, and how long a file may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import brainweave

SOURCE = Path(brainweave.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
LAYERS = [
    {"errors", "version"},
    {"part", "progress", "device", "lean", "backbones"},
    {"data", "processes"},
    {"representations", "conditions", "colouring", "toning"},
    {"networks", "sampling", "image_loss", "fitting", "atlas"},
    {"recipe", "compression", "maps"},
    {"model_folder", "values", "latent_folder", "space"},
    {"generator"},
    {"weights", "cost", "recipes", "provenance"},
    {"training", "interop", "generation", "completion", "evaluation"},
    {"inspection", "membership", "tuning", "roundtrip", "latents"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
ONLY = {
    "processes": {"errors", "part"},
    "evaluation": {"errors", "version", "part", "progress", "backbones", "data"},
}
HEAVY = {"torch", "numpy", "nibabel", "scipy", "pydantic", "safetensors", "PIL"}


def name(file: Path) -> str:
    return str(file.relative_to(SOURCE))


def home(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def modules(tree: ast.AST) -> Iterator[str]:
    """The full names of all that is imported, at any depth of a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "brainweave":
                yield from (f"brainweave.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def imported(file: Path) -> set[str]:
    """The layers' names that a file imports."""
    names = (module.split(".") for module in modules(ast.parse(file.read_text())))
    return {parts[1] for parts in names if parts[0] == "brainweave" and len(parts) > 1}


@pytest.mark.parametrize("file", FILES, ids=name)
def test_every_file_has_a_layer(file: Path) -> None:
    assert home(file) in {*RANK, "__init__"}


@pytest.mark.parametrize("file", FILES, ids=name)
def test_imports_point_down(file: Path) -> None:
    own = home(file)
    below = {name for name in RANK if own == "__init__" or RANK[name] < RANK[own]}
    wrong = imported(file) - ONLY.get(own, below) - {own}
    assert not wrong, f"{name(file)} may not import {sorted(wrong)}"


@pytest.mark.parametrize("file", FILES, ids=name)
def test_no_file_is_longer_than_300_lines(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 300


@pytest.mark.parametrize("file", FILES, ids=name)
def test_nibabel_is_imported_by_volume_only(file: Path) -> None:
    outside = {module.split(".")[0] for module in modules(ast.parse(file.read_text()))}
    assert "nibabel" not in outside or name(file) == "data/volume.py"


@pytest.mark.parametrize("light", ["__init__.py", "cli/__init__.py", "errors.py", "version.py"])
def test_modules_of_the_start_import_nothing_heavy(light: str) -> None:
    tree = ast.parse((SOURCE / light).read_text())
    first = ast.Module([n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], [])
    assert not HEAVY & {module.split(".")[0] for module in modules(first)}
