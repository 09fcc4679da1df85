"""The loop: what a step does, what is validated, when it stops."""

import json
import math
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch
from torch import Tensor
from watching import newest, wait_for

from brainweave.conditions.covariates import Scalar
from brainweave.data.cohort import Cohort
from brainweave.data.dataset import Batch, VolumeDataset
from brainweave.data.intensity import Fixed
from brainweave.data.seeds import derive
from brainweave.data.volume import Volume, read_grid
from brainweave.device import Precision
from brainweave.errors import CohortError, RecipeError, TrainingError
from brainweave.generator import Generator
from brainweave.model_folder import load_recipe
from brainweave.part import override
from brainweave.progress import Reporter
from brainweave.recipe import Recipe
from brainweave.training import ema
from brainweave.training.engine import Engine
from brainweave.training.loop import Volumes
from brainweave.training.optimiser import learning_rate
from brainweave.training.run import train
from brainweave.training.trainer import Trainer, deaf
from brainweave.training.validation import validation_loss

STILL = ("network.dropout=0", "training.ema=none", "training.grad_clip=none")


def dataset(recipe: Recipe, cohort: Cohort) -> VolumeDataset:
    def read(subject: object, _target: str) -> dict[str, Tensor]:
        return {condition.name: condition.read(subject) for condition in recipe.conditions}

    return VolumeDataset(cohort, "t1w", recipe.preprocess, read=read, cache=None, augment=None)


def trainer(recipe: Recipe, cohort: Cohort, folder: Path) -> Trainer:
    torch.manual_seed(0)
    generator = Generator(recipe)
    for parameter in generator.parameters():  # the head starts at zero and would hide the rest
        torch.nn.init.normal_(parameter, std=0.1)
    volumes, engine = dataset(recipe, cohort), Engine("cpu")
    seen = Volumes(volumes, None)
    return Trainer(generator, recipe, seen, folder, engine, report=Reporter(quiet=True))


def journal(folder: Path, kind: str) -> list[dict[str, float]]:
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return [event for event in events if event["kind"] == kind]


def test_loss_falls_on_phantoms(whole: Path) -> None:
    first, last = journal(whole, "validation")
    assert last["loss"] < first["loss"] < 0.95 * journal(whole, "train")[0]["loss"]


def test_accumulated_gradient_is_that_of_all_volumes_of_the_step(
    cohort: Cohort, tmp_path: Path
) -> None:
    plan = tiny.recipe(*STILL, "training.accumulate=2", "representation.whiten=0")
    own = trainer(plan, cohort, tmp_path)
    start = own.average.state_dict()
    reference = Generator(plan)
    reference.load_state_dict(start)
    batches = [Batch.of([own.training[i, 0] for i in pair]) for pair in ((0, 1), (2, 3))]
    losses = []
    for micro, batch in enumerate(batches):
        source = torch.Generator().manual_seed(derive("noise", plan.training.seed, 0, micro, 0))
        losses.append(reference.loss(batch.volume, batch.values, generator=source))
    torch.cat(losses).mean().backward()
    expected = {name: p.grad.clone() for name, p in reference.named_parameters()}

    own.step(iter(batches))
    found = {name: p.grad for name, p in own.module.named_parameters()}
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_gradient_is_clipped_to_its_norm(cohort: Cohort, tmp_path: Path) -> None:
    own = trainer(tiny.recipe("training.grad_clip=0.01"), cohort, tmp_path)
    facts, _ = own.step(own.batches())
    gradients = [p.grad for p in own.module.parameters()]
    norm = float(torch.nn.utils.get_total_norm(gradients))
    assert facts["grad_norm"] > 0.1
    assert norm == pytest.approx(0.01, rel=1e-3)


def test_average_follows_the_weights_by_its_formula(cohort: Cohort, tmp_path: Path) -> None:
    own = trainer(tiny.recipe("training.ema=0.15"), cohort, tmp_path)
    batches, name = own.batches(), "network.head.weight"
    expected = own.average.state_dict()[name].clone()
    for decay in (0.1, 0.15, 0.15):  # (1 + 0) / (10 + 0), then the limit
        own.step(batches)
        expected = decay * expected + (1 - decay) * own.module.state_dict()[name]
    torch.testing.assert_close(own.average.state_dict()[name], expected)


