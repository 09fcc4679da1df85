"""Tiles: exact for a network that looks a known way, blended for one that looks everywhere."""

import logging
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from brainweave.errors import ShapeError
from brainweave.representations.autoencoders import tiles
from brainweave.representations.autoencoders.tiles import Way, blended, tiled, within

UP, DOWN, SAME = (Fraction(2), Fraction(2), Fraction(1)), (Fraction(1, 2),) * 3, (Fraction(1),) * 3


def volume(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def layers(*modules: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*modules).double().requires_grad_(False)


def convolution(in_channels: int, out_channels: int) -> nn.Conv3d:
    return nn.Conv3d(in_channels, out_channels, 3, padding=1)


def looking_two_voxels_far() -> nn.Sequential:
    return layers(convolution(2, 4), nn.SiLU(), convolution(4, 3))


def doubling() -> nn.Sequential:
    """Looks 2 voxels far along i and j, 2 along k."""
    up = nn.ConvTranspose3d(4, 4, (2, 2, 1), stride=(2, 2, 1))
    return layers(convolution(2, 4), nn.SiLU(), up, convolution(4, 3))


def halving() -> nn.Sequential:
    """Looks 1 + 2 voxels far, 4 in whole blocks."""
    return layers(convolution(2, 4), nn.SiLU(), nn.Conv3d(4, 4, 2, stride=2), convolution(4, 3))


# Exact ones


@pytest.mark.parametrize("edges", [(9, 11, 7), (1, 13, 2), (16, 8, 5)])
@pytest.mark.parametrize("tile", [(4, 4, 4), (1, 3, 2), (5, 100, 3), (100, 100, 100)])
def test_tiles_are_the_whole_at_its_ends_too_whatever_its_size(edges, tile):
    x, run = volume(2, 2, *edges), looking_two_voxels_far()
    found = tiled(run, x, tile=tile, halo=(2, 2, 2), scale=SAME)
    torch.testing.assert_close(found, run(x), rtol=0, atol=1e-12)


def test_a_halo_that_is_too_small_is_not_exact():
    x, run = volume(1, 2, 9, 9, 9), looking_two_voxels_far()
    found = tiled(run, x, tile=(4, 4, 4), halo=(1, 1, 1), scale=SAME)
    assert float((found - run(x)).abs().max()) > 1e-3


def test_what_comes_out_may_be_larger_along_some_axes():
    x, run = volume(1, 2, 7, 5, 6), doubling()
    found = tiled(run, x, tile=(3, 2, 4), halo=(2, 2, 2), scale=UP)
    torch.testing.assert_close(found, run(x), rtol=0, atol=1e-12)


def test_what_comes_out_may_be_smaller():
    x, run = volume(1, 2, 14, 10, 6), halving()
    found = tiled(run, x, tile=(4, 6, 2), halo=(4, 4, 4), scale=DOWN)
    torch.testing.assert_close(found, run(x), rtol=0, atol=1e-12)


def test_all_pieces_have_one_shape_the_smallest_that_is_enough():
    seen = []
    x = volume(1, 1, 10, 9, 4)

    def run(piece: Tensor) -> Tensor:
        seen.append(tuple(piece.shape[2:]))
        return piece

    tiled(run, x, tile=(4, 5, 4), halo=(1, 1, 1), scale=SAME)
    assert seen == 6 * [(6, 6, 4)]


# Blended ones


@pytest.mark.parametrize("tile", [(4, 4, 4), (6, 3, 5), (100, 100, 100)])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_blended_tiles_of_a_map_of_every_voxel_are_the_whole(tile, overlap):
    x = volume(1, 2, 9, 11, 7)
    found = blended(torch.sin, x, tile=tile, scale=SAME, overlap=overlap)
    torch.testing.assert_close(found, torch.sin(x), rtol=0, atol=1e-12)


def test_blended_tiles_of_blocks_begin_at_blocks():
    x = volume(1, 2, 14, 10, 6)
    found = blended(lambda v: F.avg_pool3d(v, 2), x, tile=(6, 6, 6), scale=DOWN, overlap=0.3)
    torch.testing.assert_close(found, F.avg_pool3d(x, 2), rtol=0, atol=1e-12)


def test_all_blended_tiles_are_whole():
    seen = []
    blended(
        lambda v: seen.append(tuple(v.shape[2:])) or v,
        volume(1, 1, 9, 4, 7),
        tile=(4, 6, 4),
        scale=SAME,
    )
    assert set(seen) == {(4, 4, 4)}
    assert len(seen) == 4 * 1 * 3


def test_the_middle_of_a_tile_weighs_most():
    x = torch.zeros(1, 1, 6, 1, 1)
    values = iter((0.0, 1.0))
    found = blended(lambda v: v + next(values), x, tile=(4, 1, 1), scale=SAME).flatten().tolist()
    assert found[:2] == [0, 0]
    assert found[4:] == [1, 1]
    assert 0 < found[2] < 0.5 < found[3] < 1


def test_blending_says_once_that_it_approximates(caplog):
    tiles._warn.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            blended(torch.sin, volume(1, 1, 4, 4, 4), tile=(2, 2, 2), scale=SAME)
    assert [record.message for record in caplog.records if "approximation" in record.message] != []
    assert len(caplog.records) == 1


# Within a bound of memory


def ways(*, seen: list[str]) -> list[Way]:
    """A fast pass of 10 bytes per voxel and a slow one of 4."""

    def way(name: str, each: int) -> Way:
        run = looking_two_voxels_far()
        return Way(
            lambda v: seen.append(f"{name} {v.numel() // 2}") or run(v),
            lambda shape: each * shape[0] * shape[1] * shape[2],
        )

    return [way("fast", 10), way("slow", 4)]


@pytest.mark.parametrize(
    ("memory", "passes"),
    [
        (0, ["fast 1024"]),
        (5120, ["fast 512", "fast 512"]),
        (5119, ["slow 512", "slow 512"]),
        (2048, ["slow 512", "slow 512"]),
        (2047, ["slow 384"] * 4),
    ],
)
def test_the_first_way_that_fits_is_taken_else_tiles_of_the_last(memory, passes):
    seen: list[str] = []
    x, run = volume(2, 2, 8, 8, 8), looking_two_voxels_far()
    found = within(x, memory, ways(seen=seen), halo=(2, 2, 2), scale=SAME)
    torch.testing.assert_close(found, run(x), rtol=0, atol=1e-12)
    assert seen == passes


@pytest.mark.parametrize("memory", [1300, 700, 500])
@pytest.mark.parametrize("halo", [(2, 2, 2), None])
def test_no_tile_is_larger_than_the_bound(memory, halo):
    seen: list[str] = []
    within(volume(1, 2, 8, 8, 8), memory, ways(seen=seen), halo=halo, scale=SAME)
    assert all(name.startswith("slow") and 4 * int(name[5:]) <= memory for name in seen)


def test_a_bound_below_the_smallest_tile_is_refused():
    with pytest.raises(ShapeError, match="raise the bound"):
        within(volume(1, 2, 8, 8, 8), 499, ways(seen=[]), halo=(2, 2, 2), scale=SAME)


def test_without_a_halo_tiles_are_the_largest_that_fit():
    seen: list[str] = []
    within(volume(1, 2, 8, 8, 8), 4 * 8 * 8 * 4, ways(seen=seen), halo=None, scale=SAME)
    assert set(seen) == {"slow 256"}
