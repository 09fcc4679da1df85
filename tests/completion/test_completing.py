"""Completion: what is made, from what, and that a volume depends on its own case alone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from lacking import FOUR, OLD, said, state, write_case

from brainweave.completion.matching import Histogram, percentiles
from brainweave.data.brats import parse
from brainweave.data.files import sha256
from brainweave.data.seeds import derive
from brainweave.data.volume import Volume, read_grid
from brainweave.device import computed
from brainweave.errors import CohortError, OutputError
from brainweave.generator import Generator
from brainweave.part import to_dict
from brainweave.recipe import Recipe

Fill = Callable[..., list[Path]]
MADE = (
    "A/A_t1ce.nii.gz",
    "B-GLI-1-000/B-GLI-1-000-t2w.nii.gz",
    "B-GLI-1-000/B-GLI-1-000-t2f.nii.gz",
)


def directly(generator: Generator, case: dict[str, Path], modality: str, seed: int) -> torch.Tensor:
    """What the generator draws of preprocessed images, without any of our code between."""
    preprocess, recipe = generator.recipe.preprocess, generator.recipe
    values = {name: preprocess(Volume.load(path))[0][None] for name, path in case.items()}
    values["modality"] = torch.tensor([[float(recipe.targets.index(modality))]])
    return generator.sample(values, [seed], recipe.sampling)[0]


def test_what_lacks_is_made_under_its_name(fill: Fill, tmp_path: Path) -> None:
    paths = fill()
    assert [path.relative_to(tmp_path / "out").as_posix() for path in paths] == list(MADE)
    sidecars = {path.replace(".nii.gz", ".json") for path in MADE}
    assert set(state(tmp_path / "out")) == {*MADE, *sidecars, "completed.tsv", "montage.png"}
    assert all(parse(path) for path in paths)


def test_inputs_stay_as_they_are(fill: Fill, cases: Path) -> None:
    before = state(cases)
    fill(with_inputs=True)
    assert state(cases) == before


def test_a_volume_lies_on_the_grid_of_its_case(fill: Fill, cases: Path) -> None:
    made, source = read_grid(fill()[0]), read_grid(cases / "A" / "A_t1.nii.gz")
    assert made == source


def test_voxels_are_what_the_generator_draws(fill: Fill, cases: Path, filler: Generator) -> None:
    path = fill(dtype="float32", seed=3)[0]
    images = {name: cases / "A" / f"A_{OLD[name]}.nii.gz" for name in FOUR if name != "t1c"}
    drawn = directly(filler, images, "t1c", derive("complete", 3, "A", "t1c", 1))
    assert torch.equal(Volume.load(path).data, drawn[0])


def test_synthetic_volumes_are_no_inputs(fill: Fill, cases: Path, filler: Generator) -> None:
    path = fill(dtype="float32")[2]
    case = cases / "B-GLI-1-000"
    images = {"t1w": case / "B-GLI-1-000-t1n.nii.gz", "t1c": case / "B-GLI-1-000-t1c.nii.gz"}
    drawn = directly(filler, images, "flair", derive("complete", 0, case.name, "flair", 1))
    assert torch.equal(Volume.load(path).data, drawn[0])
    assert set(said(path)["inputs"]) == {"t1w", "t1c"}


def test_intensities_run_from_0_to_1_on_a_background_of_0(fill: Fill, cases: Path) -> None:
    data = Volume.load(fill()[0]).data
    images = [Volume.load(path).data > 0 for path in (cases / "A").iterdir()]
    assert not data[~torch.stack(images).any(0)].any()
    assert 0 <= data.min() < data.max() <= 1


def test_matched_intensities_have_the_histogram(fill: Fill, cases: Path, tmp_path: Path) -> None:
    like = cases / "B-GLI-1-000" / "B-GLI-1-000-t1c.nii.gz"
    path = fill(match=[f"t1c={like}"], only=["t1c"])[0]
    found, expected = percentiles(Volume.load(path).data), Histogram.of(like).values
    np.testing.assert_allclose(found[:9], expected[:9], rtol=0.02)  # what is clipped shares one
    assert said(path)["matched_to"] == like.name
    assert said(path)["intensity"] == f"as {sha256(like)}"


def test_a_volume_depends_on_its_case_alone(fill: Fill, cases: Path, tmp_path: Path) -> None:
    together = fill(dtype="float32")
    alone = fill(dtype="float32", input=cases / "B-GLI-1-000", out=tmp_path / "b", only=["flair"])
    assert alone[0].read_bytes() == together[2].read_bytes()


def test_seeds_and_cases_give_volumes_of_their_own(
    fill: Fill, cases: Path, scans: list[dict[str, Volume]], tmp_path: Path
) -> None:
    write_case(cases / "C", scans[0], ("t1w", "t2w", "flair"))
    paths = fill()
    other = fill(seed=1, out=tmp_path / "other")
    contents = {path.read_bytes() for path in (paths[0], paths[-1], other[0])}
    assert len(contents) == 3


def test_the_header_says_synthetic(fill: Fill) -> None:
    description = nibabel.load(fill()[0]).header["descrip"].item().decode()
    assert description.startswith("SYNTHETIC brainweave ")


def test_the_sidecar_says_where_it_comes_from(
    fill: Fill, cases: Path, filler_recipe: Recipe
) -> None:
    told = said(fill(seed=5)[0])
    assert told["synthetic"] is True
    assert (told["model"], told["case"], told["modality"]) == ("filler", "A", "t1c")
    assert (told["seed"], told["draw"], told["kind"]) == (5, 1, "volume")
    assert told["sampling"] == to_dict(filler_recipe.sampling)
    assert told["conditions"] == {"modality": "t1c"}
    assert told["inputs"]["t2w"] == sha256(cases / "A" / "A_t2.nii.gz")
    assert told["files"] == {"t1w": "A_t1.nii.gz", "t2w": "A_t2.nii.gz", "flair": "A_flair.nii.gz"}
    assert told["intensity"] == "0 to 1"
    assert told["calls"] == 2
    assert len(told["weights_sha256"]) == len(told["recipe_sha256"]) == 64
    assert set(told["versions"]) == {"brainweave", "torch"}


def test_draws_and_their_deviation_stand_for_the_volume(fill: Fill, tmp_path: Path) -> None:
    paths = fill(samples=3, only=["t1c"], dtype="float32")
    assert [path.name for path in paths] == [
        *(f"A_t1ce_sample-0{draw}.nii.gz" for draw in (1, 2, 3)),
        "A_t1ce_std.nii.gz",
    ]
    *draws, deviation = (Volume.load(path).data for path in paths)
    torch.testing.assert_close(deviation, torch.stack(draws).std(0), rtol=1e-4, atol=1e-6)
    assert deviation.max() > 0
    assert said(paths[-1])["kind"] == "standard deviation of 3 draws"
    assert said(paths[1])["draw"] == 2


def test_the_first_of_several_draws_is_the_only_one(fill: Fill, tmp_path: Path) -> None:
    one = fill(only=["t1c"])[0]
    first = fill(only=["t1c"], samples=2, out=tmp_path / "two")[0]
    assert one.read_bytes() == first.read_bytes()


def test_inputs_are_copied_where_asked_for(fill: Fill, cases: Path, tmp_path: Path) -> None:
    fill(with_inputs=True)
    for path in (cases / "A").iterdir():
        assert (tmp_path / "out" / "A" / path.name).read_bytes() == path.read_bytes()


def test_a_second_run_makes_nothing(fill: Fill, tmp_path: Path) -> None:
    fill(with_inputs=True)
    before = state(tmp_path / "out")
    fill(with_inputs=True)
    after = state(tmp_path / "out")
    before.pop("completed.tsv"), after.pop("completed.tsv")
    assert after == before


@pytest.mark.parametrize("lost", ["volume", "both"])
def test_only_what_is_missing_is_made_again(fill: Fill, tmp_path: Path, lost: str) -> None:
    paths = fill(samples=2)
    before = state(tmp_path / "out")
    paths[1].unlink()  # alone: as if killed between sidecar and volume
    if lost == "both":
        paths[1].with_name("A_t1ce_sample-02.json").unlink()
    fill(samples=2)
    after = state(tmp_path / "out")
    assert {name: file[0] for name, file in after.items()} == {
        name: file[0] for name, file in before.items()
    }
    changed = {name for name in before if after[name][1] != before[name][1]}
    again = {"A/A_t1ce_sample-02.nii.gz", "A/A_t1ce_sample-02.json"}
    assert changed == again | {"completed.tsv", "montage.png"}


def test_another_target_may_join_the_same_folder(fill: Fill, tmp_path: Path) -> None:
    fill(only=["t1c"])
    fill(only=["t2w"])
    lines = (tmp_path / "out" / "completed.tsv").read_text().splitlines()
    assert [line.split("\t")[:2] for line in lines[1:]] == [["A", "t1c"], ["B-GLI-1-000", "t2w"]]


@pytest.mark.parametrize(
    "words",
    [{"steps": 3}, {"seed": 1}, {"dtype": "float32"}, {"frame": "box"}, {"precision": "bf16"}],
    ids=str,
)
def test_other_options_in_the_same_folder_are_refused(
    fill: Fill, tmp_path: Path, words: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brainweave.completion.job.computed", lambda precision, _: precision)
    fill()
    before = state(tmp_path / "out")
    with pytest.raises(OutputError, match="other options or from other inputs; choose another"):
        fill(**words)
    assert state(tmp_path / "out") == before


def test_other_inputs_in_the_same_folder_are_refused(
    fill: Fill, cases: Path, scans: list[dict[str, Volume]]
) -> None:
    fill()
    scans[2]["t1w"].save(cases / "A" / "A_t1.nii.gz")
    with pytest.raises(OutputError, match="from other inputs"):
        fill()


@pytest.mark.parametrize(
    "name", ["A/A_t1ce.nii.gz", "A/A_t1ce.json", "montage.png", "completed.tsv"]
)
def test_the_files_of_others_are_refused_and_left(fill: Fill, tmp_path: Path, name: str) -> None:
    place = tmp_path / "out" / name
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    before = state(tmp_path / "out")
    with pytest.raises(
        OutputError, match=f"{place.name} is not brainweave's; choose another --out"
    ):
        fill()
    assert state(tmp_path / "out") == before


def test_a_copy_of_another_image_is_refused(fill: Fill, tmp_path: Path) -> None:
    place = tmp_path / "out" / "A" / "A_t1.nii.gz"
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    with pytest.raises(OutputError, match=r"A_t1.nii.gz is not .*A_t1.nii.gz; choose another"):
        fill(with_inputs=True)


def test_nothing_is_written_where_a_case_is_unsound(
    fill: Fill, cases: Path, tmp_path: Path
) -> None:
    blank = read_grid(cases / "A" / "A_t1.nii.gz")
    (cases / "Z").mkdir()
    Volume(torch.zeros(blank.shape), blank.matrix).save(cases / "Z" / "Z_t1.nii.gz")
    with pytest.raises(CohortError, match=r"Z: t1w \(.*\): is empty, every voxel is 0"):
        fill()
    assert not (tmp_path / "out").exists()


def test_a_whole_case_is_left_alone(
    fill: Fill, cases: Path, scans: list[dict[str, Volume]], caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(cases / "A")
    shutil.rmtree(cases / "B-GLI-1-000")
    write_case(cases / "W", scans[0], FOUR)
    with caplog.at_level("INFO"):
        assert fill() == []
    assert "1 of 1 cases lack nothing: W" in caplog.text
    assert not (cases.parent / "out").exists()


def test_bf16_is_near_float32(fill: Fill, tmp_path: Path) -> None:
    exact = Volume.load(fill(only=["t1c"])[0]).data
    rough = Volume.load(fill(only=["t1c"], precision="bf16", out=tmp_path / "rough")[0]).data
    apart = float((exact - rough).abs().max())
    assert apart < 0.05
    assert (apart > 0) == (computed("bf16", torch.device("cpu")) == "bf16")
