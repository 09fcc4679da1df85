"""Cases: found under every name, with what they have, what they lack and where that goes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from brainweave.completion.cases import cases, find, require_apart
from brainweave.data.cohort import Cohort, Subject
from brainweave.data.volume import Volume
from brainweave.errors import CohortError, OutputError, RecipeError
from brainweave.recipe import Recipe

Touch = Callable[..., Path]


@pytest.fixture
def touch(tmp_path: Path) -> Touch:
    """Writes a volume at each of these paths below tmp_path, which it returns."""

    def write(*names: str) -> Path:
        for name in names:
            Volume(torch.eye(3)[None].expand(3, 3, 3), np.eye(4)).save(tmp_path / name)
        return tmp_path

    return write


def missing(path: Path, recipe: Recipe, only: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    cohort, layout = find(path)
    return {case.id: case.missing for case in cases(cohort, layout, recipe, only)}


def files(path: Path, recipe: Recipe, part: str = "") -> list[str]:
    """All that would be made."""
    cohort, layout = find(path)
    found = cases(cohort, layout, recipe)
    return [case.file(name, part).as_posix() for case in found for name in case.missing]


def test_every_case_of_a_folder_lacks_what_it_lacks(touch: Touch, filler_recipe: Recipe) -> None:
    root = touch("a/A_t1.nii.gz", "a/A_t1ce.nii.gz", "deep/b/B-t2f.nii.gz", "a/A_seg.nii.gz")
    assert missing(root, filler_recipe) == {"A": ("t2w", "flair"), "B": ("t1w", "t1c", "t2w")}


def test_a_folder_may_be_one_case(touch: Touch, filler_recipe: Recipe) -> None:
    root = touch("A/A_t1.nii.gz", "A/A_t1ce.nii.gz", "A/A_t2.nii.gz")
    assert missing(root / "A", filler_recipe) == {"A": ("flair",)}


def test_only_what_is_asked_for_is_missing(touch: Touch, filler_recipe: Recipe) -> None:
    root = touch("A_t1.nii.gz", "B_t1ce.nii.gz")
    assert missing(root, filler_recipe, ("T1ce", "t1")) == {"A": ("t1c",), "B": ("t1w",)}


def test_a_target_that_is_not_made_is_refused(touch: Touch, filler_recipe: Recipe) -> None:
    with pytest.raises(RecipeError, match="filler makes no 'flare'; did you mean 'flair'"):
        missing(touch("A_t1.nii.gz"), filler_recipe, ("flare",))


def test_brats_names_follow_those_of_the_case(touch: Touch, filler_recipe: Recipe) -> None:
    root = touch("A_t1.nii.gz", "A_t2.nii.gz", "BraTS-GLI-00001-000-t2f.nii")
    assert files(root, filler_recipe) == [
        "A/A_t1ce.nii.gz",
        "A/A_flair.nii.gz",
        "BraTS-GLI-00001-000/BraTS-GLI-00001-000-t1n.nii",
        "BraTS-GLI-00001-000/BraTS-GLI-00001-000-t1c.nii",
        "BraTS-GLI-00001-000/BraTS-GLI-00001-000-t2w.nii",
    ]
    assert files(root, filler_recipe, "std")[0] == "A/A_t1ce_std.nii.gz"


def test_a_modality_that_brats_does_not_name_keeps_its_own(
    touch: Touch, filler_recipe: Recipe
) -> None:
    assert files(touch("A_t1.nii.gz"), filler_recipe.replace(target="pet")) == ["A/A_pet.nii.gz"]


def test_bids_names_are_those_of_a_derivative(touch: Touch, filler_recipe: Recipe) -> None:
    root = touch("sub-1/ses-2/anat/sub-1_ses-2_acq-fast_T1w.nii.gz")
    home = "sub-1/ses-2/anat/sub-1_ses-2"
    assert files(root, filler_recipe) == [
        f"{home}_ce-gadolinium_desc-synthetic_T1w.nii.gz",
        f"{home}_desc-synthetic_T2w.nii.gz",
        f"{home}_desc-synthetic_FLAIR.nii.gz",
    ]
    assert files(root, filler_recipe, "sample-01")[1] == (
        f"{home}_desc-syntheticSample01_T2w.nii.gz"
    )


def test_runs_of_a_bids_session_stay_apart(touch: Touch, filler_recipe: Recipe) -> None:
    root = touch(
        "sub-1/anat/sub-1_run-1_T1w.nii.gz",
        "sub-1/anat/sub-1_run-2_T1w.nii.gz",
        "sub-1/anat/sub-1_desc-a_T2w.nii.gz",
        "sub-1/anat/sub-1_desc-b_T2w.nii.gz",
    )
    made = files(root, filler_recipe)
    assert len(set(made)) == len(made)
    assert "sub-1/anat/sub-1_ce-gadolinium_run-2_desc-synthetic_T1w.nii.gz" in made
    assert "sub-1/anat/sub-1_desc-aSynthetic_FLAIR.nii.gz" in made


def test_one_subject_of_bids_is_a_case(touch: Touch, filler_recipe: Recipe) -> None:
    root = touch("sub-1/anat/sub-1_T1w.nii.gz", "sub-2/anat/sub-2_T1w.nii.gz")
    assert set(missing(root / "sub-2", filler_recipe)) == {"sub-2"}


def test_completed_bids_is_read_back_as_bids(touch: Touch, filler_recipe: Recipe) -> None:
    root = touch("raw/sub-1/anat/sub-1_T1w.nii.gz")
    touch(*(f"made/{name}" for name in files(root / "raw", filler_recipe)))
    assert Cohort.from_bids(root / "made").modalities == ("t1c", "flair", "t2w")


def test_a_table_names_modalities_freely(touch: Touch, filler_recipe: Recipe) -> None:
    root = touch("x.nii.gz", "y.nii.gz")
    (root / "cohort.csv").write_text("id,t1,ct\nP1,x.nii.gz,y.nii.gz\nP2,y.nii.gz,n/a\n")
    recipe = filler_recipe.replace(target="ct")
    assert missing(root, recipe) == {"P1": (), "P2": ("ct",)}
    assert files(root, recipe) == ["P2/P2_ct.nii.gz"]
    assert missing(root / "cohort.csv:id=P1", recipe) == {"P1": ()}


def test_a_case_has_what_the_model_hears(touch: Touch, filler_recipe: Recipe) -> None:
    root = touch("A_t1.nii.gz", "A_seg.nii.gz")
    case = cases(*find(root), filler_recipe)[0]
    assert list(case.images) == ["t1w"]
    assert case.source == root


def test_a_folder_without_cases_is_refused(touch: Touch) -> None:
    with pytest.raises(CohortError, match=r"no case found; it takes BraTS names .* or a table"):
        find(touch("brain.nii.gz"))


@pytest.mark.parametrize(
    ("given", "out"),
    [
        ("data", "data"),
        ("data", "data/made"),
        ("data/A", "data"),
        ("data/A", "data/A/out"),
        ("data", "link"),
        ("table.csv", "data"),
        ("table.csv", "data/A"),
    ],
)
def test_no_output_lies_among_the_inputs(
    touch: Touch, filler_recipe: Recipe, given: str, out: str
) -> None:
    root = touch("data/A/A_t1.nii.gz")
    (root / "table.csv").write_text("id,t1\nA,data/A/A_t1.nii.gz\n")
    (root / "link").symlink_to(root / "data")
    found = cases(*find(root / given), filler_recipe)
    with pytest.raises(OutputError, match="a folder of inputs; choose another"):
        require_apart(root / out, root / given, found)


@pytest.mark.parametrize(("given", "out"), [("bids", "bids/derivatives/x"), ("bids", "out")])
def test_derivatives_of_bids_may_lie_in_it(
    touch: Touch, filler_recipe: Recipe, given: str, out: str
) -> None:
    root = touch("bids/sub-1/anat/sub-1_T1w.nii.gz")
    require_apart(root / out, root / given, cases(*find(root / given), filler_recipe))


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="out is a file; --out needs a folder"):
        require_apart(tmp_path / "out", tmp_path, [])


def test_a_subject_is_its_folder(filler_recipe: Recipe, tmp_path: Path) -> None:
    subject = Subject(id="P", images={"t1w": tmp_path / "a/x.nii", "t2w": tmp_path / "b/y.nii"})
    case = cases(Cohort([subject]), "table", filler_recipe)[0]
    assert case.source == tmp_path
