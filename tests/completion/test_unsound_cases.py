"""What is wrong with cases is told before anything is written, and by name."""

from pathlib import Path

import numpy as np
import pytest
import torch

from brainweave.completion.cases import Case
from brainweave.completion.check import in_headers, in_voxels
from brainweave.conditions import Images, Scalar
from brainweave.data.check import refuse
from brainweave.data.cohort import Subject
from brainweave.data.files import write_json
from brainweave.data.intensity import Fixed, Percentiles
from brainweave.data.volume import Volume
from brainweave.errors import CohortError
from brainweave.provenance import sidecar
from brainweave.recipe import Recipe


def case(tmp_path: Path, name: str = "A", covariates=None, **volumes: Volume) -> Case:
    """A case that has these images and lacks t1c."""
    paths = {kind: tmp_path / f"{name}_{kind}.nii.gz" for kind in volumes}
    for kind, volume in volumes.items():
        volume.save(paths[kind], dtype="float32")
    subject = Subject(id=name, images=paths, covariates=covariates or {})
    return Case(subject, paths, ("t1c",), "table")


def noise(shape=(6, 7, 8), affine: np.ndarray | None = None) -> Volume:
    data = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return Volume(data, np.eye(4) if affine is None else affine)


def shifted(*mm: float) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, 3] = mm
    return affine


def headers(recipe: Recipe, *cases: Case) -> list[str]:
    return list(in_headers(cases, recipe))


def voxels(*cases: Case, intensity=None) -> list[str]:
    kinds = dict.fromkeys(("t1w", "t2w"), intensity or Percentiles())
    return list(in_voxels(cases, kinds, lambda: None))


def test_a_sound_case_has_no_problem(filler_recipe: Recipe, tmp_path: Path) -> None:
    sound = case(tmp_path, t1w=noise(), t2w=noise(affine=shifted(0.005, 0, 0)))
    assert headers(filler_recipe, sound) == []
    assert voxels(sound) == []


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (noise((6, 7, 9)), r"has shape \(6, 7, 9\), t1w has \(6, 7, 8\)"),
        (noise(affine=shifted(0, 3, 4)), r"lies up to 5 mm from t1w"),
        (noise().oriented("LAS"), r"is oriented LAS, t1w is RAS"),
        (noise(affine=np.diag([1, 1, 1.1, 1])), r"lies up to 0.7 mm from t1w"),
    ],
    ids=["shape", "shift", "orientation", "spacing"],
)
def test_the_image_that_is_not_where_the_others_are_is_named(
    filler_recipe: Recipe, tmp_path: Path, odd: Volume, words: str
) -> None:
    found = headers(filler_recipe, case(tmp_path, t1w=noise(), t2w=odd, flair=noise()))
    with pytest.raises(CohortError, match=rf"data: A: t2w \(.*A_t2w.nii.gz\) {words}; register"):
        refuse("data", iter(found))
    assert len(found) == 1


def test_the_first_image_may_be_the_odd_one(filler_recipe: Recipe, tmp_path: Path) -> None:
    odd = case(tmp_path, t1w=noise(affine=shifted(0, 3, 4)), t2w=noise(), flair=noise())
    assert headers(filler_recipe, odd)[0].startswith("A: t1w (")


def test_an_unreadable_header_is_a_problem(filler_recipe: Recipe, tmp_path: Path) -> None:
    broken = case(tmp_path, t1w=noise())
    broken.images["t1w"].write_bytes(b"\x1f\x8bnothing")
    assert headers(filler_recipe, broken)[0].startswith(f"A: t1w: {broken.images['t1w']}: ")


def test_nothing_to_start_from_is_a_problem(filler_recipe: Recipe, tmp_path: Path) -> None:
    assert headers(filler_recipe, case(tmp_path)) == [
        "A has no image and none of t1w, t2w, flair to make t1c from"
    ]


