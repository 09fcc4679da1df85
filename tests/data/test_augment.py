"""Augmentation is seeded, stays in its range and leaves the background alone."""

import pytest
import torch
from torch import Tensor

from brainweave.data.augment import Augment
from brainweave.errors import RecipeError
from brainweave.part import from_dict, to_dict

ALWAYS = {"flip": 1.0, "affine": 1.0, "elastic": 1.0, "intensity": 1.0, "noise": 1.0}
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
    first, second = (STEPS[name](x, low=-1.0, high=1.0, seed=7) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", ["affine", "elastic", "intensity", "noise", "all"])
def test_seeds_differ(x: Tensor, name: str) -> None:
    first, second = (STEPS[name](x, low=-1.0, high=1.0, seed=seed) for seed in (7, 8))
    assert not torch.equal(first, second)


def test_the_global_generator_plays_no_part(x: Tensor) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    STEPS["all"](x, low=-1.0, high=1.0, seed=7)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_input_is_not_changed(x: Tensor) -> None:
    before = x.clone()
    STEPS["all"](x, low=-1.0, high=1.0, seed=7)
    assert torch.equal(x, before)


def test_as_it_stands_a_volume_is_mirrored_or_left_alone(x: Tensor) -> None:
    results = [Augment()(x, low=-1.0, high=1.0, seed=seed) for seed in range(20)]
    kept = sum(torch.equal(result, x) for result in results)
    mirrored = sum(torch.equal(result, x.flip(1)) for result in results)
    assert kept + mirrored == 20
    assert 4 < kept < 16


def test_a_flip_mirrors_left_and_right(x: Tensor) -> None:
    assert torch.equal(STEPS["flip"](x, low=-1.0, high=1.0, seed=7), x.flip(1))


@pytest.mark.parametrize("name", ["intensity", "noise"])
@pytest.mark.parametrize("background", [-1.0, -0.25])
def test_background_stays_exactly_background(x: Tensor, name: str, background: float) -> None:
    x = torch.where(x == -1, background, x)
    made = STEPS[name](x, low=-1.0, high=1.0, seed=7, background=background)
    assert (made[x == background] == background).all()


@pytest.mark.parametrize("name", ["intensity", "noise"])
def test_the_head_is_changed(x: Tensor, name: str) -> None:
    made = STEPS[name](x, low=-1.0, high=1.0, seed=7)
    assert (made != x)[x != -1].float().mean() > 0.9


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("seed", range(4))
def test_the_range_is_kept(x: Tensor, name: str, seed: int) -> None:
    wild = STEPS[name].replace(gain=1.0, gamma=1.0, sd=1.0, rotation=40.0)
    made = wild(x, low=-1.0, high=1.0, seed=seed)
    assert made.min() >= -1
    assert made.max() <= 1


def test_what_an_affine_brings_in_is_background(x: Tensor) -> None:
    shifted = Augment(flip=0, affine=1, rotation=0, scale=0, shift=6)
    made = shifted(torch.ones_like(x), low=-1.0, high=1.0, seed=3)
    assert (made == -1).any()


def test_an_affine_of_no_size_changes_nothing(x: Tensor) -> None:
    still = Augment(flip=0, affine=1, rotation=0, scale=0, shift=0)
    torch.testing.assert_close(still(x, low=-1.0, high=1.0, seed=3), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_a_shift_is_at_most_that_many_voxels(seed: int) -> None:
    shifted = Augment(flip=0, affine=1, rotation=0, scale=0, shift=2)
    moved = middle_of_mass(shifted(blob(), low=0.0, high=1.0, seed=seed)) - middle_of_mass(blob())
    assert 0.1 < moved.abs().max() <= 2.001


@pytest.mark.parametrize("seed", range(3))
def test_a_rotation_keeps_distances_to_the_middle(seed: int) -> None:
    turned = Augment(flip=0, affine=1, rotation=40, scale=0, shift=0)
    before, after = (
        middle_of_mass(blob()),
        middle_of_mass(turned(blob(), low=0.0, high=1.0, seed=seed)),
    )
    assert (after - before).norm() > 0.5
    torch.testing.assert_close(after.norm(), before.norm(), rtol=0, atol=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_a_zoom_moves_everything_along_its_ray(seed: int) -> None:
    zoomed = Augment(flip=0, affine=1, rotation=0, scale=0.3, shift=0)
    before, after = (
        middle_of_mass(blob()),
        middle_of_mass(zoomed(blob(), low=0.0, high=1.0, seed=seed)),
    )
    factor = after.norm() / before.norm()
    assert 1 / 1.31 < factor < 1.31
    # the rim of a head is that of the nearest voxels
    torch.testing.assert_close(after, before * factor, rtol=0, atol=0.3)


def test_volumes_of_one_seed_move_together(x: Tensor) -> None:
    moved = Augment(flip=0.5, affine=1)
    first, second = (moved(x, low=-1.0, high=1.0, seed=5, contrast=name) for name in ("t1w", "t2w"))
    assert torch.equal(first, second)


def test_volumes_of_one_seed_have_noise_of_their_own(x: Tensor) -> None:
    first, second = (
        STEPS["noise"](x, low=-1.0, high=1.0, seed=5, contrast=name) for name in ("t1w", "t2w")
    )
    assert not torch.equal(first, second)


def test_a_probability_above_one_is_refused() -> None:
    with pytest.raises(RecipeError, match="flip"):
        Augment(flip=1.5)


def test_an_augmentation_survives_json() -> None:
    assert from_dict(to_dict(STEPS["all"])) == STEPS["all"]


def blob() -> Tensor:
    """A small bright cube away from the middle of a grid that is no cube."""
    values = torch.zeros(1, 25, 31, 21)
    values[:, 14:17, 18:21, 7:10] = 1
    return values


def middle_of_mass(x: Tensor) -> Tensor:
    """In voxels from the middle of the grid."""
    axes = torch.meshgrid(*(torch.arange(n) - (n - 1) / 2 for n in x.shape[1:]), indexing="ij")
    return torch.stack([(x[0] * axis).sum() for axis in axes]) / x.sum()


def test_a_moved_head_grows_no_rim_of_faint_voxels() -> None:
    head = torch.zeros(1, 20, 20, 20)
    head[:, 5:15, 5:15, 5:15] = 0.8
    turned = Augment(flip=0.0, affine=1.0, rotation=10.0, scale=0.0, shift=1.5)
    moved = turned(head, low=0.0, high=1.0, seed=3)
    assert float(moved[moved > 0].min()) > 0.1
    assert abs(int((moved > 0).sum()) - 1000) < 80