@pytest.mark.parametrize(("step", "decay"), [(0, 0.1), (1, 2 / 11), (90, 91 / 100), (99999, 0.999)])
def test_decay_warms_up(step: int, decay: float) -> None:
    assert ema.decay_at(step, 0.999) == pytest.approx(decay)


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (60, 0.55), (110, 0.1)]
)
def test_learning_rate_rises_on_a_line_and_falls_on_a_cosine(step: int, rate: float) -> None:
    plan = tiny.recipe().training.replace(lr=1.0, lr_end=0.1, warmup=10)
    assert learning_rate(step, 111, plan) == pytest.approx(rate)


def test_loss_that_is_not_finite_names_its_subject_and_keeps_the_last_state(
    cohort: Cohort, tmp_path: Path
) -> None:
    poisoned = cohort[3]
    image = Volume.load(poisoned.images["t1w"])
    path = tmp_path / "huge.nii.gz"
    Volume(image.data * 1e28, image.affine).save(path, dtype="float32")
    subjects = [*cohort[:3], replace(poisoned, images={"t1w": path}), *cohort[4:]]
    raw = Fixed(source_low=0, source_high=1e32, low=0, high=1e32)
    plan = tiny.recipe("representation.whiten=0", "training.validation=0")
    plan = plan.replace(preprocess=plan.preprocess.replace(intensity=raw))
    with pytest.raises(TrainingError, match=rf"step \d+: .* not finite for {poisoned.id};"):
        train(plan, Cohort(subjects), tmp_path / "run", device="cpu", show=False)
    assert newest(tmp_path / "run") == 0


def test_step_that_is_refused_changes_no_weight(cohort: Cohort, tmp_path: Path) -> None:
    own = trainer(tiny.recipe(), cohort, tmp_path)
    before = {name: tensor.clone() for name, tensor in own.module.state_dict().items()}
    batch = Batch.of([own.training[0, 0]])
    with pytest.raises(TrainingError, match="step 1"):
        own.step(iter([replace(batch, volume=batch.volume * math.inf)]))
    torch.testing.assert_close(own.module.state_dict(), before, rtol=0, atol=0)


def test_validation_loss_does_not_depend_on_what_was_drawn_before(
    cohort: Cohort, tmp_path: Path
) -> None:
    own = trainer(tiny.recipe(), cohort, tmp_path)
    first = validation_loss(own.average, own.training, own.engine)
    torch.rand(17)
    assert validation_loss(own.average, own.training, own.engine) == first


def test_validation_hears_the_conditions(cohort: Cohort, tmp_path: Path) -> None:
    own = trainer(tiny.recipe(), cohort, tmp_path)
    older = [replace(s, covariates={**s.covariates, "age": 20.0}) for s in cohort]
    other = dataset(own.recipe, Cohort(older))
    mine = validation_loss(own.average, own.training, own.engine)
    assert validation_loss(own.average, other, own.engine) != mine


def test_patience_ends_a_run_and_keeps_the_best_weights(cohort: Cohort, tmp_path: Path) -> None:
    plan = ("training.patience=1", "training.validate_every=5", "training.lr=1e-30")
    flat = tiny.recipe(*plan, "training.lr_end=0", "training.ema=none")
    train(flat, cohort, tmp_path / "run", device="cpu", show=False)
    events = journal(tmp_path / "run", "validation")
    assert [event["step"] for event in events] == [5, 10]
    assert newest(tmp_path / "run") == 10


def test_patience_without_validation_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    plan = tiny.recipe("training.patience=1", "training.validation=0")
    with pytest.raises(RecipeError, match="needs validation subjects"):
        train(plan, cohort, tmp_path / "run", device="cpu", show=False)


def test_run_folder_holds_a_generator_on_the_grid_of_its_cohort(
    cohort: Cohort, whole: Path
) -> None:
    generator = Generator.load(whole)
    assert generator.recipe.template == read_grid(cohort[0].images["t1w"])
    assert len(generator.recipe.representation.std) == 8


def test_previews_are_written_at_every_validation(whole: Path) -> None:
    names = sorted(path.name for path in (whole / "samples").iterdir())
    assert names == ["step-000015.png", "step-000030.png"]


def test_bf16_leaves_parameters_in_float32(cohort: Cohort, tmp_path: Path) -> None:
    plan = tiny.recipe("training.precision=bf16", "training.steps=2")
    generator = train(plan, cohort, tmp_path / "run", device="cpu", show=False)
    assert {parameter.dtype for parameter in generator.parameters()} == {torch.float32}


