"""The command line: what it prints, and that bad input is one line, a code and nothing written."""

import csv
import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brainweave.data.volume import Volume
from brainweave.errors import BrainweaveError
from brainweave.generator import Generator
from brainweave.recipe import Recipe

Change = Callable[[Path], None]
Cli = Callable[..., Any]
State = dict[str, tuple[int, int]]


@pytest.fixture
def place(
    tmp_path: Path, heads: Path, model: Path, recipe_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A working folder with a model, heads with their table, and a recipe file."""
    shutil.copytree(heads.parent, tmp_path / "heads")
    shutil.copytree(model, tmp_path / "model")
    shutil.copy(recipe_file, tmp_path / "toy.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def state(folder: Path) -> State:
    """Every file and folder below, with size and time."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() or not any(path.iterdir())
    }


def rewrite(column: str, value: str, row: int = 0) -> Change:
    """Changes a field of the table of heads."""

    def change(place: Path) -> None:
        table = place / "heads" / "cohort.csv"
        rows = list(csv.DictReader(table.read_text().splitlines()))
        rows[row][column] = value
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)

    return change


def scan(place: Path) -> Path:
    return place / "heads" / "sub-0003_t1w.nii.gz"


def truncate(place: Path) -> None:
    scan(place).write_bytes(scan(place).read_bytes()[:-40])


def poison(place: Path) -> None:
    """NaN, which our own writer refuses."""
    Volume(torch.rand(16, 16, 16), np.diag([10.0, 10, 10, 1])).save(scan(place), dtype="float32")
    content = bytearray(gzip.decompress(scan(place).read_bytes()))
    content[-4:] = np.float32(np.nan).tobytes()
    scan(place).write_bytes(gzip.compress(content))


def flatten(place: Path) -> None:
    Volume(torch.full((16, 16, 16), 7.0), np.diag([10.0, 10, 10, 1])).save(scan(place))


def write(name: str, text: str) -> Change:
    def change(place: Path) -> None:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return change


def remove(name: str) -> Change:
    return lambda place: (place / name).unlink()


def tamper(place: Path) -> None:
    path = place / "model" / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


def deafen(place: Path) -> None:
    """The model without cross-attention."""
    recipe = Generator.load(place / "model").recipe
    network = recipe.network.replace(cross_attention=False)
    Generator(recipe.replace(network=network)).save(place / "model")


def never_null(place: Path) -> None:
    """A model that was trained with every condition heard."""
    generator = Generator.load(place / "model")
    training = generator.recipe.training.replace(drop_conditions=0)
    generator.recipe = generator.recipe.replace(training=training)
    generator.save(place / "model")


def strangers_pickle(place: Path) -> None:
    """A checkpoint that holds code."""

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("run",)

    torch.save({"model": Evil()}, place / "evil.pth")
    write("config.json", '{"model_channels": 8}')(place)
    write("condition_ranges.json", '{"Age": [20, 80]}')(place)


