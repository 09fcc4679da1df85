"""The command: what it is told, what it refuses, what it runs afterwards."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lacking import said, state
from PIL import Image
from typer.testing import CliRunner

from brainweave.cli import completing
from brainweave.completion import Completion, complete
from brainweave.conditions import Images
from brainweave.data.cohort import Cohort, Subject
from brainweave.data.table import read_table
from brainweave.data.volume import Volume
from brainweave.errors import CheckpointError, OutputError, RecipeError
from brainweave.generator import Generator
from brainweave.recipe import Recipe

Fill = Callable[..., list[Path]]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A command that appends its words to tmp_path / "log", and fails for a case that has a file
    "bad" among its inputs."""
    path = tmp_path / "segment.py"
    path.write_text(
        "import sys, pathlib\n"
        f"pathlib.Path({str(tmp_path / 'log')!r}).open('a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "sys.exit(7 if pathlib.Path(sys.argv[2], 'bad').exists() else 0)\n"
    )
    return path


def ran(tmp_path: Path) -> list[str]:
    """The case that each run of the script was told, since the last look."""
    log = tmp_path / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return [Path(line.split()[0]).name for line in lines]


def test_the_table_says_what_was_made(fill: Fill, tmp_path: Path) -> None:
    fill(samples=2, only=["t1c"])
    table = read_table(tmp_path / "out" / "completed.tsv")
    assert table.column("file") == [
        "A/A_t1ce_sample-01.nii.gz",
        "A/A_t1ce_sample-02.nii.gz",
        "A/A_t1ce_std.nii.gz",
    ]
    assert table.column("draw") == ["1", "2", "n/a"]
    assert set(table.column("made_from")) == {"t1w,t2w,flair"}
    assert set(table.column("synthetic")) == {"1"}


def test_the_picture_has_a_row_per_case(fill: Fill, tmp_path: Path) -> None:
    fill()
    with Image.open(tmp_path / "out" / "montage.png") as picture:
        assert picture.height > 2 * 3 * 100
        assert picture.width > 4 * 100


def test_two_steps_begin_where_times_say(fill: Fill) -> None:
    told = said(fill(times=(0.0, 0.25), only=["t1c"])[0])
    assert (told["sampling"]["steps"], told["sampling"]["grids"]) == (2, [[0, 0.25]])
    assert told["calls"] == 2


def test_steps_and_sampler_are_those_asked_for(fill: Fill) -> None:
    told = said(fill(steps=3, sampler="heun", only=["t1c"])[0])
    assert (told["sampling"]["steps"], told["sampling"]["sampler"]) == (3, "heun")
    assert told["calls"] == 5


def test_the_mean_with_the_mirrored_is_twice_the_calls(
    filler_recipe: Recipe, randomised: Callable[[Recipe], Generator], fill: Fill, tmp_path: Path
) -> None:
    sampling = filler_recipe.sampling.replace(mirror=True)
    randomised(filler_recipe.replace(sampling=sampling)).save(tmp_path / "model")
    assert said(fill(model=tmp_path / "model")[0])["calls"] == 4


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({"frame": "boxx"}, "frame"),
        ({"dtype": "int8"}, "dtype"),
        ({"precision": "fp8"}, "precision"),
        ({"samples": 0}, "samples"),
        ({"seed": -1}, "seed"),
        ({"steps": 0}, "steps"),
        ({"sampler": "eular"}, "did you mean 'euler'"),
        ({"times": (0.5, 0.2)}, "do not rise"),
        ({"times": (0.0,), "steps": 2}, "leave --steps out"),
        ({"only": ("ct",)}, "makes no 'ct'"),
        ({"then": "no-such-command {case}"}, "no-such-command is no command"),
        ({"then": "echo 'x"}, "no closing quotation"),
        ({"then": ""}, "nothing is no command"),
        ({"match": ("a.nii.gz",)}, "t1c, t2w are made; say whose it is, as flair=a.nii.gz"),
        ({"device": "cuda:99"}, "--device cuda:99 cannot be used"),
    ],
    ids=str,
)
def test_impossible_words_are_refused_before_anything_is_written(
    fill: Fill, tmp_path: Path, words: dict[str, object], error: str
) -> None:
    with pytest.raises(RecipeError, match=error):
        fill(**words)
    assert not (tmp_path / "out").exists()


def test_a_modality_matches_one_volume(fill: Fill, cases: Path) -> None:
    like = cases / "A" / "A_t1.nii.gz"
    with pytest.raises(RecipeError, match="t1c has a volume to match already"):
        fill(match=(str(like), f"t1ce={like}"), only=("t1c",))


def test_a_model_that_generates_is_refused(fill: Fill, model: Path) -> None:
    with pytest.raises(RecipeError, match="makes volumes from nothing; brainweave generate is for"):
        fill(model=model)


def test_a_model_that_is_not_there_is_refused(fill: Fill) -> None:
    with pytest.raises(CheckpointError, match="absent is no model folder"):
        fill(model="absent")


def test_a_model_of_one_target_completes_that(
    filler_recipe: Recipe, randomised: Callable[[Recipe], Generator], fill: Fill, tmp_path: Path
) -> None:
    three = Images(modalities=("t1w", "t2w", "flair"), required=True)
    recipe = filler_recipe.replace(target="t1c", conditions=(three,))
    randomised(recipe).save(tmp_path / "model")
    assert [path.name for path in fill(model=tmp_path / "model")] == ["A_t1ce.nii.gz"]