def test_a_model_that_needs_all_images_says_which_lack(
    filler_recipe: Recipe, tmp_path: Path
) -> None:
    needy = filler_recipe.replace(
        target="t1c",
        conditions=(Images(modalities=("t1w", "t2w", "flair"), required=True),),
    )
    assert headers(needy, case(tmp_path, t1w=noise())) == [
        "A has no t2w and no flair, which filler needs to make t1c"
    ]


def test_a_case_that_lacks_nothing_is_not_looked_at(filler_recipe: Recipe, tmp_path: Path) -> None:
    whole = Case(Subject(id="A"), {"t1w": tmp_path / "absent.nii.gz"}, (), "table")
    assert headers(filler_recipe, whole) == []


def test_a_covariate_that_cannot_be_heard_is_a_problem(
    filler_recipe: Recipe, tmp_path: Path
) -> None:
    aged = filler_recipe.replace(
        conditions=(*filler_recipe.conditions, Scalar(name="age", low=0, high=99))
    )
    old = case(tmp_path, covariates={"age": "old"}, t1w=noise())
    assert "age is 'old'; a number or n/a is needed" in headers(aged, old)[0]


def test_an_id_names_one_folder(filler_recipe: Recipe, tmp_path: Path) -> None:
    first, second = case(tmp_path, t1w=noise()), case(tmp_path, t1w=noise())
    assert headers(filler_recipe, first, second)[0] == "id 'A' is used 2 times"
    outside = Case(Subject(id="../A", images=first.images), first.images, ("t1c",), "table")
    assert headers(filler_recipe, outside)[0].startswith("id '../A' cannot name a folder")


def test_synthetic_images_are_no_inputs(filler_recipe: Recipe, tmp_path: Path) -> None:
    made = case(tmp_path, t1w=noise(), t2w=noise())
    write_json(sidecar(made.images["t2w"]), {"synthetic": True, "identity": "x"})
    assert headers(filler_recipe, made)[0].startswith(f"A: t2w ({made.images['t2w']}) is synthetic")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (torch.zeros(4, 4, 4), "is empty, every voxel is 0; check the image"),
        (torch.full((4, 4, 4), 7.0), "is constant, every voxel is 7; check the image"),
        (-torch.eye(4)[None].expand(4, 4, 4), "no voxel is above 0"),
    ],
    ids=["empty", "constant", "negative"],
)
def test_voxels_that_say_nothing_are_a_problem(
    tmp_path: Path, data: torch.Tensor, words: str
) -> None:
    blank = case(tmp_path, t1w=noise(), t2w=Volume(data, np.eye(4)))
    found = voxels(blank)
    assert found[0].startswith(f"A: t2w ({blank.images['t2w']}): {words}")


def test_constant_voxels_are_a_problem_of_fixed_windows_too(tmp_path: Path) -> None:
    blank = case(tmp_path, t2w=Volume(torch.ones(4, 4, 4), np.eye(4)))
    found = voxels(blank, intensity=Fixed(source_low=0, source_high=2))
    assert "is constant, every voxel is 1" in found[0]


def test_a_label_map_may_be_empty(tmp_path: Path) -> None:
    whole = case(tmp_path, t1w=noise(), seg=Volume(torch.zeros(6, 7, 8), np.eye(4)))
    assert voxels(whole) == []


def test_a_truncated_file_is_named_once(tmp_path: Path) -> None:
    cut = case(tmp_path, t1w=noise())
    path = cut.images["t1w"]
    path.write_bytes(path.read_bytes()[:-50])
    found = voxels(cut)
    assert found[0].startswith(f"A: t1w: {path}: ")
    assert found[0].count(str(path)) == 1


def test_the_first_problem_is_told_and_how_many_more() -> None:
    with pytest.raises(CohortError, match=r"^data: one; and 2 more$"):
        refuse("data", iter(["one", "two", "three"]))
    with pytest.raises(CohortError, match=r"^data: x; and at least 9 more$"):
        refuse("data", iter(["x"] * 30))
    refuse("data", iter([]))
