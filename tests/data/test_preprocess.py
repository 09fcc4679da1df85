"""Preprocessing: every tensor can be located in mm; restoring undoes it on the source's grid."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from brainweave.data.grid import ORIENTATIONS, Grid
from brainweave.data.intensity import Fixed, Percentiles, ZScore
from brainweave.data.preprocess import Frame, Preprocess
from brainweave.data.volume import Volume
from brainweave.errors import RecipeError, ShapeError, VolumeError
from brainweave.part import from_dict, to_dict

SAME = Fixed(source_low=0, source_high=1, low=0, high=1)  # changes no voxel in [0, 1]
ANGLES = [(10, 0, 0), (20, -15, 5), (-31, 12, 40)]


def affine(angles=(0, 0, 0), spacing=(1.0, 1.2, 0.9)) -> np.ndarray:
    matrix = np.eye(4)
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, :3] = turn * spacing
    matrix[:3, 3] = (-30.1, 12.7, 7.3)
    return matrix


def noise(matrix: np.ndarray | None = None, shape=(7, 6, 5)) -> Volume:
    data = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    return Volume(data, affine() if matrix is None else matrix)


def smooth(grid: Grid) -> Volume:
    """A blob of 12 mm about the middle of the grid, on a background of 0."""
    index = np.indices(grid.shape).reshape(3, -1)
    places = grid.matrix[:3, :3] @ (index - (np.array(grid.shape)[:, None] - 1) / 2)
    blob = np.exp(-((places**2).sum(0)) / (2 * 12**2)).reshape(grid.shape)
    return Volume(torch.from_numpy(blob).float(), grid.matrix)


@pytest.mark.parametrize("angles", ANGLES)
@pytest.mark.parametrize("target", ["RAS", "LPI", "SLA"])
@pytest.mark.parametrize("source", sorted(ORIENTATIONS))
def test_every_orientation_returns_exactly(source, target, angles):
    grid = noise(affine(angles)).grid.oriented(source)
    volume = noise(grid.matrix, grid.shape)
    preprocess = Preprocess(shape=(8, 9, 10), orientation=target, intensity=SAME)
    x, placement = preprocess(volume)
    back = preprocess.restore(x, placement)
    assert placement.grid.orientation == target
    assert torch.equal(back.data, volume.data)
    assert np.array_equal(back.affine, volume.affine)


@pytest.mark.parametrize("target", sorted(ORIENTATIONS))
def test_the_placement_locates_every_voxel_of_the_tensor(target):
    volume = noise(affine(ANGLES[1]))
    x, placement = Preprocess(shape=(6, 6, 6), orientation=target, intensity=SAME)(volume)
    index = np.indices(x.shape[1:]).reshape(3, -1)
    places = placement.grid.matrix @ np.vstack([index, np.ones(index.shape[1])])
    exact = (np.linalg.inv(volume.affine) @ places)[:3]
    nearest = np.rint(exact).astype(int)
    inside = ((nearest >= 0) & (nearest < np.array(volume.shape)[:, None])).all(0)
    assert np.abs(exact - nearest).max() < 1e-9
    expected = np.where(inside, volume.data.numpy()[tuple(nearest * inside)], 0)
    np.testing.assert_array_equal(x[0].numpy().ravel(), expected)


@pytest.mark.parametrize("angles", ANGLES)
def test_resampling_is_trilinear_interpolation_in_mm(angles):
    volume = noise(affine(angles), (11, 12, 13))
    x, placement = Preprocess(shape=(9, 9, 9), spacing=(1.3, 0.8, 1.1), intensity=SAME)(volume)
    index = np.indices(x.shape[1:]).reshape(3, -1)
    places = placement.grid.matrix @ np.vstack([index, np.ones(index.shape[1])])
    at = (np.linalg.inv(volume.affine) @ places)[:3]
    inside = ((at >= 0) & (at <= np.array(volume.shape)[:, None] - 1)).all(0)
    expected = map_coordinates(volume.data.numpy().astype(float), at, order=1, mode="nearest")
    assert inside.mean() > 0.5
    np.testing.assert_allclose(x[0].numpy().ravel()[inside], expected[inside], atol=1e-5)


@pytest.mark.parametrize("angles", ANGLES)
@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (0.8, 0.8, 0.8), (2.0, 1.0, 2.0)])
def test_an_oblique_volume_returns_to_its_grid_after_resampling(angles, spacing):
    volume = smooth(Grid.of((60, 56, 64), affine(angles)).oriented("LSA"))
    preprocess = Preprocess(shape=(90, 90, 90), spacing=spacing, intensity=SAME)
    back = preprocess.restore(*preprocess(volume))
    assert np.array_equal(back.affine, volume.affine)
    assert float((back.data - volume.data).abs().max()) < 0.01


def test_resampling_keeps_obliqueness():
    placed = Preprocess(shape=(9, 9, 9), spacing=(1, 1, 1)).place(noise(affine(ANGLES[2])).grid)
    expected = affine(ANGLES[2], (1, 1, 1))[:3, :3]
    np.testing.assert_allclose(placed.grid.matrix[:3, :3], expected, atol=1e-12)


def test_an_equal_spacing_interpolates_nothing():
    volume = noise()
    nearly = tuple(edge + 9e-5 for edge in volume.spacing)
    x, placement = Preprocess(shape=volume.shape, spacing=nearly, intensity=SAME)(volume)
    assert torch.equal(x[0], volume.data)
    assert placement.grid == volume.grid


def test_cropping_and_padding_are_those_of_flowlet():
    volume = noise(np.eye(4), (9, 10, 7))
    x, _ = Preprocess(shape=(12, 10, 4), intensity=SAME)(volume)
    assert torch.equal(x[0, 1:10], volume.data[:, :, 1:5])  # 3 more: 1 before; 3 fewer: from 1


def test_cropped_voxels_return_as_background():
    volume = noise(np.eye(4), (9, 9, 9))
    preprocess = Preprocess(shape=(5, 12, 9), intensity=SAME)
    back = preprocess.restore(*preprocess(volume)).data
    assert torch.equal(back[2:7], volume.data[2:7])
    assert not back[:2].any()
    assert not back[7:].any()


def test_zero_pads_with_what_raw_zero_becomes():
    volume = Volume(noise(np.eye(4)).data * 50 + 10, np.eye(4))
    preprocess = Preprocess(shape=(9, 6, 5), intensity=ZScore())
    x, placement = preprocess(volume)
    expected = preprocess.intensity.apply(torch.zeros(1), placement.window)
    assert torch.equal(x[0, 0], expected.expand(6, 5))


def test_edge_repeats_the_border():
    volume = noise(np.eye(4))
    x, _ = Preprocess(shape=(11, 6, 5), intensity=SAME, pad="edge")(volume)
    assert torch.equal(x[0, :2], volume.data[:1].expand(2, 6, 5))
    assert torch.equal(x[0, -2:], volume.data[-1:].expand(2, 6, 5))


@pytest.mark.parametrize("intensity", [Percentiles(), Percentiles(foreground=False), ZScore()])
def test_intensities_return_up_to_clipping(intensity):
    data = 500 * noise(np.eye(4), (20, 20, 20)).data
    data[:, :8] = 0
    preprocess = Preprocess(shape=(24, 24, 24), intensity=intensity)
    x, placement = preprocess(Volume(data, np.eye(4)))
    back = preprocess.restore(x, placement)
    torch.testing.assert_close(back.data, data.clamp(*placement.window), rtol=1e-5, atol=1e-3)


def test_the_window_is_measured_before_cropping():
    volume = Volume(noise(np.eye(4), (20, 20, 20)).data * 100, np.eye(4))
    placement = Preprocess(shape=(4, 4, 4))(volume)[1]
    assert placement.window == Percentiles().window(volume.data)


def test_the_tensor_is_contiguous_and_owns_its_memory():
    volume = noise(np.eye(4))
    x, _ = Preprocess(shape=volume.shape, intensity=SAME)(volume)
    assert x.is_contiguous()
    assert x.data_ptr() != volume.data.data_ptr()


def test_a_place_is_the_placement_without_voxels():
    volume, preprocess = noise(affine(ANGLES[0])), Preprocess(shape=(8, 8, 8), spacing=(1, 1, 1))
    placed, measured = preprocess.place(volume.grid), preprocess(volume)[1]
    assert (placed.source, placed.grid) == (measured.source, measured.grid)
    assert placed.window == (0, 1)


def test_a_placed_tensor_restores_to_raw_values_from_0_to_1():
    preprocess = Preprocess(shape=(8, 8, 8))
    placement = preprocess.place(noise().grid)
    back = preprocess.restore(torch.full((1, 8, 8, 8), preprocess.intensity.high), placement)
    assert torch.equal(back.data, torch.ones(7, 6, 5))


@pytest.mark.parametrize("other", [{"shape": (8, 8, 9)}, {"orientation": "LAS"}])
def test_a_placement_of_another_preprocessing_is_refused(other):
    preprocess = Preprocess(shape=(8, 8, 8), intensity=SAME)
    x, placement = preprocess(noise())
    with pytest.raises(ShapeError, match="the one that made the placement"):
        preprocess.replace(**other).restore(x, placement)


def test_a_tensor_of_another_shape_is_refused():
    preprocess = Preprocess(shape=(8, 8, 8))
    with pytest.raises(ShapeError, match=r"\(1, 8, 8, 9\)"):
        preprocess.restore(torch.zeros(1, 8, 8, 9), preprocess.place(noise().grid))


def test_an_empty_image_is_refused():
    with pytest.raises(VolumeError, match="no voxel is above 0"):
        Preprocess(shape=(8, 8, 8))(Volume(torch.zeros(8, 8, 8), np.eye(4)))


@pytest.mark.parametrize("code", sorted(ORIENTATIONS))
def test_all_48_orientations_are_accepted(code):
    assert Preprocess(shape=(8, 8, 8), orientation=code).orientation == code


@pytest.mark.parametrize("code", ["RAR", "RLS", "ras", "RA", "RASI", ""])
def test_any_other_orientation_is_refused(code):
    with pytest.raises(RecipeError, match="such as RAS"):
        Preprocess(shape=(8, 8, 8), orientation=code)


@pytest.mark.parametrize(
    "sizes", [{"shape": (8, 0, 8)}, {"shape": (8, -8, 8)}, {"spacing": (1, 0, 1)}]
)
def test_sizes_must_be_positive(sizes):
    with pytest.raises(RecipeError, match="above 0"):
        Preprocess(**{"shape": (8, 8, 8), **sizes})


def test_a_preprocessing_survives_json():
    made = Preprocess(shape=(8, 9, 10), spacing=(1, 2, 3), intensity=ZScore(low=-3), pad="edge")
    assert from_dict(to_dict(made)) == made


FRAME = Frame((-2, 1, 3), (12, 4, 6))  # beyond the grid, cut on both sides, beyond its end


@pytest.mark.parametrize("target", ["RAS", "LPI", "SLA"])
def test_a_frame_keeps_what_it_holds(target):
    volume = noise()
    preprocess = Preprocess(shape=(16, 16, 16), orientation=target, intensity=SAME)
    whole, placed = preprocess(volume)
    x, placement = preprocess(volume, FRAME)
    start = np.subtract(FRAME.start, np.rint(offset(preprocess, volume, placed)).astype(int))
    inside = tuple(slice(a, a + n) for a, n in zip(start, FRAME.shape, strict=True))
    assert torch.equal(x[0], whole[0][inside])
    expected = preprocess.working(volume.grid).framed(FRAME.shape, FRAME.start)
    assert placement.grid == expected


def offset(preprocess, volume, placement):
    """The index in the working grid of the first voxel of a placement."""
    way = np.linalg.inv(preprocess.working(volume.grid).matrix) @ placement.grid.matrix
    return way[:3, 3]


@pytest.mark.parametrize("pad", ["zero", "edge"])
def test_a_framed_tensor_returns_and_what_it_cut_is_background(pad):
    volume = noise()
    preprocess = Preprocess(shape=(8, 8, 8), intensity=SAME, pad=pad)
    x, placement = preprocess(volume, FRAME)
    back = preprocess.restore(x, placement, FRAME).data
    assert torch.equal(back[:, 1:5, 3:], volume.data[:, 1:5, 3:])
    assert not back[:, 0].any()
    assert not back[:, 5:].any()
    assert not back[:, :, :3].any()


def test_a_framed_tensor_without_its_frame_is_refused():
    preprocess = Preprocess(shape=(8, 8, 8), intensity=SAME)
    with pytest.raises(ShapeError, match="the one that made the placement"):
        preprocess.restore(*preprocess(noise(), FRAME))


def test_label_maps_keep_their_numbers_on_any_grid():
    labels = Volume((noise(np.eye(4)).data * 4).round() * 250, np.eye(4))
    preprocess = Preprocess(shape=(8, 8, 8), spacing=(0.8, 1.3, 1.0)).of_labels()
    x, _ = preprocess(labels)
    assert set(x.unique().tolist()) == {0.0, 250.0, 500.0, 750.0, 1000.0}


def test_a_modality_may_have_intensities_of_its_own():
    """CT in Hounsfield units beside MR: air, not 0, is background, and fills what is padded."""
    hounsfield = Fixed(source_low=-1000, source_high=1000, low=0, high=1)
    both = Preprocess(
        shape=(6, 6, 6), intensity=Percentiles(low=0, high=1), intensities={"ct": hounsfield}
    )
    data = torch.full((4, 4, 4), -1000.0)
    data[1:3, 1:3, 1:3] = 0.0
    volume = Volume(data, np.eye(4))
    ct = both.of("ct")
    x, placement = ct(volume)
    assert float(x[0, 0, 0, 0]) == 0.0
    assert float(x[0, 2, 2, 2]) == 0.5
    torch.testing.assert_close(ct.restore(x, placement).data, data)
    made = ct.restore(x, ct.place(volume.grid))
    torch.testing.assert_close(made.data, data)
    assert both.of("t1w").intensity == both.intensity


def test_intensities_of_another_range_are_refused():
    with pytest.raises(RecipeError, match="ct goes from -1 to 1, all others from 0 to 1"):
        Preprocess(
            shape=(6, 6, 6),
            intensity=Percentiles(low=0, high=1),
            intensities={"ct": Fixed(source_low=-1000, source_high=1000)},
        )
