"""Runs of models that hear images: any subset, any target, a label map."""

import math
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from watching import signal_at

from brainweave.conditions import Category, Images, Mask
from brainweave.conditions.hiding import heard
from brainweave.conditions.regression import Regression
from brainweave.data.augment import Augment
from brainweave.data.cohort import Cohort
from brainweave.data.phantom import write_phantoms
from brainweave.data.volume import Volume
from brainweave.errors import CohortError, Interrupted, RecipeError
from brainweave.generator import Generator
from brainweave.image_loss import ImageLoss
from brainweave.membership import losses
from brainweave.processes.frequency import FrequencyAdaptive
from brainweave.processes.process import Process
from brainweave.processes.sources import Informed
from brainweave.progress import Reporter
from brainweave.recipe import Recipe, Sampling
from brainweave.representations import Haar
from brainweave.training.run import train
from brainweave.tuning import tune

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
    process = Process(path=path, prediction="velocity")
    recipe = any_to_any().replace(process=process, sampling=Sampling(steps=1))
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


def test_a_label_map_is_no_image_to_make_a_target_from(contrasts: Cohort, tmp_path: Path) -> None:
    shown = {name: contrasts[1].images[name] for name in ("t1w", "seg")}
    cohort = Cohort([replace(contrasts[1], images=shown), *contrasts[2:]])
    recipe = any_to_any()
    both = recipe.replace(conditions=(*recipe.conditions, Mask(name="seg", labels=(1, 2))))
    with pytest.raises(CohortError, match="only t1w: nothing to make it from"):
        train(both, cohort, tmp_path / "run", device="cpu", show=False)


def test_tuned_grids_survive_the_same_command(run: Path, contrasts: Cohort) -> None:
    tune(run, contrasts, [2], volumes=2, count=8, device="cpu", reporter=Reporter(quiet=True))
    found = Generator.load(run).recipe.sampling.grids
    train(any_to_any(), contrasts, run, device="cpu", show=False)
    assert Generator.load(run).recipe.sampling.grids == found
    assert len(found) == 1


def test_offsets_that_are_given_are_compared(contrasts: Cohort, tmp_path: Path) -> None:
    base = any_to_any().replace(sampling=Sampling(steps=1, mirror=False), process=Process())
    recipes = [
        base.replace(process=Process(path=FrequencyAdaptive(offsets=(offset,) * 8)))
        for offset in (0.0, 3.0)
    ]
    train(recipes[0], contrasts, tmp_path / "run", device="cpu", show=False)
    with pytest.raises(RecipeError, match=r"process\.path.* was"):
        train(recipes[1], contrasts, tmp_path / "run", device="cpu", show=False)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"conditions": (*any_to_any().conditions, Images(name="b", modalities=("pd",)))}, "one"),
        (
            {
                "process": Process(),
                "conditions": (
                    Category(name="modality", values=NAMES),
                    Images(modalities=NAMES, regression=Regression()),
                ),
            },
            "regression is where",
        ),
        (
            {
                "conditions": (
                    Category(name="modality", values=NAMES),
                    Images(modalities=NAMES, required=True),
                )
            },
            "is made and",
        ),
    ],
)
def test_recipes_that_contradict_themselves_are_refused(
    changes: dict[str, object], text: str
) -> None:
    with pytest.raises(RecipeError, match=text):
        any_to_any().replace(**changes)


def test_a_fixed_target_may_stand_among_its_images() -> None:
    recipe = tiny.recipe().replace(
        process=Process(source=Informed()), conditions=(Images(modalities=("t1w", "t2w")),)
    )
    volume = torch.rand(2, 1, 16, 16, 16) * 2 - 1
    made = Generator(recipe.replace(representation=Haar())).sample(
        {"t1w": torch.full_like(volume, torch.nan), "t2w": volume}, [0, 1]
    )
    assert made.isfinite().all()


def test_background_labels_are_no_head(contrasts: Cohort) -> None:
    recipe = any_to_any()
    conditions = (*recipe.conditions, Mask(name="seg", labels=(1, 2)))
    training = recipe.training.replace(image_loss=ImageLoss(free=0))
    model = Generator(
        recipe.replace(conditions=conditions, training=training, representation=Haar())
    )
    volume = torch.full((1, 1, 16, 16, 16), -1.0)
    volume[..., 4:8, 4:8, 4:8] = 0.0
    values = {**dict.fromkeys(NAMES, volume), "seg": torch.zeros_like(volume)}
    keep = heard(model.recipe.conditions, 1)
    judge = model._judge(volume, values, model._space(values, keep))
    assert judge is not None
    off = model.recipe.representation.encode(volume + 0.2)
    assert float(judge(off)) == pytest.approx(math.log(0.01), abs=1e-3)
