"""Intensity maps: measured windows, declared ranges, inversion."""

import numpy as np
import pytest
import torch

from brainweave.data.intensity import Fixed, Percentiles, ZScore
from brainweave.errors import RecipeError, VolumeError
from brainweave.part import from_dict, to_dict


def head(seed: int = 0) -> torch.Tensor:
    """Two thirds background at 0, the rest between 50 and 400."""
    randn = torch.Generator().manual_seed(seed)
    data = torch.zeros(12, 10, 9)
    data[4:8] = 50 + 350 * torch.rand(4, 10, 9, generator=randn)
    return data


MAPS = [
    Percentiles(),
    Percentiles(foreground=False),
    Percentiles(lower=0, upper=100, low=0, high=1),
    ZScore(),
    ZScore(low=-2, high=2.5),
    Fixed(source_low=0, source_high=300),
]


@pytest.mark.parametrize("intensity", MAPS, ids=repr)
def test_the_window_maps_to_the_declared_range(intensity):
    window = intensity.window(head())
    ends = intensity.apply(torch.tensor(window), window)
    torch.testing.assert_close(ends, torch.tensor([intensity.low, intensity.high]))


@pytest.mark.parametrize("intensity", MAPS, ids=repr)
def test_no_output_lies_outside_the_declared_range(intensity):
    x = intensity.apply(head() * 3 - 100, intensity.window(head()))
    assert intensity.low <= float(x.min()) <= float(x.max()) <= intensity.high


@pytest.mark.parametrize("intensity", MAPS, ids=repr)
def test_inversion_returns_what_was_not_clipped(intensity):
    data = head()
    window = intensity.window(data)
    back = intensity.invert(intensity.apply(data, window), window)
    torch.testing.assert_close(back, data.clamp(*window), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("intensity", MAPS, ids=repr)
def test_a_map_survives_json(intensity):
    assert from_dict(to_dict(intensity)) == intensity


def test_percentiles_of_the_foreground_are_those_of_numpy():
    data = head()
    values = data.numpy().astype(np.float64)
    start, end = Percentiles(upper=99.5).window(data)
    assert end == pytest.approx(np.percentile(values[values > 0], 99.5), rel=1e-6)
    assert start == 0


def test_percentiles_of_the_whole_volume_are_those_of_flowlet():
    data = head() + 1
    expected = np.percentile(data.numpy().astype(np.float64), [0.5, 99.5])
    assert Percentiles(foreground=False).window(data) == pytest.approx(expected, rel=1e-6)


def test_percentiles_interpolate_between_voxels():
    data = torch.tensor([1.0, 2, 3, 4])
    assert Percentiles(lower=0, upper=50).window(data)[1] == 2.5


def test_percentiles_do_not_depend_on_the_order_in_memory():
    data = head()
    transposed = data.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert Percentiles().window(transposed) == Percentiles().window(data)


def test_percentiles_work_beyond_the_limit_of_torch_quantile():
    data = torch.ones(2**24 + 1, dtype=torch.float32)
    data[0] = 2
    assert Percentiles(upper=100).window(data) == (0, 2)


def test_more_background_does_not_move_the_foreground_window():
    wide = torch.nn.functional.pad(head(), (20, 20, 20, 20, 20, 20))
    for intensity in (Percentiles(), ZScore()):
        assert intensity.window(wide) == pytest.approx(intensity.window(head()), rel=1e-9)


def test_background_stays_zero_through_foreground_percentiles():
    intensity, data = Percentiles(), head()
    window = intensity.window(data)
    assert torch.equal(intensity.invert(intensity.apply(data, window), window) == 0, data == 0)


def test_zscore_standardises_the_foreground():
    data = head()
    x = ZScore(low=-10, high=10).apply(data, ZScore(low=-10, high=10).window(data))[data > 0]
    assert float(x.mean()) == pytest.approx(0, abs=1e-5)
    assert float(x.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_fixed_measures_nothing():
    intensity = Fixed(source_low=-5, source_high=80)
    assert intensity.window(torch.zeros(3, 3, 3)) == intensity.window(head()) == (-5, 80)


@pytest.mark.parametrize("intensity", [Percentiles(), ZScore()], ids=repr)
def test_an_empty_foreground_is_refused(intensity):
    with pytest.raises(VolumeError, match="no voxel is above 0"):
        intensity.window(torch.zeros(3, 3, 3))


@pytest.mark.parametrize(
    "intensity", [Percentiles(), Percentiles(foreground=False), ZScore()], ids=repr
)
def test_constant_intensities_are_refused(intensity):
    with pytest.raises(VolumeError, match="constant"):
        intensity.window(torch.full((7, 7, 7), 0.1))


def test_no_voxels_are_refused():
    with pytest.raises(VolumeError, match="no voxels"):
        Percentiles(foreground=False).window(torch.zeros(0, 3, 3))


@pytest.mark.parametrize(
    ("part", "values"),
    [
        (Percentiles, {"low": 1, "high": 1}),
        (Percentiles, {"lower": 60, "upper": 40}),
        (Percentiles, {"upper": 101}),
        (ZScore, {"low": 2, "high": -2}),
        (Fixed, {"source_low": 3, "source_high": 3}),
    ],
)
def test_a_map_that_makes_no_sense_is_refused(part, values):
    with pytest.raises(RecipeError, match=r"need|must be below"):
        part(**values)
