"""Batches depend on seed, step and rank alone; items carry all that is known."""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from brainweave.data.augment import Augment
from brainweave.data.cohort import Cohort, Subject
from brainweave.data.dataset import Batch, VolumeDataset
from brainweave.data.intensity import ZScore
from brainweave.data.loading import loader
from brainweave.data.patterns import Swap
from brainweave.data.phantom import write_phantoms
from brainweave.data.preprocess import Preprocess
from brainweave.data.volume import Shape, Volume
from brainweave.errors import CohortError, RecipeError

SHAPE: Shape = (16, 20, 16)
PREPROCESS = Preprocess(shape=(16, 16, 16))
AUGMENT = Augment(affine=0.5, elastic=0.5, intensity=0.5, noise=0.5)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("phantoms")
    return Cohort.open(write_phantoms(folder, 5, shape=SHAPE, modalities=("t1w", "t2w")))


def age(subject: Subject, _target: str) -> dict[str, Tensor]:
    return {"age": torch.tensor([float(subject.covariates.get("age", math.nan))])}


def dataset(
    cohort: Cohort,
    cache: Path | None = None,
    *,
    augment: Augment | None = AUGMENT,
    preprocess: Preprocess = PREPROCESS,
    images: Iterable[str] = (),
) -> VolumeDataset:
    return VolumeDataset(
        cohort, "t1w", preprocess, read=age, cache=cache, augment=augment, images=images
    )


def assert_equal(first: Iterable[Batch], second: Iterable[Batch]) -> None:
    for a, b in zip(first, second, strict=True):
        assert a.ids == b.ids
        assert torch.equal(a.volume, b.volume)
        assert torch.equal(a.values["age"], b.values["age"])


def join(first: Batch, second: Batch) -> Batch:
    values = {name: torch.cat([first.values[name], second.values[name]]) for name in first.values}
    volume = torch.cat([first.volume, second.volume])
    return Batch(volume, values, first.ids + second.ids)


# loader


def test_workers_change_nothing(cohort: Cohort, tmp_path: Path) -> None:
    alone, two = (
        loader(dataset(cohort, tmp_path), batch=2, seed=1, steps=6, workers=workers)
        for workers in (0, 2)
    )
    assert_equal(alone, two)


def test_a_resumed_run_continues_exactly(cohort: Cohort) -> None:
    data = dataset(cohort)
    whole = list(loader(data, batch=2, seed=1, steps=9))
    assert_equal(loader(data, batch=2, seed=1, start=5, steps=9), whole[5:])


def test_two_ranks_are_one_process_with_twice_the_batch(cohort: Cohort) -> None:
    data = dataset(cohort)
    ranks = [loader(data, batch=2, seed=1, steps=5, rank=rank, world=2) for rank in (0, 1)]
    joined = [join(first, second) for first, second in zip(*ranks, strict=True)]
    assert_equal(joined, loader(data, batch=4, seed=1, steps=5))


def test_an_epoch_shows_everybody_once(cohort: Cohort) -> None:
    ids = [
        name for batch in loader(dataset(cohort), batch=1, seed=1, steps=10) for name in batch.ids
    ]
    everybody = sorted(subject.id for subject in cohort)
    assert sorted(ids[:5]) == sorted(ids[5:]) == everybody


def test_epochs_have_orders_of_their_own(cohort: Cohort) -> None:
    batches = loader(dataset(cohort), batch=5, seed=1, steps=6)
    orders = {tuple(batch.ids) for batch in batches}
    assert len(orders) > 3


def test_a_batch_larger_than_the_cohort_is_full(cohort: Cohort) -> None:
    (batch,) = loader(dataset(cohort), batch=12, seed=1, steps=1)
    assert batch.volume.shape == (12, 1, 16, 16, 16)


def test_another_seed_is_another_run(cohort: Cohort) -> None:
    first, second = (
        [batch.ids for batch in loader(dataset(cohort), batch=1, seed=seed, steps=10)]
        for seed in (1, 2)
    )
    assert first != second


def test_epochs_augment_a_subject_differently(cohort: Cohort) -> None:
    noisy = dataset(cohort, augment=Augment(noise=1.0))
    batches = list(loader(noisy, batch=5, seed=1, steps=2))
    first, second = (batch.volume[batch.ids.index(cohort[0].id)] for batch in batches)
    assert not torch.equal(first, second)


