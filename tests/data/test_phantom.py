"""Phantoms have the anatomy of their age and sex, the contrasts of MRI, and are reproducible."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from brainweave.data.cohort import Cohort
from brainweave.data.head import Head, canonical, mask_depth, tissues
from brainweave.data.phantom import phantom, write_phantoms
from brainweave.data.seeds import derive, generator
from brainweave.data.volume import Shape, Volume
from brainweave.errors import CohortError

SMALL: Shape = (16, 20, 16)
MEDIUM: Shape = (40, 48, 40)


def fractions(age: float, seed: int) -> dict[str, Tensor]:
    """The tissues of a woman inside her mask, on a lattice of 4 mm: the voxels of MEDIUM."""
    axes = [torch.arange(a, b, 4.0) for a, b in ((-78, 79), (-112, 77), (-72, 85))]
    points = torch.stack([axis.reshape(-1) for axis in torch.meshgrid(*axes, indexing="ij")])
    head = Head.draw(age=age, sex="F", generator=generator("head", seed))
    points = canonical(head, points)
    return tissues(head, points[:, mask_depth(points) > 0], 4.8)


def size(age: float, sex: str, seed: int) -> float:
    volumes = phantom(age=age, sex=sex, seed=seed, shape=SMALL)
    return float((volumes["t1w"].data > 0).sum())


@pytest.fixture(scope="module")
def sick() -> dict[str, Volume]:
    return phantom(age=50.0, sex="F", seed=3, shape=MEDIUM, lesion=True)


def test_a_phantom_is_decided_by_its_arguments() -> None:
    first, second = (phantom(age=40.0, sex="M", seed=1, shape=SMALL) for _ in range(2))
    assert all(torch.equal(first[name].data, second[name].data) for name in first)


def test_another_seed_is_another_person() -> None:
    first, second = (phantom(age=40.0, sex="M", seed=s, shape=SMALL)["t1w"] for s in (1, 2))
    assert not torch.equal(first.data > 0, second.data > 0)


def test_one_seed_keeps_its_head_at_every_age() -> None:
    young, old = (phantom(age=a, sex="M", seed=1, shape=SMALL)["t1w"] for a in (20.0, 80.0))
    assert torch.equal(young.data > 0, old.data > 0)


def test_all_contrasts_share_one_background_of_exactly_zero() -> None:
    volumes = phantom(age=40.0, sex="M", seed=1, shape=SMALL)
    mask = volumes["t1w"].data > 0
    assert all(torch.equal(volumes[name].data != 0, mask) for name in ("t1c", "t2w", "flair"))


def test_a_phantom_has_background_on_every_side() -> None:
    data = phantom(age=20.0, sex="M", seed=5, shape=SMALL)["t1w"].data
    assert [float(data.select(axis, -1).max()) for axis in (0, 1)] == [0, 0]


def test_the_standard_grid_is_that_of_mni152_at_two_millimetres() -> None:
    volume = phantom(age=40.0, sex="F", seed=1)["t1w"]
    assert volume.shape == (80, 96, 80)
    assert volume.affine.tolist() == [[2, 0, 0, -79], [0, 2, 0, -113], [0, 0, 2, -73], [0, 0, 0, 1]]


def test_a_given_spacing_is_kept() -> None:
    volume = phantom(age=40.0, sex="F", seed=1, shape=SMALL, spacing=9.0)["t1w"]
    assert (volume.spacing, volume.orientation) == ((9, 9, 9), "RAS")


def test_fractions_of_tissues_add_up_to_one() -> None:
    total = sum(fractions(60.0, 1).values(), start=torch.zeros(()))
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_cerebrospinal_fluid_grows_with_age(seed: int) -> None:
    young, middle, old = (float(fractions(age, seed)["csf"].mean()) for age in (20.0, 50.0, 80.0))
    assert 1.05 * young < middle < old / 1.05


@pytest.mark.parametrize("seed", range(3))
def test_the_cortex_loses_volume_with_age(seed: int) -> None:
    young, old = (float(fractions(age, seed)["grey"].mean()) for age in (20.0, 80.0))
    assert old < 0.95 * young


@pytest.mark.parametrize("seed", range(3))
def test_ventricles_grow_with_age(seed: int) -> None:
    young, old = (
        Head.draw(age=a, sex="F", generator=generator("head", seed)) for a in (20.0, 80.0)
    )
    assert old.ventricle > 1.5 * young.ventricle


def test_male_heads_are_larger_on_average() -> None:
    female, male = (sum(size(40.0, sex, seed) for seed in range(6)) for sex in "FM")
    assert 1.05 < male / female < 1.2


@pytest.mark.parametrize(
    ("contrast", "order"),
    [
        ("t1w", ("white", "grey", "csf")),
        ("t1c", ("white", "grey", "csf")),
        ("t2w", ("csf", "grey", "white")),
        ("flair", ("grey", "white", "csf")),
    ],
)
def test_tissues_have_the_order_of_their_contrast(contrast: str, order: tuple[str, ...]) -> None:
    data = phantom(age=40.0, sex="F", seed=2, shape=MEDIUM)[contrast].data
    found = fractions(40.0, 2)
    head = data[data > 0]
    means = {name: head[found[name] > 0.95].mean() for name in order}
    assert means[order[0]] > 1.15 * means[order[1]] > 1.15**2 * means[order[2]]


def test_a_lesion_has_the_labels_of_brats(sick: dict[str, Volume]) -> None:
    assert sick["seg"].data.unique().tolist() == [0, 1, 2, 4]


def test_a_healthy_phantom_has_an_empty_segmentation() -> None:
    assert not phantom(age=50.0, sex="F", seed=3, shape=SMALL)["seg"].data.any()


def test_a_lesion_changes_nothing_far_from_it(sick: dict[str, Volume]) -> None:
    healthy = phantom(age=50.0, sex="F", seed=3, shape=MEDIUM)["t1w"].data
    assert (healthy != sick["t1w"].data).float().mean() < 0.1


@pytest.mark.parametrize(
    ("contrast", "label", "sign"), [("flair", 2, 1), ("t1w", 1, -1), ("t1c", 4, 1), ("t2w", 2, 1)]
)
def test_a_lesion_stands_out(sick: dict[str, Volume], contrast: str, label: int, sign: int) -> None:
    data, labels = sick[contrast].data, sick["seg"].data
    inside = data[labels == label].mean()
    around = data[(labels == 0) & (data > 0)].median()
    assert sign * (inside - around) > 150


@pytest.mark.parametrize(("age", "sex"), [(float("nan"), "F"), (40.0, "x")])
def test_an_impossible_person_is_refused(age: float, sex: str) -> None:
    with pytest.raises(CohortError, match="no phantom has age"):
        phantom(age=age, sex=sex, seed=1, shape=SMALL)


def test_written_phantoms_are_read_back_exactly(tmp_path: Path) -> None:
    cohort = Cohort.open(write_phantoms(tmp_path, 1, shape=SMALL, modalities=("t2w", "seg")))
    row = cohort[0].covariates
    seed = derive("person", 0, 0)
    made = phantom(age=float(row["age"]), sex="F", seed=seed, shape=SMALL, lesion=True)
    read = {name: Volume.load(cohort[0].images[name]) for name in ("t2w", "seg")}
    assert all(torch.equal(read[name].data, made[name].data) for name in read)


def test_written_ages_cover_the_range_evenly(tmp_path: Path) -> None:
    cohort = Cohort.open(write_phantoms(tmp_path, 4, shape=SMALL, ages=(20.0, 60.0)))
    strata = [int((float(subject.covariates["age"]) - 20) // 10) for subject in cohort]
    assert strata == [0, 1, 2, 3]


def test_written_sexes_alternate(tmp_path: Path) -> None:
    cohort = Cohort.open(write_phantoms(tmp_path, 4, shape=SMALL))
    assert [subject.covariates["sex"] for subject in cohort] == ["F", "M", "F", "M"]


def test_the_table_has_a_column_per_modality(tmp_path: Path) -> None:
    table = write_phantoms(tmp_path, 1, shape=SMALL, modalities=("t1w", "flair"))
    columns = table.read_text().splitlines()[0].split(",")
    assert [name for name in columns if name != "subject"] == ["id", "age", "sex", "t1w", "flair"]


def test_valid_files_are_kept_on_resume(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 2, shape=SMALL)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.nii.gz")}
    write_phantoms(tmp_path, 2, shape=SMALL)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.nii.gz")} == before


def test_a_truncated_file_is_written_again(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 1, shape=SMALL)
    path = tmp_path / "sub-0001_t1w.nii.gz"
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    write_phantoms(tmp_path, 1, shape=SMALL)
    assert path.read_bytes() == whole


def test_another_seed_replaces_the_files(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_phantoms(tmp_path, 1, seed=seed, shape=SMALL)
    kept = Volume.load(tmp_path / "sub-0001_t1w.nii.gz")
    write_phantoms(tmp_path / "fresh", 1, seed=1, shape=SMALL)
    assert torch.equal(kept.data, Volume.load(tmp_path / "fresh" / "sub-0001_t1w.nii.gz").data)


def test_a_damaged_manifest_costs_only_time(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 1, shape=SMALL)
    (tmp_path / "phantoms.json").write_text("{")
    write_phantoms(tmp_path, 1, shape=SMALL)
    assert json.loads((tmp_path / "phantoms.json").read_text())


def test_an_unknown_modality_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="t1w, t1c, t2w, flair, seg"):
        write_phantoms(tmp_path, 1, modalities=("pd",))