def test_bf16_changes_the_arithmetic_where_it_is_there(cohort: Cohort, tmp_path: Path) -> None:
    losses = []
    for precision in ("float32", "bf16"):
        own = trainer(tiny.recipe(), cohort, tmp_path)
        own.engine = Engine("cpu", precision)
        losses.append(own.step(own.batches())[0]["loss"])
    assert (losses[0] != losses[1]) == (own.engine.precision == "bf16")
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_network_computes_in_what_the_device_does(
    precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brainweave.training.engine.computed", lambda _asked, _device: precision)
    engine = Engine("cpu", "bf16")
    with engine.autocast():
        assert torch.is_autocast_enabled("cpu") == (precision == "bf16")


def test_compiling_keeps_the_names_of_weights(cohort: Cohort, tmp_path: Path) -> None:
    own = trainer(tiny.recipe("training.compile=true"), cohort, tmp_path)
    assert own.module.state_dict().keys() == Generator(own.recipe).state_dict().keys()


def test_column_split_decides_who_trains(cohort: Cohort, tmp_path: Path) -> None:
    names = ("train", "train", "val", "test", "train", "train", "val", "test")
    parts = [replace(s, split=name) for s, name in zip(cohort, names, strict=True)]
    train(
        tiny.recipe("training.steps=1"), Cohort(parts), tmp_path / "run", device="cpu", show=False
    )
    written = json.loads((tmp_path / "run" / "split.json").read_text())
    ids = [subject.id for subject in cohort]
    assert written == {"train": [*ids[:2], *ids[4:6]], "val": [ids[2], ids[6]]}
    listed = Cohort.open(f"{tmp_path / 'run' / 'cohort.csv'}:split=val")
    assert [(s.id, s.images) for s in listed] == [
        (ids[2], parts[2].images),
        (ids[6], parts[6].images),
    ]


def test_recipe_of_the_run_is_complete_before_the_first_step(
    cohort: Cohort, tmp_path: Path
) -> None:
    plan = tiny.recipe("training.validation=0", "training.lr=1e30", "training.warmup=0")
    with pytest.raises(TrainingError):
        train(plan, cohort, tmp_path / "run", device="cpu", show=False)
    assert load_recipe(tmp_path / "run").template is not None


@pytest.mark.parametrize(
    "assignments",
    [
        (),
        ("conditions=[]",),
        ("network.cross_attention=false",),
        ("network.pooled_context=true",),
    ],
    ids=str,
)
def test_parameters_without_a_gradient_are_foreseen(
    cohort: Cohort, tmp_path: Path, assignments: tuple[str, ...]
) -> None:
    plan = tiny.recipe()
    plan = plan.replace(conditions=(plan.conditions[0].replace(tokens=2),))
    for assignment in assignments:
        plan = override(plan, assignment)
    own = trainer(plan, cohort, tmp_path)
    own.step(own.batches())
    assert any(p.grad is None for p in own.module.parameters()) == deaf(plan)


def test_recipe_with_a_z_score_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    plan = tiny.recipe("preprocess.intensity=ZScore")
    with pytest.raises(RecipeError, match="use Percentiles or Fixed"):
        train(plan, cohort, tmp_path / "run", device="cpu", show=False)


def test_missing_value_without_a_null_names_subject_and_file(
    cohort: Cohort, tmp_path: Path
) -> None:
    lost = replace(cohort[2], covariates={"sex": "F"})
    subjects = Cohort([*cohort[:2], lost, *cohort[3:]])
    silent = Scalar(name="age", low=20, high=80, learned_null=False)
    plan = tiny.recipe("training.steps=1").replace(conditions=(silent,))
    with pytest.raises(
        CohortError, match=rf"{lost.id}' \(.*{lost.images['t1w'].name}\) has no age"
    ):
        train(plan, subjects, tmp_path / "run", device="cpu", show=False)


def test_file_that_cannot_be_read_is_not_said_to_be_unwritable(
    cohort: Cohort, tmp_path: Path
) -> None:
    folder = tmp_path / "run"

    def lose_the_cache() -> None:
        wait_for(folder, 5)
        shutil.rmtree(folder / "cache")

    threading.Thread(target=lose_the_cache, daemon=True).start()
    with pytest.raises(FileNotFoundError, match="npy"):
        train(tiny.recipe("training.steps=20000"), cohort, folder, device="cpu", show=False)