def test_resuming_decodes_nothing_that_is_skipped(cohort: Cohort, tmp_path: Path) -> None:
    next(iter(loader(dataset(cohort, tmp_path), batch=1, seed=1, start=1000, steps=1001)))
    assert len(list(tmp_path.glob("*.npy"))) == 1


def test_the_global_generator_plays_no_part(cohort: Cohort) -> None:
    state = torch.get_rng_state()
    list(loader(dataset(cohort), batch=2, seed=1, steps=2))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"rank": 1}, {"start": 3}])
def test_impossible_batches_are_refused(cohort: Cohort, wrong: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match="no batches"):
        loader(dataset(cohort), **{"batch": 1, "seed": 1, "steps": 2, **wrong})


# items


def test_without_augmentation_an_item_is_the_preprocessed_volume(cohort: Cohort) -> None:
    expected, _ = PREPROCESS(Volume.load(cohort[1].images["t1w"]))
    assert torch.equal(dataset(cohort, augment=None)[1, 99].volume, expected)


def test_an_item_carries_values_and_id(cohort: Cohort) -> None:
    item = dataset(cohort)[1, 0]
    assert (item.id, float(item.values["age"])) == (
        cohort[1].id,
        pytest.approx(cohort[1].covariates["age"]),
    )


def test_values_are_read_once(cohort: Cohort) -> None:
    asked: list[str] = []

    def read(subject: Subject, _target: str) -> dict[str, Tensor]:
        asked.append(subject.id)
        return {}

    data = VolumeDataset(cohort, "t1w", PREPROCESS, read=read, cache=None, augment=None)
    list(loader(data, batch=5, seed=1, steps=3))
    assert asked == [subject.id for subject in cohort]


def test_a_missing_value_is_nan_in_the_batch(cohort: Cohort) -> None:
    def read(subject: Subject, _target: str) -> dict[str, Tensor]:
        return {"age": torch.tensor([torch.nan])}

    data = VolumeDataset(cohort, "t1w", PREPROCESS, read=read, cache=None, augment=None)
    (batch,) = loader(data, batch=3, seed=1, steps=1)
    assert batch.values["age"].isnan().all()
    assert batch.values["age"].shape == (3, 1)


def test_background_survives_augmentation_under_a_z_score(cohort: Cohort) -> None:
    zscore = PREPROCESS.replace(intensity=ZScore())
    noisy = dataset(cohort, augment=Augment(flip=0, noise=1.0), preprocess=zscore)
    plain = dataset(cohort, augment=None, preprocess=zscore)[0, 3].volume
    corner = plain[0, 0, 0, 0]
    assert (noisy[0, 3].volume[plain == corner] == corner).all()


def test_other_modalities_are_flipped_along(cohort: Cohort) -> None:
    data = dataset(cohort, augment=Augment(flip=1.0), images=("t2w",))
    plain = dataset(cohort, augment=None, images=("t2w",))
    made, expected = data[0, 3].values["t2w"], plain[0, 3].values["t2w"]
    assert torch.equal(made, expected.flip(1))


def test_a_missing_modality_among_the_values_is_nan(cohort: Cohort) -> None:
    without = Cohort([replace(s, images={"t1w": s.images["t1w"]}) for s in cohort])
    assert dataset(without, images=("t2w",))[0, 3].values["t2w"].isnan().all()


def test_every_target_of_every_subject_is_a_volume(cohort: Cohort) -> None:
    def read(_subject: Subject, target: str) -> dict[str, Tensor]:
        return {"modality": torch.tensor([float(target == "t2w")])}

    both = ("t1w", "t2w")
    data = VolumeDataset(cohort, both, PREPROCESS, read=read, cache=None, augment=None, images=both)
    assert len(data) == 2 * len(cohort)
    first, second = data[0, 0], data[1, 0]
    assert first.id == second.id
    assert [float(item.values["modality"]) for item in (first, second)] == [0, 1]
    assert first.values["t1w"].isnan().all()
    assert torch.equal(second.values["t1w"], first.volume)
    assert torch.equal(first.values["t2w"], second.volume)


