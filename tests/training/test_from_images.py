"""Runs of models that hear images: any subset, any target, a label map."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from watching import signal_at

from brainweave.conditions import Category, Images, Mask
from brainweave.data.augment import Augment
from brainweave.data.cohort import Cohort
from brainweave.data.phantom import write_phantoms
from brainweave.data.volume import Volume
from brainweave.errors import CohortError, Interrupted
from brainweave.generator import Generator
from brainweave.membership import losses
from brainweave.processes.frequency import FrequencyAdaptive
from brainweave.processes.process import Process
from brainweave.processes.sources import Informed
from brainweave.recipe import Recipe, Sampling
from brainweave.training.run import train

NAMES = ("t1w", "t2w", "flair")


@pytest.fixture(scope="module")
def contrasts(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Six heads in three contrasts with labels; one head lacks a contrast."""
    folder = tmp_path_factory.mktemp("contrasts")
    table = write_phantoms(folder, 6, shape=(16, 16, 16), spacing=10.0, modalities=(*NAMES, "seg"))
    first, *others = Cohort.from_csv(table)
    shown = {name: path for name, path in first.images.items() if name != "flair"}
    return Cohort([replace(first, images=shown), *others], str(table))


def any_to_any(**changes: object) -> Recipe:
    """Every contrast from whatever else there is, from the mean of the others."""
    base = tiny.recipe("training.steps=12", "training.validate_every=6", "training.save_every=1")
    return base.replace(
        target="modality",
        process=Process(source=Informed(noise=0.1), at_start=0.5),
        conditions=(Category(name="modality", values=NAMES), Images(modalities=NAMES, keep=0.6)),
        training=base.training.replace(drop_conditions=0.0, augment=Augment(flip=0.5)),
        sampling=Sampling(steps=1, masked=True, mirror=True),
        **changes,
    )


@pytest.fixture(scope="module")
def run(contrasts: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("any") / "run"
    train(any_to_any(), contrasts, folder, device="cpu", show=False)
    return folder


def test_one_run_learns_every_target_from_every_subset(run: Path, contrasts: Cohort) -> None:
    model = Generator.load(run)
    volumes = model.recipe.dataset(contrasts)
    assert len(volumes) == 3 * 6 - 1
    for index in range(3):
        item = volumes[index + 3, 0]
        values = {name: value[None] for name, value in item.values.items()}
        made = model.sample(values, [0])
        assert made.isfinite().all()
        background = torch.stack([values[n] for n in NAMES]).nan_to_num(-1).amax(0) <= -1
        assert (made[background] == -1).all()


def test_a_run_on_images_shows_real_volumes_above_made_ones(run: Path) -> None:
    assert (run / "samples" / "step-000012.png").stat().st_size > 1000


def test_a_run_on_images_resumes_exactly(run: Path, contrasts: Cohort, tmp_path: Path) -> None:
    other = tmp_path / "run"
    signal_at(other, 0, signal.SIGTERM)
    with pytest.raises(Interrupted):
        train(any_to_any(), contrasts, other, device="cpu", show=False)
    train(any_to_any(), contrasts, other, device="cpu", show=False)
    assert tiny.digest(other) == tiny.digest(run)


def test_offsets_are_measured_before_the_first_step(contrasts: Cohort, tmp_path: Path) -> None:
    path = FrequencyAdaptive(strength=0.5)
    recipe = any_to_any().replace(process=Process(path=path, prediction="velocity"))
    train(recipe, contrasts, tmp_path / "run", device="cpu", show=False)
    found = Generator.load(tmp_path / "run").recipe.process.path
    assert isinstance(found, FrequencyAdaptive)
    assert found.offsets is not None
    assert len(found.offsets) == 8


def test_a_label_map_conditions_a_run(contrasts: Cohort, tmp_path: Path) -> None:
    base = tiny.recipe("training.steps=2")
    recipe = base.replace(conditions=(Mask(name="seg", labels=(1, 2)),))
    train(recipe, contrasts, tmp_path / "run", device="cpu", show=False)
    model = Generator.load(tmp_path / "run")
    assert {"seg"} == set(model.recipe.inputs) == set(model.recipe.labels)


def test_losses_of_a_model_that_hears_images_are_one_per_subject(
    run: Path, contrasts: Cohort
) -> None:
    found = losses(run, contrasts, times=2, draws=1)
    assert found.shape == (6,)


def test_an_image_on_another_grid_is_refused(contrasts: Cohort, tmp_path: Path) -> None:
    subject = contrasts[1]
    volume = Volume.load(subject.images["t2w"])
    moved = volume.affine.copy()
    moved[0, 3] += 3
    Volume(volume.data, moved).save(tmp_path / "t2w.nii.gz")
    odd = replace(subject, images={**subject.images, "t2w": tmp_path / "t2w.nii.gz"})
    rest = [s for s in contrasts if s.id != subject.id]
    with pytest.raises(CohortError, match=r"t2w .* has shape|t2w .* mm from t1w"):
        train(any_to_any(), Cohort([odd, *rest]), tmp_path / "run", device="cpu", show=False)


def test_a_needed_image_that_a_subject_lacks_is_refused(contrasts: Cohort, tmp_path: Path) -> None:
    images = Images(modalities=("t2w", "flair"), required=True)
    recipe = tiny.recipe("training.steps=2").replace(conditions=(images,))
    with pytest.raises(CohortError, match="has no flair to make its t1w from"):
        train(recipe, contrasts, tmp_path / "run", device="cpu", show=False)


def test_a_subject_with_one_image_is_refused(contrasts: Cohort, tmp_path: Path) -> None:
    lonely = replace(contrasts[1], images={"t1w": contrasts[1].images["t1w"]})
    cohort = Cohort([lonely, *contrasts[2:]])
    with pytest.raises(CohortError, match="only t1w: nothing to make it from"):
        train(any_to_any(), cohort, tmp_path / "run", device="cpu", show=False)