TRAIN = "train toy.json data=heads/cohort.csv out=run"
BAD: list[tuple[str, str, Change | None, str]] = [
    ("unknown command", "trian", None, "No such command 'trian'"),
    ("unknown option", "generate model --sed 1", None, "No such option"),
    ("option without value", "generate model --seed", None, "requires an argument"),
    ("no number", "generate model --seed one", None, "Invalid value for '--seed'"),
    ("train without data", "train toy.json out=run", None, "data=... is needed"),
    ("train without out", "train toy.json data=heads", None, "out=... is needed"),
    ("data twice", f"{TRAIN} data=other.csv", None, "data=... is given twice"),
    ("unknown recipe", "train tiyn data=heads out=run", None, "did you mean 'tiny'"),
    ("misspelt field", f"{TRAIN} training.learning=1", None, "no field 'learning'"),
    ("no assignment", f"{TRAIN} fast", None, "'fast' is no assignment"),
    ("negative lr", f"{TRAIN} training.lr=-1", None, "lr: Input should be greater than 0"),
    ("odd shape", f"{TRAIN} preprocess.shape=[15,16,16]", None, "must be a multiple of 4"),
    ("unknown device", f"{TRAIN} --device tpu", None, "tpu"),
    ("absent cohort", "train toy.json data=no.csv out=run", None, "no.csv does not exist"),
    ("absent image", TRAIN, remove("heads/sub-0003_t1w.nii.gz"), "sub-0003_t1w.nii.gz does not"),
    ("truncated image", TRAIN, truncate, "sub-0003_t1w.nii.gz"),
    ("NaN voxels", TRAIN, poison, "sub-0003_t1w.nii.gz"),
    ("constant image", TRAIN, flatten, "every voxel is 7"),
    ("no image", TRAIN, write("heads/sub-0003_t1w.nii.gz", "text"), "sub-0003_t1w.nii.gz"),
    ("id twice", TRAIN, rewrite("id", "sub-0001", 1), "'sub-0001' is used 2 times"),
    ("age out of range", TRAIN, rewrite("age", "200"), "has age 200, outside 20 to 80"),
    ("age no number", TRAIN, rewrite("age", "old"), "has age 'old', which is no number"),
    ("unknown sex", TRAIN, rewrite("sex", "X"), "has sex 'X', none of F, M"),
    ("another modality", f"{TRAIN} target=t2w", None, "nobody has a t2w; there is t1w"),
    ("data of a folder", "train toy.json data=model out=run", None, "model"),
    ("run is no run", TRAIN, write("run/thesis.doc", "mine"), "run is not empty and no run"),
    ("run is a file", TRAIN, write("run", "mine"), "run is a file"),
    ("run is a model", TRAIN.replace("=run", "=model"), None, "model has weights but no state"),
    ("age too high", "generate model age=200", None, "age=200 is outside the trained 20 to 80"),
    ("unknown condition", "generate model agee=70", None, "'agee'; did you mean 'age'"),
    ("unknown category", "generate model sex=X", None, "sex=X is unknown; known: F, M"),
    ("no volume", "generate model --count 0", None, "count 0 and seed 0"),
    ("negative seed", "generate model --seed -1", None, "seed -1"),
    ("huge seed", "generate model --seed 99999999999999999999", None, "2^63"),
    ("listen to what is not", "generate model --listen film", deafen, "has no cross-attention"),
    ("unknown listen", "generate model --listen some", None, "--listen some is unknown"),
    ("unknown sampler", "generate model --sampler nope", None, "unknown sampler 'nope'"),
    ("no steps", "generate model --steps 0", None, "steps: Input should be greater"),
    ("bad guidance", "generate model --guidance nan", None, "guidance: Input should be a finite"),
    ("no null", "generate model --guidance 2", never_null, "so it has no null to guide away from"),
    ("bad batch", "generate model --batch 0", None, "--batch 0"),
    ("bad dtype", "generate model --dtype int8", None, "--dtype int8 is unknown"),
    ("bad shard", "generate model --shard 3/2", None, "--shard 3/2"),
    ("bad device", "generate model --device meta", None, "--device meta cannot be used"),
    ("out is a file", "generate model --out toy.json", None, "toy.json is a file"),
    (
        "someone's participants",
        "generate model --out bids",
        write("bids/participants.tsv", "participant_id\tage\nsub-1\t30\n"),
        "participants.tsv is not brainweave's",
    ),
    ("cohort and words", "generate model age=3 --cohort x.csv", None, "leave age=3 out"),
    ("cohort and count", "generate model --cohort x.csv --count 2", None, "leave --count 2 out"),
    ("absent plan", "generate model --cohort x.csv", None, "x.csv"),
    ("model without recipe", "generate model", remove("model/recipe.json"), "no model folder"),
    ("model without weights", "generate model", remove("model/weights.safetensors"), "not exist"),
    ("tampered weights", "generate model", tamper, "does not match its own hash"),
    ("broken recipe", "generate model", write("model/recipe.json", "{"), "is not JSON"),
    ("unknown model", "generate nowhere age=70", None, "nowhere is no model folder"),
    ("inspect nothing", "inspect nowhere", None, "nowhere is no model folder"),
    ("inspect half", "inspect model", remove("model/weights.safetensors"), "does not exist"),
    ("pack nothing", "pack nowhere --out new", None, "nowhere is no model"),
    ("pack over", "pack model --out heads", None, "heads is not empty"),
    ("pack onto a file", "pack model --out toy.json", None, "toy.json"),
    ("three recipes", "recipes tiny tiny tiny", None, "at most two"),
    ("unknown recipe to print", "recipes flowlot", None, "did you mean 'flowlet"),
    ("pickle", "import flowlet evil.pth --out new", strangers_pickle, "evil.pth"),
    ("unknown import", "import nnunet x.pth --out new", None, "no importer is called 'nnunet'"),
    ("absent import", "import flowlet x.pth --out new", None, "x.pth"),
    ("catalog of nothing", "catalog nowhere --out new.csv", None, "nowhere does not exist"),
    ("catalog over", "catalog heads --out toy.json", None, "toy.json"),
    ("bad edges", "phantom new --shape 16,16", None, "--shape 16,16: three whole numbers"),
    ("flat edges", "phantom new --shape 16,0,16", None, "shape (16, 0, 16)"),
    ("no phantoms", "phantom new --count 0", None, "0 phantoms"),
    ("unknown contrast", "phantom new --modalities t3", None, "t3"),
    ("bad spacing", "phantom new --spacing 0", None, "spacing 0"),
]
DECODED = {"truncated image", "NaN voxels", "constant image"}  # found while the cache is filled


