"""Latents as a representation, on an autoencoder whose latents are Haar coefficients."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from brainweave.conditions import Category, Images
from brainweave.data.augment import Augment
from brainweave.data.cohort import Cohort
from brainweave.data.files import digest
from brainweave.data.phantom import write_phantoms
from brainweave.data.tensors import save_tensors
from brainweave.errors import CheckpointError, RecipeError
from brainweave.generator import Generator
from brainweave.model_folder import AUTOENCODER, load_recipe, save_recipe
from brainweave.part import from_dict, override, to_dict
from brainweave.processes.sources import Informed
from brainweave.recipe import Recipe
from brainweave.representations import Haar, Latent
from brainweave.representations.latent import Moments
from linear_autoencoder import LinearConfig

MODALITIES = ("t1w", "t2w")


def latent(folder: Path, log_variance: float = -8.0, **fields) -> Latent:
    """With weights in a folder."""
    config = LinearConfig(log_variance=log_variance)
    sha256 = save_tensors(folder / "weights.safetensors", config.build().state_dict(), {})
    made = Latent(autoencoder=config, sha256=sha256, low=-1.0, high=1.0, **fields)
    return made.at(folder / "weights.safetensors")


@pytest.fixture
def plain(tmp_path) -> Latent:
    return latent(tmp_path)


@pytest.fixture
def volumes() -> list[Tensor]:
    source = torch.Generator().manual_seed(0)
    ramp = torch.linspace(-1, 1, 16).view(1, 1, 16, 1, 1)
    return [0.3 * torch.randn(1, 1, 16, 16, 16, generator=source) + ramp for _ in range(3)]


def test_what_is_prepared_are_means_and_log_variances(plain, volumes):
    mu, log_variance = plain.prepare(volumes[0]).chunk(2, dim=1)
    torch.testing.assert_close(mu, Haar().transform(volumes[0]))
    torch.testing.assert_close(log_variance, torch.full_like(mu, -8.0))


def test_latents_are_whitened_as_every_representation_is(plain, volumes):
    fitted = plain.fit([plain.prepare(volume) for volume in volumes])
    haar = Haar(whiten=1.0).fit(volumes)
    torch.testing.assert_close(fitted.encode(volumes[0]), haar.encode(volumes[0]))
    torch.testing.assert_close(fitted.decode(fitted.encode(volumes[1])), volumes[1])


def test_statistics_of_latents_are_those_of_their_formulas(plain, volumes):
    seen = Moments(8)
    for volume in volumes:
        seen.add(plain.prepare(volume))
    mu = torch.cat([Haar().transform(v) for v in volumes]).transpose(0, 1).flatten(1).double()
    variance = math.exp(-8.0)
    torch.testing.assert_close(seen.mean, mu.mean(1), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(seen.std, mu.std(1, correction=0), rtol=1e-5, atol=1e-7)
    share = variance / (variance + mu.var(1, correction=0))
    torch.testing.assert_close(seen.noise_share, share, rtol=1e-4, atol=0)
    kl = (mu.square().mean(1) + variance - 1 + 8.0) / 2
    torch.testing.assert_close(seen.kl, kl, rtol=1e-5, atol=0)


@pytest.mark.parametrize("whiten", [0.0, 1.0])
def test_latents_that_are_noise_are_refused(tmp_path, volumes, whiten):
    noisy = latent(tmp_path, log_variance=1.0, whiten=whiten)
    prepared = [noisy.prepare(volume) for volume in volumes]
    with pytest.raises(RecipeError, match=r"% of the variance of these latents is noise"):
        noisy.fit(prepared)
    assert noisy.replace(noise_limit=1.0).fit(prepared).channels == 8


def test_its_weights_stay_where_they_are_when_fields_change(plain):
    assert plain.replace(whiten=0.5).weights == plain.weights
    assert override(plain, "whiten=0.5").weights == plain.weights


def test_a_recipe_without_weights_says_what_it_needs(volumes):
    with pytest.raises(CheckpointError, match="names no autoencoder; train one"):
        Latent(autoencoder=LinearConfig()).encode(volumes[0])


def test_weights_of_another_autoencoder_are_refused(plain, volumes):
    other = plain.replace(sha256="0" * 64)
    with pytest.raises(CheckpointError, match="is not the autoencoder that the model was trained"):
        other.encode(volumes[0])


def test_a_place_is_no_part_of_the_recipe(plain, tmp_path):
    assert "weights.safetensors" not in str(to_dict(plain))
    back = from_dict(to_dict(plain)).at(tmp_path / "weights.safetensors")
    assert back == plain


def recipes(tiny: Recipe, space: Latent | Haar, **fields) -> Recipe:
    return tiny.replace(representation=space, **fields)


def test_a_model_of_these_latents_is_the_model_of_haar_coefficients(plain, tiny_recipe, randomised):
    losses = []
    for space in (plain, Haar()):
        generator = randomised(recipes(tiny_recipe, space))
        source = torch.Generator().manual_seed(2)
        shown = torch.rand(2, 1, *tiny_recipe.preprocess.shape, generator=source) * 2 - 1
        values = {"age": torch.tensor([[40.0], [60.0]])}
        with torch.no_grad():
            source = torch.Generator().manual_seed(3)
            losses.append(generator.loss(space.prepare(shown), values, generator=source))
            losses.append(generator.sample({}, [5]))
    torch.testing.assert_close(losses[0], losses[2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses[1], losses[3], rtol=1e-4, atol=1e-5)


def completing(tiny: Recipe, space: Latent | Haar) -> Recipe:
    conditions = (Category(name="modality", values=MODALITIES), Images(modalities=MODALITIES))
    process = tiny.process.replace(source=Informed(noise=0.1))
    return recipes(tiny, space, conditions=conditions, target="modality", process=process)


def test_other_images_are_heard_as_latents(plain, tiny_recipe, randomised):
    made = []
    shape = tiny_recipe.preprocess.shape
    seen = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    for space in (plain, Haar()):
        generator = randomised(completing(tiny_recipe, space))
        made.append(generator.sample({"modality": torch.ones(1, 1), "t1w": seen}, [1]))
    torch.testing.assert_close(made[0], made[1], rtol=1e-4, atol=1e-5)


def test_a_cohort_is_encoded_once_and_trained_on(plain, tiny_recipe, tmp_path):
    path = write_phantoms(
        tmp_path / "heads", 2, shape=(16, 16, 16), spacing=10.0, modalities=MODALITIES
    )
    tiny_cohort = Cohort.open(path)
    recipe = completing(tiny_recipe, plain)
    dataset = recipe.dataset(tiny_cohort, cache=tmp_path / "cache")
    item = dataset[0, 0]
    i, j, k = (edge // 2 for edge in recipe.preprocess.shape)
    assert item.volume.shape == (16, i, j, k)
    assert item.values["t2w"].shape == (16, i, j, k)
    voxels = recipes(recipe, Haar()).dataset(tiny_cohort)[0, 0]
    torch.testing.assert_close(item.volume[:8], Haar().transform(voxels.volume[None])[0])
    kept = sorted((tmp_path / "cache").glob("*.npy"))
    times = [path.stat().st_mtime_ns for path in kept]
    recipe.dataset(tiny_cohort, cache=tmp_path / "cache")[0, 0]
    assert [path.stat().st_mtime_ns for path in kept] == times


def test_a_model_folder_carries_its_autoencoder(plain, tiny_recipe, tmp_path, volumes):
    recipe = recipes(tiny_recipe, plain)
    save_recipe(tmp_path / "model", recipe)
    plain.weights.unlink()
    loaded = load_recipe(tmp_path / "model")
    assert loaded.representation.weights == tmp_path / "model" / AUTOENCODER
    assert digest(to_dict(loaded)) == digest(to_dict(recipe))


def test_a_generator_is_loaded_with_its_autoencoder(plain, tiny_recipe, tmp_path, randomised):
    generator = randomised(recipes(tiny_recipe, plain))
    generator.save(tmp_path / "model")
    loaded = Generator.load(tmp_path / "model")
    assert torch.equal(loaded.sample({}, [1]), generator.sample({}, [1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"augment": Augment(flip=0.5)}, "training.augment works on voxels"),
    ],
)
def test_what_works_on_voxels_is_refused(plain, tiny_recipe, change, message):
    with pytest.raises(RecipeError, match=message):
        recipes(tiny_recipe, plain, training=tiny_recipe.training.replace(**change))


def test_contrasts_that_the_autoencoder_does_not_know_are_refused(plain, tiny_recipe):
    with pytest.raises(RecipeError, match="trained on t1w, not on t2w"):
        completing(tiny_recipe, plain.replace(modalities=("t1w",)))
    recipes(tiny_recipe, plain.replace(modalities=("t1w", "t2w")))


def test_weights_that_changed_are_not_copied_into_a_model(plain, tiny_recipe, tmp_path):
    save_tensors(plain.weights, LinearConfig().build().state_dict(), {"later": True})
    with pytest.raises(CheckpointError, match="is not the autoencoder that the model was trained"):
        save_recipe(tmp_path / "model", recipes(tiny_recipe, plain))


def test_another_range_of_intensities_is_refused(plain, tiny_recipe):
    with pytest.raises(RecipeError, match="knows intensities from 0 to 1"):
        recipes(tiny_recipe, plain.replace(low=0.0))
