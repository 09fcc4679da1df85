"""Sides of a comparison: one grid, one scale, or a line that says why not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from brainweave.data.cohort import Cohort, Subject
from brainweave.data.volume import Volume
from brainweave.errors import BrainweaveError, ShapeError, VolumeError
from brainweave.evaluation.scans import open_sides


def cohort(folder: Path, *, top: float = 1.0, shape: tuple[int, int, int] = (8, 9, 7)) -> Cohort:
    """Three volumes whose brightest value is about `top`, in LAS."""
    folder.mkdir(exist_ok=True)
    subjects = []
    for seed in range(3):
        data = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * top
        path = folder / f"{seed}.nii.gz"
        Volume(data, np.diag([-2.0, 2.0, 2.0, 1.0])).save(path)
        subjects.append(Subject(f"s{seed}", images={"t1w": path}, covariates={"age": 20.0 + seed}))
    return Cohort(subjects, str(folder))


def test_like_scales_are_shared_so_that_brightness_is_seen(tmp_path: Path) -> None:
    sides, said = open_sides(
        {"real": cohort(tmp_path / "a"), "made": cohort(tmp_path / "b", top=0.8)}
    )
    means = [np.mean([v.mean() for v in sides[name].volumes()]) for name in ("real", "made")]
    assert means[1] / means[0] == pytest.approx(0.8, abs=0.01)
    assert "share one scale" in said


def test_unlike_scales_are_each_volume_s_own_and_that_is_said(tmp_path: Path) -> None:
    sides, said = open_sides(
        {"real": cohort(tmp_path / "a", top=250.0), "made": cohort(tmp_path / "b")}
    )
    means = [np.mean([v.mean() for v in sides[name].volumes()]) for name in ("real", "made")]
    assert means[1] / means[0] == pytest.approx(1.0, abs=0.01)
    assert "brightness cannot be seen" in said


def test_volumes_are_oriented_and_in_0_to_1(tmp_path: Path) -> None:
    sides, _ = open_sides({"real": cohort(tmp_path / "a", top=90.0)})
    data = sides["real"].load(0)
    assert sides["real"].grid.orientation == "RAS"
    assert data.min() >= 0
    assert data.max() == 1


def test_grids_that_differ_are_refused_with_what_to_do(tmp_path: Path) -> None:
    sides = {"real": cohort(tmp_path / "a"), "made": cohort(tmp_path / "b", shape=(8, 8, 8))}
    with pytest.raises(ShapeError, match=r"made 's0' lies on 8 x 8 x 8.*--spacing 2 --shape"):
        open_sides(sides)
    opened, _ = open_sides(sides, spacing=(2.0, 2.0, 2.0), shape=(8, 8, 8))
    assert {v.shape for side in opened.values() for v in side.volumes()} == {(8, 8, 8)}


def test_no_volumes_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BrainweaveError, match="made: nothing has no volumes"):
        open_sides({"real": cohort(tmp_path / "a"), "made": Cohort([], "nothing")})


def test_a_constant_volume_is_refused_with_subject_and_file(tmp_path: Path) -> None:
    sides, _ = open_sides({"real": cohort(tmp_path / "a")})
    path = sides["real"].paths[1]
    Volume(torch.ones(8, 9, 7), np.diag([-2.0, 2.0, 2.0, 1.0])).save(path)
    with pytest.raises(VolumeError, match=r"subject 's1'.*1.nii.gz.*every voxel is 1"):
        list(sides["real"].volumes())


def test_covariates_come_as_columns(tmp_path: Path) -> None:
    sides, _ = open_sides({"real": cohort(tmp_path / "a")})
    assert sides["real"].numbers("age").tolist() == [20, 21, 22]
    assert np.isnan(sides["real"].numbers("height")).all()
    assert sides["real"].take([2]).numbers("age").tolist() == [22]
