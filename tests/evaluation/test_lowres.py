"""Block means of volumes."""

from pathlib import Path

import numpy as np
import pytest

from brainweave.data.cohort import Cohort
from brainweave.errors import ShapeError
from brainweave.evaluation.lowres import blocks, cubes, means, shrunk
from brainweave.evaluation.scans import Scans, open_sides
from brainweave.progress import Reporter


class Listener(Reporter):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def scans(heads: Path) -> Scans:
    """Phantoms of 16^3 voxels of 10 mm."""
    return open_sides({"real": Cohort.open(heads)})[0]["real"]


def test_block_means_are_those_of_a_loop():
    volume = np.random.default_rng(0).random((4, 6, 8)).astype(np.float32)
    dumb = [
        [[volume[i : i + 2, j : j + 3, k : k + 4].mean() for k in (0, 4)] for j in (0, 3)]
        for i in (0, 2)
    ]
    np.testing.assert_allclose(means(volume, (2, 3, 4)), dumb, rtol=1e-6)


def test_what_is_left_over_is_cropped_on_both_sides():
    volume = np.zeros((4, 2, 2), dtype=np.float32)
    volume[1:3] = 1
    assert means(volume, (2, 2, 2)).tolist() == [[[0.5]], [[0.5]]]
    assert means(volume, (3, 2, 2)).shape == (1, 1, 1)
    assert means(np.pad(volume, ((1, 1), (0, 0), (0, 0))), (4, 2, 2)).tolist() == [[[0.5]]]


def test_blocks_commute_with_mirrors_where_the_crop_is_even():
    volume = np.random.default_rng(1).random((10, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(means(volume[::-1], (4, 2, 2)), means(volume, (4, 2, 2))[::-1])


def test_cubes_are_of_at_least_one_voxel():
    assert cubes((2.0, 1.0, 5.0), 4.0) == (2, 4, 1)


def test_a_volume_smaller_than_a_block_is_refused():
    with pytest.raises(ShapeError, match="no block"):
        means(np.zeros((2, 2, 2), dtype=np.float32), (3, 3, 3))


def test_scans_become_rows(scans):
    volumes, rows = shrunk(scans, 40.0), blocks(scans, 40.0)
    edge = round(40 / scans.spacing[0])
    assert volumes.shape == (8, *(16 // edge,) * 3)
    np.testing.assert_array_equal(rows, volumes.reshape(8, -1))
    np.testing.assert_allclose(volumes[2], means(scans.load(2), (edge,) * 3), rtol=1e-5)


def test_blocks_that_do_not_fit_are_said(scans):
    listener = Listener()
    blocks(scans, 50.0, listener)
    assert "voxels at the edges are in no block" in listener.lines[0]
    blocks(scans, 12.0, listener)
    assert "mm, not 12" in listener.lines[1]
