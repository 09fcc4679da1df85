"""Elastic warps of `Augment`: one map with the affine's, alike for all volumes of a subject."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from brainweave.data.augment import Augment
from brainweave.data.seeds import generator
from brainweave.data.warp import control_points, displacement
from brainweave.errors import RecipeError

SHAPE = (33, 41, 25)
WARP = Augment(flip=0, elastic=1, displacement=3, control_spacing=8)
TURN = Augment(flip=0, affine=1, rotation=5, scale=0.05, shift=1)


def places() -> Tensor:
    """Every voxel's own place: three volumes, each a linear ramp along one axis."""
    return torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in SHAPE), indexing="ij"))


def sources(augment: Augment, seed: int) -> Tensor:
    """Where the voxels of a result come from, [i j k 3]; -100 where nowhere."""
    found = augment.moved(places(), seed=seed, background=torch.full((3,), -100.0))
    return found.movedim(0, -1)


def warped(seed: int) -> Tensor:
    """Where `WARP` takes voxels from by its definition."""
    random = generator("elastic", seed)
    torch.rand(1, generator=random)
    control = control_points(SHAPE, spacing=8.0, largest=3.0, random=random)
    return places().movedim(0, -1) + displacement(control.float(), SHAPE)


@pytest.mark.parametrize("seed", range(4))
def test_an_elastic_warp_displaces_a_ramp_as_its_splines_say(seed: int) -> None:
    found = sources(WARP, seed)
    torch.testing.assert_close(found, warped(seed), rtol=0, atol=1e-3)
    assert (found - places().movedim(0, -1)).abs().max() > 0.5


@pytest.mark.parametrize("seed", range(4))
def test_affine_and_elastic_are_one_map(seed: int) -> None:
    """What comes from where the warp says, turned as without it."""
    middle = (slice(8, -8), slice(8, -8), slice(8, -8))
    own, turned = places().movedim(0, -1)[middle].reshape(-1, 3), sources(TURN, seed)[middle]
    ones = torch.ones(len(own), 1)
    affine = torch.linalg.lstsq(torch.cat([own, ones], 1), turned.reshape(-1, 3)).solution
    both = TURN.replace(elastic=1, displacement=3, control_spacing=8)
    expected = torch.cat([warped(seed)[middle].reshape(-1, 3), ones], 1) @ affine
    found = sources(both, seed)[middle].reshape(-1, 3)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)


def test_a_warp_is_interpolated_once() -> None:
    """A checkerboard keeps more contrast than after two interpolations."""
    board = (places().sum(0, keepdim=True) % 2) + 1
    both = TURN.replace(elastic=1, displacement=3, control_spacing=8)
    background = torch.zeros(1)
    once = both.moved(board, seed=3, background=background)
    warped_first = WARP.moved(board, seed=3, background=background)
    twice = TURN.moved(warped_first, seed=3, background=background)
    middle = (0, slice(8, -8), slice(8, -8), slice(8, -8))
    assert once[middle].std() > 1.3 * twice[middle].std()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("affine", [0.0, 1.0])
def test_no_displacement_changes_no_bit(seed: int, labels: bool, affine: float) -> None:
    x, background = torch.rand(2, *SHAPE, generator=torch.manual_seed(0)), torch.zeros(2)
    plain = Augment(affine=affine)
    still = plain.replace(elastic=1, displacement=0)
    found, expected = (
        augment.moved(x, seed=seed, background=background, labels=labels)
        for augment in (still, plain)
    )
    assert torch.equal(found, expected)


@pytest.mark.parametrize("seed", range(6))
def test_what_seeds_draw_without_elastic_is_as_ever(seed: int) -> None:
    """Runs that began before there was an elastic warp go on with the same volumes."""
    x = torch.rand(1, *SHAPE, generator=torch.manual_seed(0)) + 0.5
    random = generator("augment", seed)
    flip, affine = torch.rand(2, generator=random).tolist()
    drawn = 2 * torch.rand(7, generator=random, dtype=torch.float64) - 1
    half = (torch.tensor(SHAPE, dtype=torch.float64) - 1) / 2
    shift = (4 * drawn[4:] / half).flip(0)[:, None]
    matrix = torch.cat([torch.eye(3, dtype=torch.float64), shift], 1).float()
    grid = functional.affine_grid(matrix[None], [1, 1, *SHAPE], align_corners=True)
    source = x.flip(1) if flip < 0.5 else x
    moved, head = (
        functional.grid_sample(source[None], grid, mode=mode, align_corners=True)[0]
        for mode in ("bilinear", "nearest")
    )
    expected = torch.where(head > 0, moved, 0.0) if affine < 0.7 else source
    shifted = Augment(affine=0.7, rotation=0, scale=0, shift=4)
    assert torch.equal(shifted.moved(x, seed=seed, background=torch.zeros(1)), expected)


def test_warps_come_with_their_probability() -> None:
    x, background = torch.rand(1, *SHAPE, generator=torch.manual_seed(0)), torch.zeros(1)
    sometimes = Augment(flip=0, elastic=0.3)
    count = sum(
        not torch.equal(sometimes.moved(x, seed=seed, background=background), x)
        for seed in range(200)
    )
    assert 40 < count < 80


@pytest.mark.parametrize("augment", [WARP, TURN.replace(elastic=1)], ids=["elastic", "and affine"])
@pytest.mark.parametrize("seed", range(3))
def test_label_maps_move_with_images_and_keep_their_numbers(augment: Augment, seed: int) -> None:
    numbers = torch.tensor([0.0, 2.0, 7.0])
    drawn = torch.randint(3, (1, *SHAPE), generator=torch.manual_seed(1))
    maps, background = numbers[drawn], torch.zeros(1)
    found = augment.moved(maps, seed=seed, background=background, labels=True)
    assert set(found.unique().tolist()) == {0.0, 2.0, 7.0}
    image = augment.moved(maps.clamp_max(1), seed=seed, background=background)
    assert torch.equal(found != 0, image != 0)


def test_modalities_together_move_as_each_alone() -> None:
    x, background = torch.rand(2, *SHAPE, generator=torch.manual_seed(2)), torch.tensor([0.0, -1.0])
    together = WARP.moved(x, seed=4, background=background)
    for n in range(2):
        alone = WARP.moved(x[n : n + 1], seed=4, background=background[n : n + 1])
        assert torch.equal(together[n : n + 1], alone)


@pytest.mark.parametrize("background", [0.0, -1.0, 0.3])
def test_background_beside_a_warped_head_stays_exactly_background(background: float) -> None:
    x = torch.full((1, *SHAPE), background)
    x[:, 8:25, 10:31, 6:19] = 0.9
    made = WARP(x, low=-1.0, high=1.0, seed=3, background=background)
    assert (made == background).float().mean() > 0.7
    assert (made[made != background] - background).min() > 0.05
    for axis in (1, 2, 3):
        assert (made.select(axis, 0) == background).all()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("elastic", 1.5, "elastic: Input should be less than or equal to 1"),
        ("displacement", -1.0, "displacement: Input should be greater than or equal to 0"),
        ("control_spacing", 1.0, "control_spacing: Input should be greater than or equal to 2"),
        ("displacement", 6.5, "control points 15 apart; set at most 6"),
    ],
)
def test_a_warp_that_could_fold_is_refused_in_one_line(
    field: str, value: float, message: str
) -> None:
    with pytest.raises(RecipeError, match=message) as error:
        Augment(**{field: value})
    assert "\n" not in str(error.value)
