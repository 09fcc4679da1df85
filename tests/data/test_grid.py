"""Grids: orientation codes, and that every change of geometry keeps positions in mm."""

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from brainweave.data.grid import ORIENTATIONS, Grid, orientation_of, require_affine, route
from brainweave.errors import RecipeError, VolumeError
from brainweave.part import from_dict, to_dict


def affine(rotation: Rotation, spacing=(1.0, 1.2, 2.5), origin=(-30.0, 12.5, 7.0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation.as_matrix() * spacing
    matrix[:3, 3] = origin
    return matrix


OBLIQUE = Grid.of((5, 7, 4), affine(Rotation.from_euler("xyz", [20, -13, 31], degrees=True)))


def test_there_are_48_orientations():
    assert len(ORIENTATIONS) == 48


def test_orientation_agrees_with_nibabel_on_random_rotations():
    matrices = [affine(turn) for turn in Rotation.random(300, np.random.default_rng(0))]
    matrices += [matrix * [-1, 1, 1, 1] for matrix in matrices]
    assert [orientation_of(m) for m in matrices] == ["".join(nib.aff2axcodes(m)) for m in matrices]


@pytest.mark.parametrize("code", sorted(ORIENTATIONS))
def test_an_oriented_grid_has_the_orientation_asked_for(code):
    assert OBLIQUE.oriented(code).orientation == code


@pytest.mark.parametrize("code", sorted(ORIENTATIONS))
def test_orienting_moves_no_voxel(code):
    index = np.arange(np.prod(OBLIQUE.shape)).reshape(OBLIQUE.shape)
    way = route(OBLIQUE.orientation, code)
    moved = np.flip(index.transpose(way.order), way.flips)
    before = np.array([*np.unravel_index(moved.ravel(), OBLIQUE.shape), np.ones(moved.size)])
    after = np.array([*np.unravel_index(np.arange(moved.size), moved.shape), np.ones(moved.size)])
    assert OBLIQUE.oriented(code).shape == moved.shape
    np.testing.assert_allclose(OBLIQUE.oriented(code).matrix @ after, OBLIQUE.matrix @ before)


def test_resampling_keeps_the_centre_and_directions():
    new = OBLIQUE.resampled((2.0, 0.7, 2.5))
    centres = [g.matrix @ [*((n - 1) / 2 for n in g.shape), 1] for g in (OBLIQUE, new)]
    np.testing.assert_allclose(new.spacing, (2.0, 0.7, 2.5))
    np.testing.assert_allclose(*centres)
    np.testing.assert_allclose(
        new.matrix[:3, :3] / new.spacing, OBLIQUE.matrix[:3, :3] / OBLIQUE.spacing
    )


def test_resampling_keeps_the_extent_within_half_a_voxel():
    new = OBLIQUE.resampled((2.0, 0.7, 3.1))
    for n, s, m, t in zip(OBLIQUE.shape, OBLIQUE.spacing, new.shape, new.spacing, strict=True):
        assert abs(n * s - m * t) <= t / 2 + 1e-9


def test_an_equal_spacing_leaves_the_grid_bit_for_bit():
    nearly = tuple(edge + 5e-5 for edge in OBLIQUE.spacing)
    assert OBLIQUE.resampled(nearly) == OBLIQUE


def test_framing_crops_and_pads_about_the_middle():
    new = OBLIQUE.framed((8, 4, 4))  # 3 more: 1 before, 2 after; 3 fewer: from 1
    np.testing.assert_allclose(new.matrix @ [1, 0, 0, 1], OBLIQUE.matrix @ [0, 1, 0, 1])


def test_a_grid_survives_json_bit_for_bit():
    assert from_dict(to_dict(OBLIQUE)) == OBLIQUE


def test_the_matrix_is_kept_bit_for_bit():
    matrix = affine(Rotation.random(None, np.random.default_rng(1)))
    assert np.array_equal(Grid.of((2, 2, 2), matrix).matrix, matrix)


@pytest.mark.parametrize(
    "matrix",
    [np.diag([1.0, 1, 0, 1]), np.ones((4, 4)), np.eye(4) * np.nan, np.eye(3)],
    ids=["singular", "last row", "nan", "3x3"],
)
def test_an_unusable_affine_is_refused(matrix):
    with pytest.raises(VolumeError, match="the affine"):
        require_affine(matrix)


def test_a_grid_refuses_a_singular_affine():
    with pytest.raises(VolumeError, match="singular"):
        Grid.of((2, 2, 2), np.diag([1.0, 1, 0, 1]))


def test_an_empty_shape_is_refused():
    with pytest.raises(VolumeError, match="at least one voxel"):
        Grid.of((2, 0, 2), np.eye(4))


def test_an_affine_of_text_is_a_recipe_error():
    with pytest.raises(RecipeError):
        Grid(shape=(2, 2, 2), affine="identity")
