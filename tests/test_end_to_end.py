"""From no data to volumes by the command line, as a newcomer would; and seeds over processes."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from brainweave.data.table import read_table
from brainweave.data.tensors import content_hash
from brainweave.data.volume import Volume, read_grid
from brainweave.model_folder import load_recipe

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the chapters below share, in order."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


def volumes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.nii.gz"))}


def test_1_phantoms(cli: Cli, home: Path) -> None:
    ended = cli("phantom", "heads", "--count", 6, "--shape", "16,16,16", "--seed", 3)
    assert ended.code == 0, ended.err
    assert len(volumes(home / "heads")) == 6


def test_2_catalog(cli: Cli, home: Path) -> None:
    ended = cli("catalog", "heads", "--out", "cohort.csv")
    assert ended.out == "cohort.csv: 6 scans of 6 persons\n"
    assert read_table(home / "cohort.csv").columns == ("id", "subject", "age", "sex", "t1w")


def test_3_train(cli: Cli, home: Path, recipe_file: Path) -> None:
    ended = cli("train", recipe_file, "data=cohort.csv", "out=run", "training.lr=1e-3")
    assert ended.code == 0, ended.err
    assert load_recipe(home / "run").training.lr == 1e-3
    assert {"recipe.json", "weights.safetensors", "journal.jsonl", "samples", "state"} <= {
        path.name for path in (home / "run").iterdir()
    }


def test_4_train_again_does_nothing(cli: Cli, home: Path, recipe_file: Path) -> None:
    before = (home / "run" / "weights.safetensors").stat().st_mtime_ns
    ended = cli("train", recipe_file, "data=cohort.csv", "out=run", "training.lr=1e-3")
    assert ended.code == 0, ended.err
    assert (home / "run" / "weights.safetensors").stat().st_mtime_ns == before


def test_5_pack(cli: Cli, home: Path) -> None:
    assert cli("pack", "run", "--out", "model").code == 0
    run, model = (home / folder / "weights.safetensors" for folder in ("run", "model"))
    assert content_hash(run) == content_hash(model)  # bytes may differ: safetensors shuffles facts


def test_6_inspect(cli: Cli) -> None:
    ended = cli("inspect", "model")
    assert ended.code == 0
    assert "age from 20 to 80" in ended.out


def test_7_generate(cli: Cli, home: Path) -> None:
    ended = cli("generate", "model", "age=30,70", "sex=F", "--seed", 5, "--out", "out")
    assert ended.code == 0, ended.err
    assert list(volumes(home / "out")) == [
        "age-30_sex-F_seed-0005_T1w.nii.gz",
        "age-70_sex-F_seed-0005_T1w.nii.gz",
    ]
    assert read_grid(next((home / "out").glob("*.nii.gz"))) == load_recipe(home / "model").template
    facts = json.loads((home / "out" / "age-30_sex-F_seed-0005_T1w.json").read_text())
    assert facts["synthetic"] is True


def test_8_generate_again_makes_the_same(cli: Cli, home: Path) -> None:
    cli("generate", "model", "age=30,70", "sex=F", "--seed", 5, "--out", "again")
    assert volumes(home / "again") == volumes(home / "out")


def test_9_generate_from_the_participants_makes_the_same(cli: Cli, home: Path) -> None:
    ended = cli("generate", "model", "--cohort", "out/participants.tsv", "--out", "copies")
    assert ended.code == 0, ended.err
    assert volumes(home / "copies") == volumes(home / "out")


def test_a_model_is_trained_on_and_its_intensities_matched(
    cli: Cli, home: Path, recipe_file: Path
) -> None:
    words = ("data=cohort.csv", "out=on", "start=model", "training.steps=2")
    ended = cli("train", recipe_file, *words)
    assert ended.code == 0, ended.err
    assert load_recipe(home / "on").training.start == content_hash(
        home / "model/weights.safetensors"
    )
    ended = cli("tone", "on", "cohort.csv", "--volumes", 2, "--out", "toned")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("2 drawn and 5 real volumes: intensities ")
    ended = cli("generate", "toned", "age=30", "--out", "last")
    assert ended.code == 0, ended.err
    assert len(load_recipe(home / "toned").sampling.tone) > 3


def test_a_seed_gives_the_same_volume_in_two_processes(model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "brainweave", "generate", str(model), "age=30", "--count=4"]
    command += ["--sampler", "ancestral", "--guidance", "2", "--dtype", "float32"]
    runs = {
        "alone": ["--shard", "1/1"],
        "two": ["--shard", "1/2", "--batch", "2"],
        "two_": ["--shard", "2/2"],
    }
    processes = [
        subprocess.Popen([*command, *words, "--out", str(tmp_path / name.strip("_"))])
        for name, words in runs.items()
    ]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    alone, two = (sorted((tmp_path / name).glob("*.nii.gz")) for name in ("alone", "two"))
    assert [path.name for path in alone] == [path.name for path in two]
    for a, b in zip(alone, two, strict=True):
        torch.testing.assert_close(Volume.load(a).data, Volume.load(b).data, rtol=0, atol=1e-5)
    assert len(read_table(tmp_path / "two" / "participants.tsv").rows) == 4
