"""Augmentation is seeded, stays in its range and leaves the background alone."""

import pytest
import torch
from torch import Tensor

from brainweave.data.augment import Augment
from brainweave.errors import RecipeError
from brainweave.part import from_dict, to_dict

ALWAYS = {"flip": 1.0, "affine": 1.0, "intensity": 1.0, "noise": 1.0}
STEPS = {name: Augment(**{step: float(step == name) for step in ALWAYS}) for name in ALWAYS} | {
    "all": Augment(**ALWAYS)
}


@pytest.fixture
def x() -> Tensor:
    """A head in [-0.9, 1] in the middle of a background of -1."""
    values = torch.full((1, 16, 20, 14), -1.0)
    values[:, 5:11, 5:15, 4:10] = (
        torch.rand(1, 6, 10, 6, generator=torch.manual_seed(0)) * 1.9 - 0.9
    )
    return values


@pytest.mark.parametrize("name", STEPS)
def test_a_seed_decides_the_result(x: Tensor, name: str) -> None:
    first, second = (STEPS[name](x, low=-1, high=1, seed=7) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", ["affine", "intensity", "noise", "all"])
def test_seeds_differ(x: Tensor, name: str) -> None:
    first, second = (STEPS[name](x, low=-1, high=1, seed=seed) for seed in (7, 8))
    assert not torch.equal(first, second)


def test_the_global_generator_plays_no_part(x: Tensor) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    STEPS["all"](x, low=-1, high=1, seed=7)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_input_is_not_changed(x: Tensor) -> None:
    before = x.clone()
    STEPS["all"](x, low=-1, high=1, seed=7)
    assert torch.equal(x, before)


def test_as_it_stands_a_volume_is_mirrored_or_left_alone(x: Tensor) -> None:
    results = [Augment()(x, low=-1, high=1, seed=seed) for seed in range(20)]
    kept = sum(torch.equal(result, x) for result in results)
    mirrored = sum(torch.equal(result, x.flip(1)) for result in results)
    assert kept + mirrored == 20
    assert 4 < kept < 16


def test_a_flip_mirrors_left_and_right(x: Tensor) -> None:
    assert torch.equal(STEPS["flip"](x, low=-1, high=1, seed=7), x.flip(1))


@pytest.mark.parametrize("name", ["intensity", "noise"])
@pytest.mark.parametrize("background", [-1.0, -0.25])
def test_background_stays_exactly_background(x: Tensor, name: str, background: float) -> None:
    x = torch.where(x == -1, background, x)
    made = STEPS[name](x, low=-1, high=1, seed=7, background=background)
    assert (made[x == background] == background).all()


@pytest.mark.parametrize("name", ["intensity", "noise"])
def test_the_head_is_changed(x: Tensor, name: str) -> None:
    made = STEPS[name](x, low=-1, high=1, seed=7)
    assert (made != x)[x != -1].float().mean() > 0.9


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("seed", range(4))
def test_the_range_is_kept(x: Tensor, name: str, seed: int) -> None:
    wild = STEPS[name].replace(gain=1.0, gamma=1.0, sd=1.0, rotation=40.0)
    made = wild(x, low=-1, high=1, seed=seed)
    assert made.min() >= -1
    assert made.max() <= 1


def test_what_an_affine_brings_in_is_background(x: Tensor) -> None:
    shifted = Augment(flip=0, affine=1, rotation=0, scale=0, shift=6)
    made = shifted(torch.ones_like(x), low=-1, high=1, seed=3)
    assert (made == -1).any()


def test_an_affine_of_no_size_changes_nothing(x: Tensor) -> None:
    still = Augment(flip=0, affine=1, rotation=0, scale=0, shift=0)
    torch.testing.assert_close(still(x, low=-1, high=1, seed=3), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("axis", range(3))
def test_a_shift_moves_the_centre_of_mass_by_voxels(axis: int) -> None:
    blob = torch.zeros(1, 17, 21, 15)
    blob[:, 7:10, 9:12, 6:9] = 1
    augment = Augment(flip=0, affine=1, rotation=0, scale=0, shift=2)
    made = augment(blob, low=0, high=1, seed=11)[0]
    place = torch.arange(made.shape[axis]) - (made.shape[axis] - 1) / 2
    profile = made.sum(dim=[other for other in range(3) if other != axis])
    expected = -augment._matrix(_after_two_draws(11))[axis, 3]
    torch.testing.assert_close(float((profile * place).sum() / profile.sum()), float(expected))


def test_a_rotation_keeps_a_ball_where_it_is() -> None:
    axes = torch.meshgrid(*(torch.arange(15.0) - 7 for _ in range(3)), indexing="ij")
    ball = (5 - torch.stack(axes).square().sum(dim=0).sqrt()).clamp(0, 1)[None]
    turned = Augment(flip=0, affine=1, rotation=45, scale=0, shift=0)
    made = turned(ball, low=0, high=1, seed=2)
    assert (made - ball).abs().max() < 0.25
    assert (made - ball).abs().mean() < 0.005


def test_volumes_of_one_seed_move_together(x: Tensor) -> None:
    moved = Augment(flip=0.5, affine=1)
    first, second = (moved(x, low=-1, high=1, seed=5, contrast=name) for name in ("t1w", "t2w"))
    assert torch.equal(first, second)


def test_volumes_of_one_seed_have_noise_of_their_own(x: Tensor) -> None:
    first, second = (
        STEPS["noise"](x, low=-1, high=1, seed=5, contrast=name) for name in ("t1w", "t2w")
    )
    assert not torch.equal(first, second)


def test_a_probability_above_one_is_refused() -> None:
    with pytest.raises(RecipeError, match="flip"):
        Augment(flip=1.5)


def test_an_augmentation_survives_json() -> None:
    assert from_dict(to_dict(STEPS["all"])) == STEPS["all"]


def _after_two_draws(seed: int) -> torch.Generator:
    """The generator as `Augment` hands it to its affine map."""
    from brainweave.data.seeds import generator

    random = generator("augment", seed)
    torch.rand(2, generator=random)
    return random
