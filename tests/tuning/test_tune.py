"""Tuning a model: the grids are found, kept, used, and no worse than even ones."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from brainweave.conditions import Category, Images
from brainweave.data.cohort import Cohort
from brainweave.data.phantom import write_phantoms
from brainweave.errors import OutputError, RecipeError
from brainweave.generator import Generator
from brainweave.progress import Reporter
from brainweave.recipe import Recipe, Sampling
from brainweave.toning import distance, histogram
from brainweave.tuning import tone, tune

NAMES = ("t1w", "t2w")
QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("heads")
    return Cohort.from_csv(
        write_phantoms(folder, 2, shape=(16, 16, 16), spacing=10.0, modalities=NAMES)
    )


@pytest.fixture
def noisy(tiny_recipe: Recipe, randomised: Callable[[Recipe], Generator], tmp_path: Path) -> Path:
    """A model that makes volumes from noise, trained on everybody."""
    training = tiny_recipe.training.replace(validation=0.0)
    randomised(tiny_recipe.replace(training=training)).save(tmp_path / "noisy")
    return tmp_path / "noisy"


@pytest.fixture
def seeing(tiny_recipe: Recipe, randomised: Callable[[Recipe], Generator], tmp_path: Path) -> Path:
    """A model that makes volumes from images."""
    recipe = tiny_recipe.replace(
        target="modality",
        conditions=(Category(name="modality", values=NAMES), Images(modalities=NAMES)),
        sampling=Sampling(sampler="ddim", steps=4),
    )
    randomised(recipe).save(tmp_path / "seeing")
    return tmp_path / "seeing"


@pytest.mark.parametrize("kind", ["noisy", "seeing"])
def test_tuned_grids_are_no_worse_than_even_ones_and_are_used(
    kind: str, cohort: Cohort, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(kind)
    found = tune(
        model, cohort, [1, 3], volumes=2, teacher=12, count=12, device="cpu", reporter=QUIET
    )
    assert [row.steps for row in found] == [1, 3]
    assert all(row.tuned >= row.even for row in found)
    generator = Generator.load(model)  # what was saved with the weights is as it was
    sampling = generator.recipe.sampling.replace(steps=3)
    assert sampling.times(generator.recipe.process).tolist() == [*found[1].times, 1.0]
    assert json.loads((model / "tuning.json").read_text())[1]["tuned"] == found[1].tuned


def test_a_copy_leaves_the_model_alone(noisy: Path, cohort: Cohort, tmp_path: Path) -> None:
    before = (noisy / "recipe.json").read_bytes()
    out = tmp_path / "tuned"
    tune(noisy, cohort, [2], out=out, volumes=1, teacher=8, count=8, device="cpu", reporter=QUIET)
    assert (noisy / "recipe.json").read_bytes() == before
    assert not (noisy / "tuning.json").exists()
    assert len(Generator.load(out).recipe.sampling.grids) == 1
    values = {"age": torch.tensor([[40.0]])}
    sampling = Sampling(steps=3)
    made = [Generator.load(folder).sample(values, [1], sampling) for folder in (noisy, out)]
    assert torch.equal(*made)


def test_tuning_again_keeps_the_other_grids(noisy: Path, cohort: Cohort) -> None:
    for number in (2, 3):
        tune(noisy, cohort, [number], volumes=1, teacher=8, count=8, device="cpu", reporter=QUIET)
    grids = Generator.load(noisy).recipe.sampling.grids
    assert [len(grid) for grid in grids] == [2, 3]


def test_impossible_requests_are_refused(noisy: Path, cohort: Cohort, tmp_path: Path) -> None:
    for wrong, text in (([], "different numbers"), ([2, 2], "different numbers"), ([9], "--count")):
        with pytest.raises(RecipeError, match=text):
            tune(noisy, cohort, wrong, count=12, reporter=QUIET)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(OutputError, match="not empty"):
        tune(noisy, cohort, [2], out=tmp_path / "full", reporter=QUIET)


def test_a_tone_curve_is_kept_and_used(noisy: Path, cohort: Cohort, tmp_path: Path) -> None:
    before = Generator.load(noisy)
    found = tone(noisy, cohort, out=tmp_path / "toned", volumes=2, device="cpu", reporter=QUIET)
    assert (found.made, found.real) == (2, 2)
    assert found.after < found.before
    after = Generator.load(tmp_path / "toned")
    assert after.recipe.sampling.tone == found.curve
    assert Generator.load(noisy).recipe.sampling.tone == ()
    values = {"age": torch.tensor([[40.0]])}
    made = [g.sample(values, [1], g.recipe.sampling.replace(steps=2)) for g in (before, after)]
    low, high = after.recipe.preprocess.intensity.range
    expected = before.recipe.sampling.replace(tone=found.curve).finished(made[0], low, high)
    torch.testing.assert_close(made[1], expected)
    kept = json.loads((tmp_path / "toned" / "tone.json").read_text())
    assert kept["after"] == pytest.approx(found.after)


def test_a_tone_curve_brings_histograms_together(noisy: Path, cohort: Cohort) -> None:
    """Of volumes that were drawn anew."""
    tone(noisy, cohort, volumes=2, device="cpu", reporter=QUIET)
    generator = Generator.load(noisy)
    low, high = generator.recipe.preprocess.intensity.range
    real = histogram((x - low) / (high - low) for x in generator.recipe.dataset(cohort).made())
    apart = []
    for curve in ((), generator.recipe.sampling.tone):
        sampling = generator.recipe.sampling.replace(tone=curve)
        made = generator.sample({"age": torch.tensor([[30.0], [60.0]])}, [7, 8], sampling)
        apart.append(distance(histogram([(made - low) / (high - low)]), real))
    assert apart[1] < 0.5 * apart[0]


def test_only_a_model_of_one_contrast_from_noise_has_a_tone(
    seeing: Path, noisy: Path, cohort: Cohort, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match="makes t1w, t2w from t1w, t2w; a tone curve is for"):
        tone(seeing, cohort, volumes=1, device="cpu", reporter=QUIET)
    with pytest.raises(RecipeError, match="--volumes 0: at least 1"):
        tone(noisy, cohort, volumes=0, device="cpu", reporter=QUIET)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(OutputError, match="is not empty"):
        tone(noisy, cohort, out=tmp_path / "full", device="cpu", reporter=QUIET)
