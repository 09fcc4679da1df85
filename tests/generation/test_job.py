"""Jobs: what is made, what is left alone, and what every output says about itself."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from brainweave.conditions import Category
from brainweave.data.intensity import Fixed
from brainweave.data.table import read_table
from brainweave.data.volume import Volume, read_grid
from brainweave.errors import OutputError, RecipeError
from brainweave.generation.job import Job, Options
from brainweave.generation.plan import Item
from brainweave.generator import Generator
from brainweave.part import to_dict
from brainweave.recipe import Recipe, Sampling

PLAN = [
    Item("young", 1, {"age": (25.0,), "sex": (0.0,)}),
    Item("old", 1, {"age": (75.0,), "sex": (0.0,)}),
    Item("unknown", 2, {"age": (float("nan"),)}),
    Item("man", 3, {"age": (40.0,), "sex": (1.0,)}),
]
QUICK = Sampling(steps=2)

Make = Callable[..., list[Path]]


@pytest.fixture
def make(generator: Generator, tmp_path: Path) -> Make:
    """Runs the plan, or another, in tmp_path / "out" or elsewhere; returns the paths."""

    def run(folder: str = "out", plan: list[Item] = PLAN, **options: object) -> list[Path]:
        chosen = Options(**{"sampling": QUICK, **options})
        return Job(generator, "abc123", plan, tmp_path / folder, chosen).run()

    return run


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its content and time."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def volumes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.nii.gz")}


def made(files: dict[str, tuple[bytes, int]]) -> dict[str, tuple[bytes, int]]:
    """Of a state, the volumes and sidecars."""
    return {name: file for name, file in files.items() if name.endswith((".nii.gz", "1w.json"))}


def facts(path: Path) -> dict:
    return json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())


def count_calls(generator: Generator) -> tuple[list[int], Callable[[], None]]:
    """The batch size of every network call from now on, and how to stop."""
    seen: list[int] = []
    hook = generator.network.register_forward_hook(lambda _m, args, _out: seen.append(len(args[0])))
    return seen, hook.remove


def test_a_volume_and_a_sidecar_per_item_and_two_summaries(make: Make) -> None:
    paths = make()
    assert [path.name for path in paths] == [f"{item.name}_T1w.nii.gz" for item in PLAN]
    names = {path.name for path in paths} | {f"{item.name}_T1w.json" for item in PLAN}
    assert set(state(paths[0].parent)) == names | {"participants.tsv", "montage.png"}


def test_volumes_lie_on_the_grid_of_the_template(make: Make, tiny_recipe: Recipe) -> None:
    grid = read_grid(make()[0])
    assert tiny_recipe.template is not None
    assert grid.shape == tiny_recipe.template.shape
    np.testing.assert_allclose(grid.matrix, tiny_recipe.template.matrix, atol=1e-5)


def test_voxels_are_what_the_generator_drew(make: Make, generator: Generator) -> None:
    path = make(dtype="float32")[0]
    values = {"age": torch.tensor([[25.0]]), "sex": torch.tensor([[0.0]])}
    drawn = generator.sample(values, [1], QUICK)[0]
    preprocess, template = generator.recipe.preprocess, generator.recipe.template
    assert template is not None
    back = preprocess.restore(drawn, preprocess.place(template))
    torch.testing.assert_close(Volume.load(path).data, back.data, rtol=0, atol=1e-6)


def test_values_lie_between_0_and_1(make: Make) -> None:
    data = Volume.load(make()[0]).data
    assert data.min() == 0
    assert data.max() == pytest.approx(1, abs=1e-4)


def test_the_header_says_synthetic(make: Make) -> None:
    description = nibabel.load(make()[0]).header["descrip"].item().decode()
    assert description.startswith("SYNTHETIC brainweave ")


def test_the_sidecar_says_where_it_comes_from(make: Make, tiny_recipe: Recipe) -> None:
    said = facts(make()[3])
    assert said["synthetic"] is True
    assert said["model"] == "toy"
    assert said["seed"] == 3
    assert said["conditions"] == {"age": 40.0, "sex": "M"}
    assert said["sampling"] == to_dict(QUICK)
    assert said["listen"] == "both"
    assert said["weights_sha256"] == "abc123"
    assert len(said["recipe_sha256"]) == 64
    assert set(said["versions"]) == {"brainweave", "torch"}
    assert said["licence"] == tiny_recipe.licence


def test_the_sidecar_says_what_is_not_known(make: Make) -> None:
    assert facts(make()[2])["conditions"] == {"age": None, "sex": None}


def test_participants_are_a_table_of_all(make: Make) -> None:
    table = read_table(make()[0].parent / "participants.tsv")
    assert table.columns == ("participant_id", "file", "seed", "synthetic", "age", "sex")
    assert table.column("participant_id") == ["man", "old", "unknown", "young"]
    assert table.rows[0] == ("man", "man_T1w.nii.gz", "3", "1", "40", "M")
    assert table.rows[2] == ("unknown", "unknown_T1w.nii.gz", "2", "1", "n/a", "n/a")


def test_participants_can_be_asked_for_again(make: Make, generator: Generator) -> None:
    from brainweave.generation.plan import from_cohort

    paths = make()
    items = from_cohort(generator.recipe, paths[0].parent / "participants.tsv", seed=0)
    again = make("again", items)
    assert volumes(paths[0].parent) == volumes(again[0].parent)


def test_a_second_run_makes_nothing(make: Make, generator: Generator) -> None:
    before = state(make()[0].parent)
    seen, stop = count_calls(generator)
    after = state(make()[0].parent)
    stop()
    assert seen == []
    assert made(after) == made(before)


@pytest.mark.parametrize("lost", ["volume", "both"])
def test_only_what_is_missing_is_made_again(make: Make, generator: Generator, lost: str) -> None:
    path = make()[1]
    before = state(path.parent)
    path.unlink()  # alone: as if killed between sidecar and volume
    if lost == "both":
        path.with_name("old_T1w.json").unlink()
    seen, stop = count_calls(generator)
    make()
    stop()
    after = state(path.parent)
    assert seen == [1] * QUICK.steps
    assert after[path.name][0] == before[path.name][0]
    left = set(made(before)) - {path.name, "old_T1w.json"}
    assert all(before[name] == after[name] for name in left)


def test_what_a_killed_run_left_half_written_goes(make: Make, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".partial-1-young_T1w.nii.gz").write_bytes(b"half")
    make()
    assert not list((tmp_path / "out").glob(".*"))


def test_a_shard_leaves_the_half_written_files_of_others(make: Make, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    other = tmp_path / "out" / ".partial-1-old_T1w.nii.gz"
    other.write_bytes(b"half")
    make(shard=(1, 2))
    assert other.exists()


def test_shards_together_are_the_whole_run(make: Make, tmp_path: Path) -> None:
    make("whole")
    first = make("shards", shard=(1, 2))
    second = make("shards", shard=(2, 2))
    assert [path.name for path in (*first, *second)] == [
        f"{name}_T1w.nii.gz" for name in ("young", "unknown", "old", "man")
    ]
    whole, shards = state(tmp_path / "whole"), state(tmp_path / "shards")
    assert {name: file[0] for name, file in whole.items()} == {
        name: file[0] for name, file in shards.items()
    }


def test_more_shards_than_volumes_are_fine(make: Make) -> None:
    assert make(shard=(9, 9)) == []


def test_batches_change_no_volume(make: Make) -> None:
    for one, three in zip(
        make("a", dtype="float32"), make("b", dtype="float32", batch=3), strict=True
    ):
        a, b = Volume.load(one).data, Volume.load(three).data
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_batches_are_as_large_as_asked(make: Make, generator: Generator) -> None:
    seen, stop = count_calls(generator)
    make(batch=3)
    stop()
    assert seen == [3, 3, 1, 1]


def test_progress_counts_every_step(generator: Generator, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    options = Options(sampling=QUICK, batch=3)
    Job(generator, "abc", PLAN, tmp_path, options).run(lambda *at: told.append(at))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    "options",
    [
        {"sampling": Sampling(steps=3)},
        {"sampling": Sampling(steps=2, guidance=2)},
        {"listen": "none"},
        {"dtype": "float32"},
    ],
    ids=str,
)
def test_other_options_in_the_same_folder_are_refused(
    make: Make, tmp_path: Path, options: dict[str, object]
) -> None:
    make(plan=PLAN[:1])
    before = state(tmp_path / "out")
    with pytest.raises(OutputError, match="by another model or with other options"):
        make(**options)
    assert state(tmp_path / "out") == before


def test_another_model_in_the_same_folder_is_refused(
    make: Make, generator: Generator, tmp_path: Path
) -> None:
    make(plan=PLAN[:1])
    with pytest.raises(OutputError, match="by another model or with other options"):
        Job(generator, "other", PLAN, tmp_path / "out", Options(QUICK)).run()


def test_another_plan_may_join_the_same_folder(make: Make, tmp_path: Path) -> None:
    make(plan=PLAN[:2])
    make(plan=PLAN[2:])
    assert len(read_table(tmp_path / "out" / "participants.tsv").rows) == 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("young_T1w.nii.gz", "a scan"),
        ("young_T1w.json", '{"Manufacturer": "Philips"}'),
        ("young_T1w.json", "not json"),
        ("young_T1w.json", "[1]"),
        ("participants.tsv", "participant_id\tage\nsub-01\t30\n"),
        ("participants.tsv", "\xff\xfe"),
        ("montage.png", "a picture"),
    ],
)
def test_the_files_of_others_are_refused_and_left(
    make: Make, tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text(content, encoding="latin-1")
    before = state(tmp_path / "out")
    with pytest.raises(OutputError, match=f"{name} is not brainweave's; choose another --out"):
        make()
    assert state(tmp_path / "out") == before


def test_real_scans_beside_are_not_called_synthetic(make: Make, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "real_T1w.nii.gz").write_text("a scan")
    (tmp_path / "out" / "real_T1w.json").write_text('{"Manufacturer": "Philips"}')
    make()
    table = read_table(tmp_path / "out" / "participants.tsv")
    assert "real" not in table.column("participant_id")


def test_a_file_is_no_folder(make: Make, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="out is a file; --out needs a folder"):
        make()


@pytest.mark.parametrize("shard", [(0, 2), (3, 2), (1, 0)])
def test_impossible_shards_are_refused(make: Make, shard: tuple[int, int]) -> None:
    with pytest.raises(RecipeError, match=f"--shard {shard[0]}/{shard[1]}"):
        make(shard=shard)


def test_a_model_without_a_template_is_refused(
    tiny_recipe: Recipe, randomised: Callable[[Recipe], Generator], tmp_path: Path
) -> None:
    homeless = randomised(tiny_recipe.replace(template=None))
    with pytest.raises(RecipeError, match="toy has no template grid"):
        Job(homeless, "abc", PLAN, tmp_path, Options(QUICK))


@pytest.mark.parametrize("listen", ["film", "attention"])
def test_a_model_without_attention_cannot_choose(
    tiny_recipe: Recipe, randomised: Callable[[Recipe], Generator], tmp_path: Path, listen: str
) -> None:
    network = tiny_recipe.network.replace(cross_attention=False)
    plain = randomised(tiny_recipe.replace(network=network))
    with pytest.raises(RecipeError, match=f"--listen {listen}: toy has no cross-attention"):
        Job(plain, "abc", PLAN, tmp_path, Options(QUICK, listen=listen))


def test_a_volume_that_is_not_finite_is_never_written(
    tiny_recipe: Recipe, randomised: Callable[[Recipe], Generator], tmp_path: Path
) -> None:
    from brainweave.errors import VolumeError

    broken = randomised(tiny_recipe)
    broken.network.head.bias.data[:] = torch.nan
    with pytest.raises(VolumeError, match="NaN"):
        Job(broken, "abc", PLAN, tmp_path, Options(QUICK)).run()
    assert not list(tmp_path.glob("*.nii.gz"))


@pytest.mark.parametrize("listen", ["film", "attention"])
def test_a_model_without_conditions_cannot_choose(
    tiny_recipe: Recipe, randomised: Callable[[Recipe], Generator], tmp_path: Path, listen: str
) -> None:
    deaf = randomised(tiny_recipe.replace(conditions=()))
    with pytest.raises(RecipeError, match=f"--listen {listen}: toy has no conditions"):
        Job(deaf, "abc", PLAN, tmp_path, Options(QUICK, listen=listen))


def test_a_target_with_underscores_leaves_names_whole(
    tiny_recipe: Recipe, randomised: Callable[[Recipe], Generator], tmp_path: Path
) -> None:
    own = randomised(tiny_recipe.replace(target="my_own"))
    Job(own, "abc", PLAN[:1], tmp_path, Options(QUICK)).run()
    assert read_table(tmp_path / "participants.tsv").column("participant_id") == ["young"]


def test_a_model_without_conditions_makes_volumes(
    tiny_recipe: Recipe, randomised: Callable[[Recipe], Generator], tmp_path: Path
) -> None:
    free = randomised(tiny_recipe.replace(conditions=()))
    items = [Item("one", 1, {}), Item("two", 2, {})]
    paths = Job(free, "w", items, tmp_path / "out", Options(Sampling(steps=2))).run()
    assert [path.name for path in paths] == ["one_T1w.nii.gz", "two_T1w.nii.gz"]


def test_ct_is_written_in_hounsfield_units(
    tiny_recipe: Recipe, randomised: Callable[[Recipe], Generator], tmp_path: Path
) -> None:
    hounsfield = Fixed(source_low=-1000, source_high=2000)
    preprocess = tiny_recipe.preprocess.replace(intensities={"ct": hounsfield})
    names = Category(name="modality", values=("t1w", "ct"))
    recipe = tiny_recipe.replace(conditions=(names,), target="modality", preprocess=preprocess)
    items = [Item(name, 1, {"modality": (place,)}) for name, place in (("a", 0.0), ("b", 1.0))]
    options = Options(Sampling(steps=2))
    mr, ct = Job(randomised(recipe), "w", items, tmp_path / "out", options).run()
    assert 0 <= float(Volume.load(mr).data.min()) <= float(Volume.load(mr).data.max()) <= 1
    assert float(Volume.load(ct).data.min()) < -500
    assert float(Volume.load(ct).data.max()) > 100
