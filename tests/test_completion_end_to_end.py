"""From phantoms to completed cases by the command line, as a newcomer would."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brainweave.data.volume import read_grid
from brainweave.model_folder import load_recipe

Cli = Callable[..., Any]
SHAPE = ("--shape", "32,40,32", "--modalities")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the chapters below share, in order."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def test_1_train_on_cases(cli: Cli, home: Path) -> None:
    assert cli("phantom", "heads", "--count", 3, *SHAPE, "t1w,t1c,t2w,flair,seg").code == 0
    ended = cli("train", "complete_tiny", "data=heads", "out=run", "steps=2")
    assert ended.code == 0, ended.err
    assert "brainweave complete run CASES" in ended.out
    images = load_recipe(home / "run").images
    assert images is not None
    assert images.regression is not None


def test_2_drop_the_official_modality_of_every_case(cli: Cli, home: Path) -> None:
    names = {"t1w": "t1n", "t1c": "t1c", "t2w": "t2w", "flair": "t2f", "seg": "seg"}
    for index, source in enumerate(sorted((home / "heads").glob("*_t1w.nii.gz"))):
        case = f"BraTS-GLI-0000{index}-000"
        (home / "cases" / case).mkdir(parents=True)
        for ours, theirs in names.items():
            path = Path(str(source).replace("_t1w", f"_{ours}"))
            shutil.copy(path, home / "cases" / case / f"{case}-{theirs}.nii.gz")
    ended = cli("drop", "cases", "pseudo", "--seed", 123456)
    assert ended.code == 0, ended.err
    assert len(list((home / "pseudo").glob("*/*.nii.gz"))) == 3 * 3


def test_3_complete(cli: Cli, home: Path) -> None:
    ended = cli("complete", "run", "pseudo", "--out", "completed")
    assert ended.code == 0, ended.err
    made = sorted((home / "completed").glob("*/*.nii.gz"))
    assert len(made) == 3
    for path in made:
        real = home / "cases" / path.parent.name / path.name  # under the name that was dropped
        assert read_grid(path) == read_grid(real)
        facts = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
        assert facts["synthetic"] is True
        assert facts["calls"] == 2


def test_4_completing_again_makes_nothing(cli: Cli, home: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (home / "completed").glob("*/*.nii.gz")}
    assert cli("complete", "run", "pseudo", "--out", "completed").code == 0
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_5_tune(cli: Cli, home: Path) -> None:
    ended = cli("tune", "run", "heads", "--steps", "1,2", "--volumes", 2, "--count", 8)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[0].split() == ["steps", "even", "times", "tuned", "where"]
    assert len(load_recipe(home / "run").sampling.grids) == 2


def test_6_export(cli: Cli, home: Path) -> None:
    ended = cli("export-nnunet", "cases", "nnunet")
    assert ended.code == 0, ended.err
    assert len(list((home / "nnunet" / "imagesTr").iterdir())) == 3 * 4


def test_7_what_cannot_be_completed_is_one_line(cli: Cli, home: Path) -> None:
    for words, text in (
        (("run", "nowhere", "--out", "x"), "nowhere"),
        (("run", "pseudo", "--out", "pseudo"), "input"),
        (("run", "pseudo", "--out", "x", "--only", "pd"), "pd"),
        (("run", "pseudo", "--out", "x", "--sampler", "ancestral"), "ancestral"),
    ):
        ended = cli("complete", *words)
        assert ended.code in (2, 3), words
        assert text in ended.err
        assert len(ended.err.strip().splitlines()) == 1
    assert not (home / "x").exists()