def test_bids_becomes_a_derivative(
    fill: Fill, scans: list[dict[str, Volume]], tmp_path: Path
) -> None:
    for name in ("T1w", "T2w"):
        place = tmp_path / "bids" / "sub-1" / "anat" / f"sub-1_{name}.nii.gz"
        scans[0][name.lower()].save(place)
    paths = fill(input=tmp_path / "bids", out=tmp_path / "bids" / "derivatives" / "made")
    assert [path.name for path in paths] == [
        "sub-1_ce-gadolinium_desc-synthetic_T1w.nii.gz",
        "sub-1_desc-synthetic_FLAIR.nii.gz",
    ]
    root = tmp_path / "bids" / "derivatives" / "made"
    dataset = json.loads((root / "dataset_description.json").read_text())
    assert dataset["DatasetType"] == "derivative"
    assert dataset["GeneratedBy"][0]["Name"] == "brainweave"
    assert Cohort.from_bids(root).modalities == ("t1c", "flair")
    again = fill(input=tmp_path / "bids", out=root)
    assert again == paths


def test_the_description_of_another_data_set_is_left(
    fill: Fill, scans: list[dict[str, Volume]], tmp_path: Path
) -> None:
    scans[0]["t1w"].save(tmp_path / "bids" / "sub-1" / "anat" / "sub-1_T1w.nii.gz")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dataset_description.json").write_text('{"Name": "mine"}')
    with pytest.raises(OutputError, match=r"dataset_description.json is not brainweave's"):
        fill(input=tmp_path / "bids")


def test_a_table_is_completed_by_id(
    fill: Fill, scans: list[dict[str, Volume]], tmp_path: Path
) -> None:
    images = {name: tmp_path / "scans" / f"{name}.nii" for name in ("t1w", "flair")}
    for name, path in images.items():
        scans[0][name].save(path)
    Cohort([Subject(id="P7", images=images)]).to_csv(tmp_path / "cohort.csv")
    paths = fill(input=tmp_path / "cohort.csv", only=["t2w"])
    assert paths == [tmp_path / "out" / "P7" / "P7_t2w.nii.gz"]


def test_a_command_follows_every_case_once(fill: Fill, script: Path, tmp_path: Path) -> None:
    then = f"{sys.executable} {script} {{case}} {{input}}"
    paths = fill(then=then)
    assert ran(tmp_path) == ["A", "B-GLI-1-000"]
    fill(then=then)
    assert ran(tmp_path) == []
    paths[0].unlink()
    paths[0].with_name("A_t1ce.json").unlink()
    fill(then=then)
    assert ran(tmp_path) == []  # the same bits


def test_another_command_or_other_volumes_run_it_again(
    fill: Fill, script: Path, tmp_path: Path
) -> None:
    then = f"{sys.executable} {script} {{case}} {{input}}"
    fill(then=then, only=["t1c", "t2w"])
    ran(tmp_path)
    fill(then=then + " --fast", only=["t1c", "t2w"])
    assert ran(tmp_path) == ["A", "B-GLI-1-000"]
    fill(then=then + " --fast")
    assert ran(tmp_path) == ["B-GLI-1-000"]


def test_a_command_is_told_folders_that_exist(fill: Fill, cases: Path, tmp_path: Path) -> None:
    code = "import sys, os; sys.exit(not all(map(os.path.isdir, sys.argv[1:])))"
    fill(then=f'{sys.executable} -c "{code}" {{case}} {{input}}')


def test_a_command_that_fails_is_told_at_the_end(
    fill: Fill, script: Path, cases: Path, tmp_path: Path
) -> None:
    (cases / "A" / "bad").touch()
    then = f"{sys.executable} {script} {{case}} {{input}}"
    with pytest.raises(OutputError, match=r"failed for 1 of 2 cases, A \(exit code 7\); the same"):
        fill(then=then)
    assert ran(tmp_path) == ["A", "B-GLI-1-000"]
    assert (tmp_path / "out" / "montage.png").exists()
    (cases / "A" / "bad").unlink()
    before = state(tmp_path / "out")["A/A_t1ce.nii.gz"]
    fill(then=then)
    assert ran(tmp_path) == ["A"]
    assert state(tmp_path / "out")["A/A_t1ce.nii.gz"] == before


def test_the_options_reach_the_request(filler_model: Path, cases: Path, tmp_path: Path) -> None:
    words = [str(filler_model), str(cases), "--out", str(tmp_path / "out")]
    words += ["--times", "0,0.5", "--only", "t1c", "--samples", "2", "--with-inputs"]
    done = CliRunner().invoke(completing.app, words)
    assert done.exit_code == 0, done.output
    told = said(tmp_path / "out" / "A" / "A_t1ce_sample-02.nii.gz")
    assert told["sampling"]["grids"] == [[0, 0.5]]
    assert (tmp_path / "out" / "A" / "A_t2.nii.gz").exists()


def test_times_are_numbers(filler_model: Path, cases: Path, tmp_path: Path) -> None:
    words = [str(filler_model), str(cases), "--out", str(tmp_path / "out"), "--times", "0,x"]
    assert isinstance(CliRunner().invoke(completing.app, words).exception, RecipeError)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_makes_the_same(fill: Fill, tmp_path: Path) -> None:
    here = fill(device="cpu", dtype="float32", out=tmp_path / "cpu")
    there = fill(device="cuda", dtype="float32", out=tmp_path / "cuda")
    for one, other in zip(here, there, strict=True):
        a, b = Volume.load(one).data, Volume.load(other).data
        torch.testing.assert_close(a, b, rtol=0, atol=1e-3)


def test_a_request_needs_three_words(filler_model: Path, cases: Path, tmp_path: Path) -> None:
    assert len(complete(Completion(filler_model, cases, tmp_path / "out"))) == 3
