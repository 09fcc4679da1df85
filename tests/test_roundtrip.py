"""The table of what comes back from an autoencoder."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from brainweave.compression import AutoencoderRecipe, AutoencoderTraining
from brainweave.data.cohort import Cohort
from brainweave.data.phantom import write_phantoms
from brainweave.data.preprocess import Preprocess
from brainweave.evaluation.paired import METRICS
from brainweave.model_folder import save_autoencoder
from brainweave.roundtrip import of_run, roundtrip
from brainweave.training.subjects import COHORT
from linear_autoencoder import Linear, LinearConfig


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("two")
    shape, names = (16, 16, 16), ("t1w", "t2w")
    return Cohort.from_csv(write_phantoms(folder, 3, shape=shape, spacing=10.0, modalities=names))


@pytest.fixture
def recipe() -> AutoencoderRecipe:
    return AutoencoderRecipe(
        name="linear",
        targets=("t1w", "t2w"),
        preprocess=Preprocess(shape=(16, 16, 16)),
        autoencoder=LinearConfig(),
        training=AutoencoderTraining(steps=1),
    )


def blurring(recipe: AutoencoderRecipe) -> Linear:
    """Gives back the mean of every block of 2^3 voxels."""
    module = Linear(recipe.autoencoder)
    with torch.no_grad():
        module.kernels[1:] = 0
    return module.eval()


def test_the_table_has_the_numbers_of_evaluate(recipe: AutoencoderRecipe, cohort: Cohort) -> None:
    volumes, module = recipe.dataset(cohort), blurring(recipe)
    found = roundtrip(recipe, module, volumes)
    real = (volumes[1, 0].volume[0].double().numpy() + 1) / 2
    with torch.no_grad():
        back = module.reconstruct(volumes[1, 0].volume[None])[0, 0].clamp(-1, 1)
    row = next(r for r in found.rows if r["modality"] == "t2w")
    assert row["id"] == cohort[0].id
    for name, metric in METRICS.items():
        wanted = metric.measure(real, (back.double().numpy() + 1) / 2, None)
        assert row[name] == pytest.approx(wanted)
    assert row["psnr"] > row["psnr [head]"]


def test_modalities_have_rows_of_their_own(recipe: AutoencoderRecipe, cohort: Cohort) -> None:
    found = roundtrip(recipe, blurring(recipe), recipe.dataset(cohort))
    assert list(found.scores) == ["t1w", "t2w"]
    for name, scores in found.scores.items():
        score = next(s for s in scores if s.name == "psnr")
        own = [r["psnr"] for r in found.rows if r["modality"] == name]
        assert (score.n, score.value) == (3, pytest.approx(sum(own) / 3))
        assert score.low < score.value < score.high
    lines = str(found).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["t1w", "t2w"]


def test_a_model_without_an_error_has_numbers_that_json_can_hold(
    recipe: AutoencoderRecipe, cohort: Cohort
) -> None:
    module = Linear(recipe.autoencoder).eval()
    found = roundtrip(recipe, module, recipe.dataset(Cohort(cohort[:1])))
    assert found.rows[0]["high_frequency_error"] < 1e-9
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_run_is_measured_once_on_those_who_validate(
    recipe: AutoencoderRecipe, cohort: Cohort, tmp_path: Path
) -> None:
    save_autoencoder(tmp_path, recipe, blurring(recipe))
    named = zip(cohort, ("train", "val", "val"), strict=True)
    Cohort([replace(s, split=name) for s, name in named]).to_csv(tmp_path / COHORT)
    told = of_run(tmp_path)
    found = json.loads((tmp_path / "reconstruction.json").read_text())
    assert found["split"] == "val"
    assert len(found["rows"]) == 4  # of two subjects two modalities
    assert "| t1w | 2 |" in told
    assert "says how well" in of_run(tmp_path)