@pytest.mark.parametrize(("name", "words", "change", "message"), BAD, ids=[bad[0] for bad in BAD])
def test_bad_input_is_one_line_a_code_and_nothing_written(
    place: Path, cli: Cli, name: str, words: str, change: Change | None, message: str
) -> None:
    if change is not None:
        change(place)
    before = state(place)
    ended = cli(*words.split())
    lines = ended.err.splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert "a bug" not in lines[0]
    assert ended.code in range(1, 100)
    left = {path for path in state(place) if not (name in DECODED and path.startswith("run/cache"))}
    assert {path: state(place)[path] for path in left} == before


def test_a_refused_cohort_may_be_repaired_and_trained_in_the_same_folder(
    place: Path, cli: Cli
) -> None:
    good = scan(place).read_bytes()
    flatten(place)
    assert cli(*TRAIN.split()).code == 3
    scan(place).write_bytes(good)
    assert cli(*TRAIN.split()).code == 0


def test_another_recipe_does_not_go_on_in_a_run(place: Path, cli: Cli) -> None:
    assert cli(*TRAIN.split()).code == 0
    before = state(place)
    ended = cli(*TRAIN.split(), "training.lr=0.5")
    assert ended.code == 2
    assert "training.lr was 0.0001, now 0.5" in ended.err
    assert state(place) == before


@pytest.mark.parametrize(
    "words", ["trian", "generate model age=200", "generate nowhere", "train toy.json data=x"]
)
def test_the_installed_command_has_no_traceback_either(place: Path, words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "brainweave", *words.split()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.usefixtures("place")
def test_debug_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    from brainweave.cli import main

    words = ["brainweave", "generate", "model", "age=200", "--debug"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(BrainweaveError, match="age=200 is outside"):
        main()


@pytest.mark.usefixtures("place")
def test_an_interruption_is_no_error(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Generator, "sample", interrupted)
    ended = cli("generate", "model")
    assert ended.code == 130
    assert ended.err.splitlines() == ["interrupted; the same command goes on"]


def test_without_words_help_is_shown(cli: Cli) -> None:
    ended = cli()
    assert ended.code == 0
    assert "Usage" in ended.out
    assert ended.err == ""


def test_inspect_names_conditions_with_their_ranges(place: Path, cli: Cli) -> None:
    ended = cli("inspect", "model")
    assert ended.code == 0
    for word in ("age", "20", "80", "F, M", "parameters", "FLOP", "licence", "18 x 20 x 15"):
        assert word in ended.out


def test_recipes_are_listed(cli: Cli) -> None:
    ended = cli("recipes")
    assert ended.code == 0
    assert all(name in ended.out for name in ("flowlet", "flowlet_base", "t1_2mm", "tiny"))


def test_two_recipes_are_compared(cli: Cli) -> None:
    ended = cli("recipes", "flowlet", "flowlet_base")
    assert ended.code == 0
    assert "network.multipliers" in ended.out


def test_packed_halves_are_said(place: Path, cli: Cli) -> None:
    ended = cli("pack", "model", "--out", "small", "--half")
    assert ended.out.startswith("small: recipe.json and weights.safetensors, content ")
    assert {path.name for path in (place / "small").iterdir()} == {
        "recipe.json",
        "weights.safetensors",
    }


def test_the_model_may_be_named_without_conditions(place: Path, cli: Cli) -> None:
    assert cli("generate", "model", "--steps", "1", "--out", "o").code == 0
    assert (place / "o" / "seed-0000_T1w.nii.gz").exists()


def test_extrapolation_is_possible_when_asked(place: Path, cli: Cli) -> None:
    ended = cli("generate", "model", "age=90", "--extrapolate", "--steps", "1", "--out", "o")
    assert ended.code == 0
    assert (place / "o" / "age-90_seed-0000_T1w.nii.gz").exists()


def test_a_recipe_in_a_file_has_fields_too(place: Path, cli: Cli, tiny_recipe: Recipe) -> None:
    assert cli(*TRAIN.split(), "training.steps=1").code == 0
    recipe = Generator.load(place / "run").recipe
    assert recipe.training == tiny_recipe.training.replace(steps=1)
    assert recipe.template is not None
