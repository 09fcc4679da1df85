"""Free-form deformations agree with their definition, end at the border and never fold."""

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from torch import Tensor

from brainweave.data.warp import BOUND, control_points, displacement

SHARP = 2.4795  # K of brainweave.data.warp
SHAPE = (33, 41, 25)


def drawn(seed: int, *, spacing: float = 8.0, shape: tuple[int, ...] = SHAPE) -> Tensor:
    """Control points at the bound."""
    random = torch.Generator().manual_seed(seed)
    return control_points(shape, spacing=spacing, largest=BOUND * spacing, random=random)


def determinants(moved: Tensor) -> Tensor:
    """Of the Jacobian of x + u(x), from central differences of u."""
    gradient = torch.stack(torch.gradient(moved, dim=(0, 1, 2)), dim=-1)
    return torch.linalg.det(torch.eye(3, dtype=moved.dtype) + gradient)[1:-1, 1:-1, 1:-1]


def test_a_displacement_is_the_sum_of_its_cubic_splines() -> None:
    control = drawn(1)
    padded = torch.nn.functional.pad(control, (0, 0, 2, 2, 2, 2, 2, 2)).numpy()
    for axis in range(3):  # beyond a border: mirrored, negated
        padded = np.moveaxis(padded, axis, 0).copy()
        padded[0], padded[-1] = -padded[2], -padded[-3]
        padded = np.moveaxis(padded, 0, axis)
    spline = BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    for voxel in [(0, 5, 3), (7, 20, 12), (16, 16, 16), (30, 39, 24), (13, 1, 22)]:
        weights = []
        for place, edge, inside in zip(voxel, SHAPE, control.shape[:3], strict=True):
            position = place / (edge - 1) * (inside + 1)
            weights.append(np.nan_to_num(spline(position - np.arange(-1, inside + 3))))
        expected = np.einsum("a,b,c,abcx->x", *weights, padded)
        found = displacement(control, SHAPE)[voxel].numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_lone_control_point_moves_its_voxel_by_the_cube_of_two_thirds() -> None:
    control = torch.zeros(3, 3, 3, 3, dtype=torch.float64)
    control[1, 1, 1] = torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)
    moved = displacement(control, (17, 25, 33))[8, 12, 16]
    torch.testing.assert_close(moved, control[1, 1, 1] * 8 / 27)


@pytest.mark.parametrize("shape", [SHAPE, (16, 20, 14), (80, 7, 80)])
def test_the_border_stays(shape: tuple[int, ...]) -> None:
    moved = displacement(drawn(2, shape=shape), shape)
    faces = [moved.select(axis, end) for axis in range(3) for end in (0, -1)]
    assert max(float(face.abs().max()) for face in faces) < 1e-12
    assert float(moved.abs().max()) > 0.01


@pytest.mark.parametrize("seed", range(5))
def test_no_voxel_moves_further_than_control_points(seed: int) -> None:
    assert float(displacement(drawn(seed), SHAPE).abs().max()) <= BOUND * 8


@pytest.mark.parametrize("corners", [False, True], ids=["drawn", "as far as they may"])
def test_nothing_folds(corners: bool) -> None:
    least = (1 - SHARP * BOUND) ** 3
    for seed in range(60):
        control = drawn(seed)
        control = BOUND * 8 * control.sign() if corners else control
        found = determinants(displacement(control, SHAPE))
        assert float(found.min()) > least > 0
        assert float(found.min()) < 0.9  # it does deform


def worst(share: float) -> float:
    """The determinant that the worst control points reach, moved by `share` of their distance."""
    fine, intervals, cell = 6, 6, 2  # the worst place is a sixth (0.164) of a cell along each axis
    spline = BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    offsets = cell + 1 / fine - np.arange(1, intervals)
    value, slope = (np.nan_to_num(f(offsets)) for f in (spline, spline.derivative()))
    terms = [(slope, value, value), (value, slope, value), (value, value, slope)]
    gradient = sum(np.einsum("a,b,c->abc", *term) for term in terms)
    control = -share * fine * torch.from_numpy(np.sign(gradient))[..., None].expand(-1, -1, -1, 3)
    moved = displacement(control, (fine * intervals + 1,) * 3)
    first = cell * fine
    lines = [moved.movedim(axis, 0)[first : first + 4, first + 1, first + 1] for axis in range(3)]
    stencil = torch.tensor([-2.0, -3.0, 6.0, -1.0], dtype=torch.float64) / 6  # exact for cubics
    jacobian = torch.eye(3, dtype=torch.float64) + torch.stack([stencil @ line for line in lines])
    return float(torch.linalg.det(jacobian))


def test_the_bound_is_sharp() -> None:
    assert worst(BOUND) == pytest.approx(1 - SHARP * BOUND, abs=2e-4)
    assert worst(BOUND) > 0 > worst(BOUND + 0.01)


@pytest.mark.parametrize("edge", [31, 45, 46, 80, 96, 240])
def test_control_points_are_as_far_apart_as_asked_or_up_to_half_more(edge: int) -> None:
    inside = len(drawn(0, spacing=15.0, shape=(edge, 31, 31)))
    assert 15 <= (edge - 1) / (inside + 1) < 22.5


def test_displacements_shrink_with_narrow_volumes() -> None:
    control = drawn(0, spacing=16.0, shape=(17, 65, 65))
    assert control.shape == (1, 3, 3, 3)
    assert 0.5 * BOUND * 8 < float(control.abs().max()) <= BOUND * 8


def test_a_single_slice_is_not_moved() -> None:
    assert not displacement(drawn(0, shape=(1, 20, 20)), (1, 20, 20)).any()
