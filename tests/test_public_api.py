"""What `import brainweave` gives, and that it costs nothing before it is used."""

import subprocess
import sys

import pytest

import brainweave

LIGHT = """
import sys, time
{action}
heavy = [name for name in ("torch", "numpy", "nibabel") if name in sys.modules]
print(heavy, time.process_time(), file=sys.stderr)
sys.exit(len(heavy) + (time.process_time() > 1.5))
"""
RUN = """
from brainweave.cli import main
sys.argv = ["brainweave", *{words}]
try:
    main()
except SystemExit as end:
    assert not end.code
"""


def python(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)


def test_all_is_what_dir_shows() -> None:
    assert sorted(brainweave.__all__) == dir(brainweave)


def test_all_names_are_different() -> None:
    assert len(set(brainweave.__all__)) == len(brainweave.__all__)


@pytest.mark.parametrize("name", brainweave.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(brainweave, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Generater'"):
        _ = brainweave.Generater


def test_star_import_gives_exactly_all() -> None:
    names: dict[str, object] = {}
    exec("from brainweave import *", names)
    assert set(names) - {"__builtins__"} == set(brainweave.__all__)


def test_importing_brainweave_loads_nothing_heavy() -> None:
    done = python(LIGHT.format(action="import brainweave"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [["--help"], [], ["generate", "--help"]], ids=str)
def test_help_loads_nothing_heavy_and_is_quick(words: list[str]) -> None:
    done = python(LIGHT.format(action=RUN.format(words=words)))
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
