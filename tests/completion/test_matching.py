"""Histogram matching: monotone, exact at the percentiles, background stays 0."""

from pathlib import Path

import numpy as np
import pytest
import torch

from brainweave.completion.matching import PERCENTILES, Histogram, matched, percentiles
from brainweave.data.files import sha256
from brainweave.data.volume import Volume
from brainweave.errors import VolumeError


def head(seed: int = 0) -> torch.Tensor:
    """Skewed intensities in a block, 0 around it."""
    data = torch.zeros(20, 20, 20)
    random = torch.Generator().manual_seed(seed)
    data[4:16, 4:16, 4:16] = torch.rand(12, 12, 12, generator=random) ** 2 + 0.01
    return data


def histogram(tmp_path: Path, data: torch.Tensor) -> Histogram:
    Volume(data, np.eye(4)).save(tmp_path / "like.nii.gz", dtype="float32")
    return Histogram.of(tmp_path / "like.nii.gz")


def test_percentiles_become_those_of_the_other(tmp_path):
    like = histogram(tmp_path, 900 * head(1).sqrt())
    found = percentiles(matched(head(), like))
    np.testing.assert_allclose(found, like.values, rtol=2e-3)


def test_a_linear_relation_is_found_exactly(tmp_path):
    like = histogram(tmp_path, torch.where(head() > 0, 700 * head() + 30, 0))
    expected = torch.where(head() > 0, 700 * head() + 30, 0)
    torch.testing.assert_close(matched(head(), like), expected, rtol=1e-4, atol=1e-2)


def test_the_map_never_falls_and_goes_on_at_the_ends(tmp_path):
    like = histogram(tmp_path, 900 * head(1) ** 3)
    data = head()
    order = data[data > 0].argsort()
    values = matched(data, like)[data > 0][order]
    assert (values.diff() >= 0).all()
    assert values[-1] > like.values[-1]


def test_background_stays_0_and_nothing_is_below(tmp_path):
    made = matched(head() - 0.2 * (head() == 0), histogram(tmp_path, 50 * head(1)))
    assert not made[head() == 0].any()
    assert made.min() == 0


def test_many_equal_voxels_share_what_they_match(tmp_path):
    like = histogram(tmp_path, 900 * head(1))
    data = head().clamp(max=float(np.percentile(head()[head() > 0], 98)))
    top = matched(data, like).max()
    assert top == pytest.approx(like.values[-2:].mean())
    assert len(PERCENTILES) == len(like.values)


def test_a_histogram_knows_its_file(tmp_path):
    like = histogram(tmp_path, head())
    assert like.sha256 == sha256(like.path)


@pytest.mark.parametrize("data", [torch.zeros(4, 4, 4), torch.ones(4, 4, 4)], ids=["empty", "one"])
def test_nothing_to_match_is_refused(tmp_path, data):
    with pytest.raises(VolumeError, match="above 0"):
        histogram(tmp_path, data)


def test_a_volume_of_one_intensity_is_refused(tmp_path):
    like = histogram(tmp_path, head())
    with pytest.raises(VolumeError, match=r"nothing to match to .*like\.nii\.gz"):
        matched(torch.ones(4, 4, 4), like)
