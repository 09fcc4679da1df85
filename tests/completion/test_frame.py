"""Frames: the whole brain is inside, in training's place where it fits there."""

from itertools import product

import numpy as np
import pytest
import torch

from brainweave.completion.frame import Box, foreground, frame_of
from brainweave.data.grid import ORIENTATIONS, Grid
from brainweave.data.intensity import Percentiles
from brainweave.data.preprocess import Preprocess
from brainweave.data.volume import Volume

PREPROCESS = Preprocess(shape=(16, 16, 16), intensity=Percentiles(low=0, high=1))


def block(shape, low, high, affine=None) -> Volume:
    """0 but for noise above 0 in a box."""
    data = torch.zeros(shape)
    inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    data[inside] = 1 + torch.rand(data[inside].shape, generator=torch.Generator().manual_seed(0))
    return Volume(data, np.diag([1.0, 1, 1, 1]) if affine is None else affine)


def test_the_foreground_is_the_box_of_all_volumes_together():
    first, second = block((9, 9, 9), (2, 3, 4), (4, 5, 6)), block((9, 9, 9), (5, 3, 4), (6, 7, 5))
    assert foreground([first, second]) == Box((2, 3, 4), (6, 7, 6))


def test_without_foreground_it_is_the_whole_grid():
    assert foreground([Volume(torch.zeros(4, 5, 6), np.eye(4))]) == Box((0, 0, 0), (4, 5, 6))


def test_a_brain_in_the_middle_is_framed_as_in_training():
    volume = block((20, 13, 16), (4, 2, 3), (15, 11, 13))
    x, placement = PREPROCESS(volume, frame_of([volume], PREPROCESS, (4, 4, 4)))
    expected, same = PREPROCESS(volume)
    assert torch.equal(x, expected)
    assert placement == same


def test_a_brain_that_would_be_cut_moves_the_frame_just_enough():
    volume = block((30, 30, 30), (0, 12, 16), (9, 20, 29))
    assert frame_of([volume], PREPROCESS, (4, 4, 4)) == ((0, 7, 13), (16, 16, 16))


def test_a_brain_that_does_not_fit_lengthens_its_axis_only():
    volume = block((30, 30, 30), (3, 8, 8), (24, 20, 20))
    assert frame_of([volume], PREPROCESS, (4, 4, 4)) == ((2, 7, 7), (24, 16, 16))


def test_a_box_is_the_brain_rounded_up():
    volume = block((30, 30, 30), (3, 8, 8), (24, 20, 21))
    assert frame_of([volume], PREPROCESS, (4, 4, 4), "box") == ((2, 8, 7), (24, 12, 16))


@pytest.mark.parametrize("fit", ["model", "box"])
@pytest.mark.parametrize("spacing", [None, (1.5, 1.1, 2.0), (0.7, 0.7, 0.7)])
@pytest.mark.parametrize("code", ["RAS", "LPS", "SAL"])
def test_no_foreground_is_outside_on_any_grid(code, spacing, fit):
    affine = np.array([[1, 0.02, 0, -9], [0, 1.3, 0.1, 5], [0, 0, 2.1, 3], [0, 0, 0, 1]])
    grid = Grid.of((31, 37, 29), affine).oriented(code)
    for low, high in (((0, 0, 0), (9, 37, 4)), ((11, 2, 7), (30, 12, 29))):
        volume = block(grid.shape, low, np.minimum(high, grid.shape), grid.matrix)
        preprocess = PREPROCESS.replace(spacing=spacing)
        wide = preprocess.replace(shape=(144, 144, 144))
        frame = frame_of([volume], preprocess, (4, 4, 4), fit)
        assert all(edge % 4 == 0 for edge in frame.shape)
        inside = preprocess(volume, frame)[0]
        assert int((inside > 0).sum()) == int((wide(volume)[0] > 0).sum())


@pytest.mark.parametrize("code", sorted(ORIENTATIONS))
def test_framed_voxels_return_exactly(code):
    grid = Grid.of((31, 37, 29), np.diag([1.0, 1.2, 2.0, 1.0])).oriented(code)
    volume = block(grid.shape, (3, 0, 5), (27, 8, 9), grid.matrix)
    preprocess = PREPROCESS.replace(intensity=Percentiles(lower=0, upper=100, low=0, high=1))
    frame = frame_of([volume], preprocess, (4, 4, 4), "box")
    x, placement = preprocess(volume, frame)
    back = preprocess.restore(x, placement, frame)
    torch.testing.assert_close(back.data, volume.data, rtol=0, atol=1e-6)
    assert np.array_equal(back.affine, volume.affine)


def test_the_window_is_measured_on_the_whole_volume():
    volume = block((30, 30, 30), (0, 12, 16), (9, 20, 29))
    frame = frame_of([volume], PREPROCESS, (4, 4, 4))
    assert PREPROCESS(volume, frame)[1].window == PREPROCESS(volume)[1].window


def test_a_frame_may_reach_beyond_the_grid_everywhere():
    volume = block((5, 6, 7), (0, 0, 0), (5, 6, 7))
    frame = frame_of([volume], PREPROCESS, (4, 4, 4), "box")
    assert frame == ((-1, -1, 0), (8, 8, 8))
    x = PREPROCESS(volume, frame)[0]
    for corner in product((0, -1), repeat=2):
        assert not x[0, corner[0], corner[1]].any()