def test_a_label_map_keeps_its_numbers(cohort: Cohort, tmp_path: Path) -> None:
    labels = torch.zeros(Volume.load(cohort[0].images["t1w"]).shape)
    labels[2:9, 3:8, 1:6] = 4
    path = tmp_path / "seg.nii.gz"
    Volume(labels, Volume.load(cohort[0].images["t1w"]).affine).save(path)
    one = Cohort([replace(cohort[0], images={**cohort[0].images, "seg": path})])
    turned = Augment(flip=1.0, affine=1.0, elastic=1.0, intensity=1.0, noise=1.0)
    data = VolumeDataset(
        one,
        "t1w",
        PREPROCESS,
        read=age,
        cache=None,
        augment=turned,
        images=("seg",),
        labels=("seg",),
    )
    found = data[0, 5].values["seg"]
    assert set(found.unique().tolist()) == {0.0, 4.0}


def test_a_batch_moves_to_a_device(cohort: Cohort) -> None:
    (batch,) = loader(dataset(cohort), batch=2, seed=1, steps=1)
    moved = batch.to("meta")
    assert {moved.volume.device.type, moved.values["age"].device.type} == {"meta"}


def test_a_subject_without_the_modality_is_named(cohort: Cohort) -> None:
    with pytest.raises(CohortError, match=r"5 subjects, 'sub-0001' first.*'flair'"):
        VolumeDataset(cohort, "FLAIR", PREPROCESS, read=age, cache=None, augment=None)


def test_an_empty_cohort_is_refused() -> None:
    with pytest.raises(CohortError, match="nobody"):
        dataset(Cohort([]))


def contrasts(folder: Path) -> Cohort:
    """Six persons with t1w, one of them with t2w as well."""
    two = Cohort.open(
        write_phantoms(folder, 6, shape=(16, 16, 16), spacing=10.0, modalities=("t1w", "t2w"))
    )
    lacking = [replace(s, images={"t1w": s.images["t1w"]}) for s in two[1:]]
    return Cohort([two[0], *lacking], "six")


def kind(_subject: Subject, target: str) -> dict[str, Tensor]:
    return {"kind": torch.tensor([float(target == "t2w")])}


def drawn(data: VolumeDataset, steps: int, **options: Any) -> list[Batch]:
    return list(loader(data, batch=7, seed=1, steps=steps, **options))


def test_rare_contrasts_are_drawn_as_often_as_balance_says(tmp_path: Path) -> None:
    data = VolumeDataset(
        contrasts(tmp_path), ("t1w", "t2w"), PREPROCESS, read=kind, cache=None, augment=None
    )
    for balance, wanted in ((0.0, 1 / 7), (1.0, 1 / 2)):
        batches = drawn(data, 30, balance=balance)
        share = torch.cat([batch.values["kind"] for batch in batches]).mean()
        assert float(share) == pytest.approx(wanted, abs=0.01)
    again = drawn(data, 30, balance=1.0, start=20)
    assert [batch.ids for batch in again] == [batch.ids for batch in batches[20:]]


def test_training_hides_what_tells_a_site(tmp_path: Path) -> None:
    """Ages are known at site A of all, at B of none but one: heard as seldom at both."""
    subjects = Cohort.open(write_phantoms(tmp_path, 8, shape=(16, 16, 16), spacing=10.0))
    known = [
        replace(
            s, covariates={"site": "AB"[i % 2], **({"age": 30.0} if i % 2 == 0 or i == 1 else {})}
        )
        for i, s in enumerate(subjects)
    ]
    cohort = Cohort(known, "sites")
    plan = {"read": age, "cache": None, "augment": None}
    data = VolumeDataset(cohort, "t1w", PREPROCESS, **plan, swap=Swap(by="site"))
    heard = {
        index: sum(not data[index, seed].values["age"].isnan().any() for seed in range(200)) / 200
        for index in range(8)
    }
    at_a = sum(heard[index] for index in (0, 2, 4, 6)) / 4
    at_b = sum(heard[index] for index in (1, 3, 5, 7)) / 4
    assert at_a == pytest.approx(at_b, abs=0.05)
    assert heard[1] == 1.0
