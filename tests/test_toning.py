"""Tone curves: volumes that a monotone map has spoilt come back, and nothing else changes."""

import numpy as np
import pytest
import torch

from brainweave.errors import RecipeError
from brainweave.sampling import Sampling
from brainweave.toning import BINS, distance, histogram, matching, toned

CURVE = ((0.0, 0.0), (0.25, 0.5), (0.5, 0.5), (1.0, 1.0))


def heads(count: int, seed: int) -> torch.Tensor:
    """Two thirds background, the rest from a distribution on (0, 1)."""
    source = torch.Generator().manual_seed(seed)
    shares = torch.rand(count, 30, 30, 30, generator=source) ** 2
    return torch.where(torch.rand(shares.shape, generator=source) < 2 / 3, 0.0, shares)


def test_a_curve_is_straight_between_its_points() -> None:
    shares = torch.tensor([[0.0, 0.125, 0.25], [0.4, 0.75, 1.0]])
    wanted = torch.tensor([[0.0, 0.25, 0.5], [0.5, 0.75, 1.0]])
    torch.testing.assert_close(toned(shares, CURVE), wanted)
    assert torch.equal(toned(shares, ()), shares)


def test_what_a_rising_map_did_is_undone() -> None:
    real, other = heads(4, 0), heads(4, 1)
    made = torch.where(other > 0, 0.1 + 0.7 * other**0.5, 0.02)  # a rim of 0.02 in the background
    curve = matching(histogram(made), histogram(real))
    back = toned(made, curve)
    assert bool((back[other == 0] == 0).all())
    assert float((back - other).abs().max()) < 0.02
    assert distance(histogram(made), histogram(real)) > 0.05
    assert distance(histogram(back), histogram(real)) < 0.003
    Sampling(tone=curve)  # rises


def test_the_same_histogram_needs_no_curve() -> None:
    found = np.array(matching(histogram(heads(4, 2)), histogram(heads(4, 2))))
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=1e-4)


def test_a_histogram_counts_every_voxel_once() -> None:
    shares = torch.tensor([0.0, -0.1, 0.5 / BINS, 1.0, 0.5])
    counts = histogram([shares, shares])
    assert counts.sum() == 10
    assert (counts[0], counts[1], counts[-1]) == (4, 2, 2)


def test_the_distance_is_how_far_intensities_move() -> None:
    x = heads(2, 3)
    moved = torch.where(x > 0, x.clamp(max=0.8) + 0.1, 0.0)
    wanted = float((moved - x)[x <= 0.8].sum() + (0.9 - x[x > 0.8]).abs().sum()) / x.numel()
    assert distance(histogram([x]), histogram([moved])) == pytest.approx(wanted, abs=2e-4)


def test_a_volume_ends_with_its_background_and_its_tone() -> None:
    sampling = Sampling(floor=0.1, tone=CURVE)
    volume = torch.tensor([-3.0, -0.9, -0.5, 0.0, 0.5, 2.0])
    wanted = torch.tensor([-1.0, -1.0, 0.0, 0.0, 0.5, 1.0])
    torch.testing.assert_close(sampling.finished(volume, -1.0, 1.0), wanted)


@pytest.mark.parametrize(
    "curve",
    [
        ((0.0, 0.0),),
        ((0.0, 0.1), (1.0, 1.0)),
        ((0.0, 0.0), (0.5, 0.4), (0.5, 0.6), (1.0, 1.0)),
        ((0.0, 0.0), (0.4, 0.7), (0.6, 0.6), (1.0, 1.0)),
    ],
)
def test_a_curve_that_does_not_rise_is_refused(curve: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(RecipeError, match=r"a tone curve rises from \(0, 0\) to \(1, 1\)"):
        Sampling(tone=curve)
