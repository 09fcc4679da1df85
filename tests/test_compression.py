"""Recipes of autoencoders: what fits together, what is asked for, what is noted."""

import json
from pathlib import Path

import pytest
import torch

from brainweave.compression import AutoencoderRecipe, AutoencoderTraining, Features
from brainweave.cost import parameter_count
from brainweave.data.cohort import Cohort
from brainweave.data.grid import Grid
from brainweave.data.phantom import write_phantoms
from brainweave.data.preprocess import Preprocess
from brainweave.errors import RecipeError
from brainweave.inspection import compare, inspect
from brainweave.part import from_dict, override, to_dict
from brainweave.recipes import build
from brainweave.representations.autoencoders.wavelet_flow import WaveletFlowConfig

GRID = Grid(shape=(16, 16, 8), affine=tuple(tuple(row) for row in torch.eye(4).tolist()))


def recipe(**changes: object) -> AutoencoderRecipe:
    """Slices are halved once less."""
    values = {
        "name": "thick",
        "preprocess": Preprocess(shape=(16, 16, 8)),
        "autoencoder": WaveletFlowConfig(widths=(4, 4), axes=("ij", "ijk"), flow=2),
        "training": AutoencoderTraining(steps=1),
    }
    return AutoencoderRecipe(**{**values, **changes})


def test_a_recipe_travels_through_json() -> None:
    features = Features(network="radimagenet", weights="a.pt", slices=3)
    training = AutoencoderTraining(epochs=3, patch=(8, 8, 4), features=features)
    own = recipe(training=training, targets=("t1w", "flair"))
    assert from_dict(json.loads(json.dumps(to_dict(own)))) == own


@pytest.mark.parametrize(
    ("shape", "patch", "message"),
    [
        ((18, 16, 8), None, r"preprocess.shape \(18, 16, 8\) .* 4 x 4 x 2 .* \(20, 16, 8\)"),
        ((16, 16, 7), None, r"preprocess.shape .* next that is: \(16, 16, 8\)"),
        ((16, 16, 8), (6, 8, 3), r"training.patch \(6, 8, 3\) .* next that is: \(8, 8, 4\)"),
        ((16, 16, 8), (8, 20, 8), r"training.patch \(8, 20, 8\) is larger than preprocess.shape"),
    ],
)
def test_shapes_that_do_not_divide_are_refused_with_the_nearest_that_do(
    shape: tuple[int, int, int], patch: tuple[int, int, int] | None, message: str
) -> None:
    training = AutoencoderTraining(steps=1, patch=patch)
    with pytest.raises(RecipeError, match=message) as caught:
        recipe(preprocess=Preprocess(shape=shape), training=training)
    assert "\n" not in str(caught.value)


def test_patches_that_a_discriminator_cannot_judge_are_refused() -> None:
    with pytest.raises(RecipeError, match="8 voxels along every axis are needed"):
        AutoencoderTraining(steps=1, adversarial=0.1, patch=(8, 8, 4))
    AutoencoderTraining(steps=1, patch=(8, 8, 4))


def test_several_channels_are_refused() -> None:
    with pytest.raises(RecipeError, match="in_channels is 2"):
        recipe(autoencoder=WaveletFlowConfig(widths=(4,), in_channels=2, flow=2))


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("targets=T1,t2", ("t1w", "t2w")),
        ("targets=flair", ("flair",)),
        ('targets=["t1n", "t1w"]', ("t1w",)),
    ],
)
def test_targets_are_named_as_everywhere(text: str, targets: tuple[str, ...]) -> None:
    assert override(recipe(), text).targets == targets


@pytest.mark.parametrize("text", ["targets=[]", "targets=", "targets=3"])
def test_no_targets_are_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="targets"):
        override(recipe(), text)


def test_every_volume_of_every_subject_is_an_example(tmp_path: Path) -> None:
    table = write_phantoms(tmp_path, 2, shape=(16, 16, 8), spacing=10.0, modalities=("t1w", "t2w"))
    cohort = Cohort.from_csv(table)
    seen = recipe(targets=("t2w", "t1w")).dataset(cohort)
    assert [(s.id, name) for s, name in seen.volumes] == [
        (subject.id, name) for subject in cohort for name in ("t2w", "t1w")
    ]
    assert seen[0, 0].values == {}
    assert not torch.equal(seen[0, 0].volume, seen[1, 0].volume)


def test_what_is_noted_is_not_asked_for(tmp_path: Path, heads: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"abc")
    asked = recipe(training=AutoencoderTraining(steps=1, features=Features(weights=str(path))))
    begun = asked.fitted(asked.dataset(Cohort.from_csv(heads)), GRID)
    assert begun.template == GRID
    assert begun.training.features.sha256.startswith("ba7816bf")
    assert begun.unfitted() == asked


def test_features_without_their_file_are_refused_before_step_1(tmp_path: Path, heads: Path) -> None:
    absent = Features(weights=str(tmp_path / "absent.pth"))
    asked = recipe(training=AutoencoderTraining(steps=1, features=absent))
    with pytest.raises(RecipeError, match=r"absent\.pth is no file"):
        asked.fitted(asked.dataset(Cohort.from_csv(heads)), GRID)


def test_either_steps_or_epochs_are_needed() -> None:
    with pytest.raises(RecipeError, match="either steps or epochs"):
        AutoencoderTraining()
    assert AutoencoderTraining(epochs=3, batch=2).total_steps(10) == 15


# Recipes of the package


def test_maisi_weighs_the_divergence_as_its_sum_over_a_patch() -> None:
    plan = build("maisi_vae").training
    assert plan.kl == pytest.approx(1e-7 * 4 * (64 // 4) ** 3)
    assert (plan.perceptual, plan.adversarial, plan.patch) == (0.3, 0.1, (64, 64, 64))


def test_kl_2mm_is_as_large_and_as_long_as_wfvae_2mm() -> None:
    ours, theirs = build("wfvae_2mm", ["targets=t2w"]), build("kl_2mm", ["targets=t2w"])
    assert ours.training == theirs.training
    assert ours.autoencoder.factors == theirs.autoencoder.factors
    assert ours.autoencoder.latent_channels == theirs.autoencoder.latent_channels
    counts = [parameter_count(plan) for plan in (ours, theirs)]
    assert counts[1] == pytest.approx(counts[0], rel=0.1)


def test_a_file_may_hold_a_recipe_of_an_autoencoder(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(to_dict(build("vae_tiny"))))
    assert build(str(path), ["targets=t2w"]) == build("vae_tiny", ["targets=t2w"])


def test_facts_of_an_autoencoder_tell_latents_and_cost() -> None:
    text = str(inspect(build("vae_tiny")))
    assert text.splitlines()[0].startswith("vae_tiny")
    for told in ("4 x 16 x 20 x 16", "to encode and decode a volume", "training step of batch 2"):
        assert told in text
    assert "network call" not in text


def test_counting_an_autoencoder_leaves_nothing_behind() -> None:
    inspect(recipe())
    module = recipe().autoencoder.build()
    with torch.no_grad():
        assert module.reconstruct(torch.rand(1, 1, 16, 16, 8)).isfinite().all()


def test_an_autoencoder_and_a_generator_are_not_compared() -> None:
    assert "autoencoder" in compare(build("wfvae_2mm"), build("kl_2mm"))
    with pytest.raises(RecipeError, match="one is an autoencoder"):
        compare(build("tiny"), build("vae_tiny"))
