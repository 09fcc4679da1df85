"""Priors: what label maps become, where they lie, what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from brainweave.data.cohort import Cohort, Subject
from brainweave.data.grid import Grid
from brainweave.data.volume import Volume
from brainweave.errors import CheckpointError, EvaluationError
from brainweave.evaluation.priors import SCHEMES, Priors, build_priors
from brainweave.progress import Reporter

AFFINE = np.array([[2.0, 0, 0, -19], [0, 2, 0, -19], [0, 0, 2, -19], [0, 0, 0, 1]])
REGIONS = {
    "outer csf": ("csf", (1,)),
    "left cortex": ("grey", (2, 12)),
    "right cortex": ("grey", (3,)),
    "white matter": ("white", (4,)),
}


def labelled(shift: int = 0) -> np.ndarray:
    """Nested boxes: CSF around grey, left and right, around white."""
    labels = np.zeros((20, 20, 20))
    labels[2 + shift : 18, 2:18, 2:18] = 1
    labels[4:10, 4:16, 4:16] = 2
    labels[10:16, 4:16, 4:16] = 3
    labels[7:13, 7:13, 7:13] = 4
    return labels


def cohort(folder: Path, maps: list[np.ndarray], affine: np.ndarray = AFFINE) -> Cohort:
    subjects = []
    for index, labels in enumerate(maps):
        path = folder / f"{index}.nii.gz"
        Volume(torch.from_numpy(labels).float(), affine).save(path)
        subjects.append(Subject(id=str(index), images={"labels": path}))
    return Cohort(subjects, "maps")


@pytest.fixture
def priors(tmp_path: Path) -> Priors:
    return build_priors(cohort(tmp_path, [labelled(), labelled(1)]), regions=REGIONS)


def test_probabilities_and_outside_add_up_to_one(priors: Priors) -> None:
    brain = priors.brain
    assert brain.min() >= 0
    assert brain.max() <= 1 + 1e-3
    assert brain[10, 10, 10] > 0.99
    assert brain[0, 0, 0] < 0.1


def test_left_is_where_x_is_negative(priors: Priors) -> None:
    left = priors.maps[priors.names.index("left cortex")]
    assert left[6, 5, 10] > 0.8
    assert left[13, 5, 10] < 0.1


def test_maps_in_another_orientation_give_the_same_priors(tmp_path: Path, priors: Priors) -> None:
    turned = [
        Volume(torch.from_numpy(m), AFFINE).oriented("LPS") for m in (labelled(), labelled(1))
    ]
    (tmp_path / "lps").mkdir()
    others = cohort(tmp_path / "lps", [v.data.numpy() for v in turned], turned[0].affine)
    np.testing.assert_array_equal(build_priors(others, regions=REGIONS).maps, priors.maps)


def test_saved_priors_come_back_equal(tmp_path: Path, priors: Priors) -> None:
    priors.save(tmp_path / "priors.safetensors")
    loaded = Priors.load(tmp_path / "priors.safetensors")
    np.testing.assert_array_equal(loaded.maps, priors.maps)
    assert (loaded.names, loaded.tissues, loaded.grid) == (
        priors.names,
        priors.tissues,
        priors.grid,
    )
    assert loaded.digest == priors.digest


def test_a_changed_byte_is_found(tmp_path: Path, priors: Priors) -> None:
    path = tmp_path / "priors.safetensors"
    priors.save(path)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="hash"):
        Priors.load(path)


def test_an_equal_grid_changes_nothing(priors: Priors) -> None:
    assert priors.on(priors.grid) is priors


def test_a_shifted_grid_is_met_in_millimetres(priors: Priors) -> None:
    affine = AFFINE.copy()
    affine[0, 3] += 4  # two voxels to the right
    moved = priors.on(Grid.of((20, 20, 20), affine))
    np.testing.assert_allclose(moved.maps[:, :-2], priors.maps[:, 2:], atol=1e-5)


def test_a_mirrored_grid_keeps_sides(priors: Priors) -> None:
    mirrored = priors.on(priors.grid.oriented("LAS"))
    np.testing.assert_allclose(mirrored.maps, priors.maps[:, ::-1], atol=1e-5)


def test_a_grid_elsewhere_is_refused(priors: Priors) -> None:
    affine = AFFINE.copy()
    affine[0, 3] += 20
    with pytest.raises(EvaluationError, match="register"):
        priors.on(Grid.of((20, 20, 20), affine))


def test_labels_of_no_region_are_not_counted_and_said(tmp_path: Path, capsys) -> None:
    odd = labelled()
    odd[8, 8, 8] = 77
    found = build_priors(cohort(tmp_path, [labelled(), odd]), regions=REGIONS, reporter=Reporter())
    assert "77" in capsys.readouterr().err
    assert found.brain[8, 8, 8] > 0.99


def test_a_region_that_no_map_has_is_left_out_and_said(tmp_path: Path, capsys) -> None:
    regions = {**REGIONS, "vermis": ("grey", (9,))}
    found = build_priors(cohort(tmp_path, [labelled()]), regions=regions, reporter=Reporter())
    assert "vermis" not in found.names
    assert "vermis" in capsys.readouterr().err


def test_a_wrong_scheme_is_refused(tmp_path: Path) -> None:
    labels = labelled()
    labels[labels == 4] = 44
    with pytest.raises(EvaluationError, match="white"):
        build_priors(cohort(tmp_path, [labels]), regions=REGIONS)
    with pytest.raises(EvaluationError, match="muse"):
        build_priors(cohort(tmp_path, [labels]), regions="museum")


def test_a_label_in_two_regions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="twice"):
        build_priors(cohort(tmp_path, [labelled()]), regions={**REGIONS, "cortex": ("grey", (2,))})


def test_interpolated_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="interpolated"):
        build_priors(cohort(tmp_path, [labelled() * 1.2]), regions=REGIONS)


def test_maps_on_two_grids_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    affine = AFFINE.copy()
    affine[2, 3] = 0
    both = [*cohort(tmp_path, [labelled()]), *cohort(tmp_path / "b", [labelled()], affine)]
    subjects = [Subject(id=str(i), images=s.images) for i, s in enumerate(both)]
    with pytest.raises(EvaluationError, match="several grids"):
        build_priors(Cohort(subjects), regions=REGIONS)


def test_a_cohort_without_maps_is_refused() -> None:
    with pytest.raises(EvaluationError, match="labels"):
        build_priors(Cohort([Subject(id="a")]), regions=REGIONS)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_no_label_is_in_two_regions_and_every_left_has_a_right(scheme) -> None:
    labels = [label for _, labels in scheme.values() for label in labels]
    assert len(labels) == len(set(labels))
    pairs = {n.split(" ", 1)[1] for n in scheme if n.startswith(("left ", "right "))}
    assert all({f"left {n}", f"right {n}"} <= set(scheme) for n in pairs)
    assert all(
        len(scheme[f"left {n}"][1]) == len(scheme[f"right {n}"][1])
        and scheme[f"left {n}"][0] == scheme[f"right {n}"][0]
        for n in pairs
    )
