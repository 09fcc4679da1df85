"""Latents of a cohort: kept once, whose they are, what a doctor says of them."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from brainweave.compression import AutoencoderRecipe, AutoencoderTraining
from brainweave.data.cohort import Cohort
from brainweave.data.intensity import Percentiles
from brainweave.data.phantom import write_phantoms
from brainweave.data.preprocess import Preprocess
from brainweave.errors import CheckpointError, CohortError
from brainweave.latent_folder import FACTS, require
from brainweave.latents import doctor, encode
from brainweave.latents.doctor import energies
from brainweave.model_folder import latent, load_autoencoder, save_autoencoder
from linear_autoencoder import LinearConfig

SHAPE = (16, 16, 16)
PREPROCESS = Preprocess(shape=SHAPE, intensity=Percentiles(low=0, high=1))


def folder(place: Path, log_variance: float = -8.0, gain: float = 1.0) -> Path:
    """An autoencoder's, whose latents are Haar coefficients, those of detail times `gain`."""
    recipe = AutoencoderRecipe(
        name="linear",
        preprocess=PREPROCESS,
        autoencoder=LinearConfig(log_variance=log_variance),
        training=AutoencoderTraining(steps=1),
    )
    module = recipe.autoencoder.build()
    with torch.no_grad():
        module.kernels[1:] *= gain
    save_autoencoder(place, recipe, module)
    return place


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    heads = tmp_path_factory.mktemp("heads")
    return Cohort.open(write_phantoms(heads, 3, shape=SHAPE, spacing=10.0))


def test_an_autoencoder_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    recipe, module = load_autoencoder(folder(tmp_path / "model"))
    x = torch.rand(1, 1, *SHAPE)
    torch.testing.assert_close(module.reconstruct(x), x)
    assert recipe.autoencoder == module.config


def test_an_autoencoder_whose_recipe_was_changed_is_refused(tmp_path: Path) -> None:
    place = folder(tmp_path / "model") / "recipe.json"
    place.write_text(place.read_text().replace('"upper": 99.5', '"upper": 99.0'))
    for load in (load_autoencoder, latent):
        with pytest.raises(CheckpointError, match="was changed after the weights were saved"):
            load(tmp_path / "model")


def test_means_and_log_variances_are_kept_and_measured(tmp_path: Path, cohort: Cohort) -> None:
    model = folder(tmp_path / "model")
    seen = encode(model, cohort, tmp_path / "latents", show=False)
    recipe, space = load_autoencoder(model)[0], latent(model)
    volumes = torch.cat(list(recipe.dataset(cohort).made()))
    expected = space.transform(space.prepare(volumes)).transpose(0, 1).flatten(1).double()
    torch.testing.assert_close(seen.mean, expected.mean(1), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(seen.std, expected.std(1, correction=0), rtol=1e-4, atol=1e-6)
    facts = json.loads((tmp_path / "latents" / FACTS).read_text())
    assert facts["volumes"] == 3
    assert facts["std"] == seen.std.tolist()


def test_a_cohort_is_encoded_once(tmp_path: Path, cohort: Cohort) -> None:
    model, out = folder(tmp_path / "model"), tmp_path / "latents"
    encode(model, cohort, out, show=False)
    times = {path.name: path.stat().st_mtime_ns for path in out.glob("*.npy")}
    assert len(times) == 3
    encode(model, cohort, out, show=False)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.npy")} == times


def test_latents_of_another_autoencoder_are_refused(tmp_path: Path, cohort: Cohort) -> None:
    encode(folder(tmp_path / "one"), cohort, tmp_path / "latents", show=False)
    other = folder(tmp_path / "other", gain=0.5)
    with pytest.raises(CheckpointError, match="holds latents of another autoencoder"):
        encode(other, cohort, tmp_path / "latents", show=False)
    with pytest.raises(CheckpointError, match="holds latents of another autoencoder"):
        require(tmp_path / "latents", latent(other), PREPROCESS)
    require(tmp_path / "latents", latent(tmp_path / "one"), PREPROCESS)


def test_latents_of_other_volumes_are_refused(tmp_path: Path, cohort: Cohort) -> None:
    model = folder(tmp_path / "model")
    encode(model, cohort, tmp_path / "latents", shape=(32, 16, 16), show=False)
    with pytest.raises(CheckpointError, match="with --shape 16,16,16"):
        require(tmp_path / "latents", latent(model), PREPROCESS)
    require(tmp_path / "latents", latent(model), PREPROCESS.replace(shape=(32, 16, 16)))


def test_a_folder_without_latents_is_refused_where_they_are_needed(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no latents.json; brainweave encode"):
        require(tmp_path, latent(folder(tmp_path / "model")), PREPROCESS)


def test_statistics_are_over_the_split_train_if_there_is_one(
    tmp_path: Path, cohort: Cohort
) -> None:
    parts = zip(cohort, ("train", "val", "val"), strict=True)
    split = Cohort([replace(subject, split=part) for subject, part in parts])
    seen = encode(folder(tmp_path / "model"), split, tmp_path / "latents", show=False)
    assert seen.count == 8**3


def test_a_cohort_without_its_modality_is_refused(tmp_path: Path, cohort: Cohort) -> None:
    model = folder(tmp_path / "model")
    path = model / "recipe.json"  # targets are not bound to weights
    path.write_text(path.read_text().replace('"t1w"', '"t2w"'))
    for call in (lambda: encode(model, cohort, tmp_path / "l"), lambda: doctor(model, cohort)):
        with pytest.raises(CohortError, match="nobody has t2w"):
            call()


def test_a_sound_autoencoder_is_told_as_such(tmp_path: Path, cohort: Cohort) -> None:
    found = doctor(folder(tmp_path / "model"), cohort, tmp_path / "report", show=False)
    assert found.volumes == 3
    assert found.psnr[0] > 100
    assert max(found.lost) < 1e-9
    assert not any(channel.dead for channel in found.channels)
    written = json.loads((tmp_path / "report" / "doctor.json").read_text())
    assert written["channels"][0]["noise"] == pytest.approx(math.exp(-4))
    assert (tmp_path / "report" / "doctor.png").stat().st_size > 1000


def test_lost_detail_is_found_at_its_scale(tmp_path: Path, cohort: Cohort) -> None:
    """Detail that is halved on its way in and on its way out loses 3/4 of its height."""
    found = doctor(folder(tmp_path / "model", gain=0.5), cohort, show=False)
    assert found.lost[0] == pytest.approx(0.75**2, abs=0.02)
    assert found.lost[1] < 0.01
    assert any("finest detail does not come back" in line for line in found.findings)
    assert "56" in str(found)


def test_noise_in_place_of_latents_is_found(tmp_path: Path, cohort: Cohort) -> None:
    found = doctor(folder(tmp_path / "model", log_variance=2.0), cohort, show=False)
    assert all(channel.dead for channel in found.channels[1:])
    assert any("mostly noise" in line for line in found.findings)
    assert any("no model of these latents is trained" in line for line in found.findings)


def test_energies_add_up_to_those_of_the_volume() -> None:
    volume = torch.rand(1, 1, 16, 16, 16, dtype=torch.float64)
    lowest = volume.unflatten(2, (2, 8)).unflatten(4, (2, 8)).unflatten(6, (2, 8))
    kept = lowest.sum((3, 5, 7)).square().sum() / 512
    torch.testing.assert_close(energies(volume).sum() + kept, volume.square().sum())
