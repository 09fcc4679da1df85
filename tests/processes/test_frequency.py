"""Frequency-adaptive paths: offsets, curves, ends, slopes, what is measured and what is refused."""

import json
import math

import pytest
import torch

from brainweave.errors import RecipeError
from brainweave.part import from_dict, to_dict
from brainweave.processes import exact
from brainweave.processes.frequency import FrequencyAdaptive
from brainweave.processes.paths import (
    DDPM,
    ProbabilityPath,
    Rectified,
    Trigonometric,
    VariancePreserving,
)
from brainweave.processes.process import Process
from brainweave.processes.samplers import SAMPLERS

BASES = [Rectified(), Trigonometric(), VariancePreserving(), DDPM(), DDPM(steps=10, chain=1000)]
OFFSETS = (-6.0, -1.0, 0.0, 3.0, 6.0)
TIMES = torch.linspace(0.0505, 0.9505, 19, dtype=torch.float64)
each_base = pytest.mark.parametrize("base", BASES, ids=lambda p: type(p).__name__)


def adaptive(base: ProbabilityPath) -> FrequencyAdaptive:
    return FrequencyAdaptive(path=base, offsets=OFFSETS)


def log_snr(path: ProbabilityPath, t: torch.Tensor) -> torch.Tensor:
    c = path.coefficients(t)
    return 2 * (c.alpha / c.sigma).log()


@each_base
def test_log_snr_is_the_paths_plus_the_offset(base: ProbabilityPath) -> None:
    expected = log_snr(base, TIMES)[:, None] + torch.tensor(OFFSETS, dtype=torch.float64)
    torch.testing.assert_close(log_snr(adaptive(base), TIMES), expected, atol=1e-11, rtol=0)


@each_base
def test_channels_stay_on_the_curve_of_the_path(base: ProbabilityPath) -> None:
    c, p = adaptive(base).coefficients(TIMES), base.curve
    torch.testing.assert_close(c.alpha**p + c.sigma**p, torch.ones(19, 5, dtype=torch.float64))


@each_base
def test_slopes_equal_finite_differences(base: ProbabilityPath) -> None:
    path, step = adaptive(base), 1e-6
    here, low, high = (path.coefficients(TIMES + offset) for offset in (0, -step, step))
    slopes = [(b - a) / (2 * step) for a, b in zip(low[:2], high[:2], strict=True)]
    torch.testing.assert_close(list(here[2:]), slopes, atol=1e-5, rtol=1e-6)


@each_base
def test_channels_end_at_data(base: ProbabilityPath) -> None:
    end = adaptive(base).at(1.0, torch.zeros(1, 5, 2, dtype=torch.float64))
    assert bool((end.alpha == 1).all())
    assert bool((end.sigma == 0).all())
    assert not bool(end.d_alpha.isnan().any() or end.d_sigma.isnan().any())


@pytest.mark.parametrize("base", [Rectified(), Trigonometric()])
def test_channels_start_at_noise_where_the_path_does(base: ProbabilityPath) -> None:
    start = adaptive(base).at(0.0, torch.zeros(1, 5, 2, dtype=torch.float64))
    assert bool((start.alpha == 0).all())
    assert bool((start.sigma == 1).all())


@each_base
def test_offsets_of_zero_are_the_path(base: ProbabilityPath) -> None:
    path = FrequencyAdaptive(path=base, offsets=(0.0, 0.0))
    for found, truth in zip(path.coefficients(TIMES), base.coefficients(TIMES), strict=True):
        torch.testing.assert_close(found, truth[:, None].expand(19, 2), atol=1e-15, rtol=1e-14)


@pytest.mark.parametrize("strength", [1.0, 0.5, 0.0, -1.0])
def test_strength_moves_bands_towards_one_crossing(strength: float) -> None:
    energies = (4.0, 1.0, 0.25)
    path = FrequencyAdaptive(strength=strength).fit(energies)
    at = torch.tensor([0.4], dtype=torch.float64)
    own = log_snr(path, at)[0] + torch.tensor(energies, dtype=torch.float64).log()
    spread = float(own.max() - own.min())
    assert spread == pytest.approx((1 - strength) * math.log(16))


def test_a_band_of_mean_energy_keeps_the_paths_pace() -> None:
    assert FrequencyAdaptive().fit((2.0, 1.0, 3.0)).offsets[0] == 0


def test_a_path_wants_energies_until_it_is_fitted() -> None:
    path = FrequencyAdaptive(path=DDPM())
    fitted = path.fit((1.0, 0.1))
    assert (path.wants_energies, fitted.wants_energies) == (True, False)
    assert fitted.unfitted() == path


def test_clock_and_training_times_are_the_paths() -> None:
    u = torch.linspace(0, 0.999, 7, dtype=torch.float64)
    path, base = adaptive(DDPM()), DDPM()
    assert torch.equal(path.training_times(u), base.training_times(u))
    assert torch.equal(path.clock(u), base.clock(u))


@each_base
@pytest.mark.parametrize("prediction", ["velocity", "data", "noise", "angular", "correction"])
def test_estimate_inverts_every_channel(base: ProbabilityPath, prediction: str) -> None:
    path, t = adaptive(base), torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
    process = Process(path=path, prediction=prediction)
    generator = torch.Generator().manual_seed(0)
    data, noise = torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64).unbind()
    c = path.at(t, data)
    a, b = process._target(c)
    estimate = process.estimate(a * data + b * noise, c.alpha * data + c.sigma * noise, t)
    velocity = c.d_alpha * data + c.d_sigma * noise
    torch.testing.assert_close(list(estimate), [data, noise, velocity], atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize(
    ("base", "prediction", "first"),
    [(Rectified(), "noise", 1e-3), (Rectified(), "velocity", 0.0), (DDPM(), "noise", 1e-3)],
)
def test_sampling_starts_where_every_channel_is_determined(
    base: ProbabilityPath, prediction: str, first: float
) -> None:
    """DDPM leaves 0.006 of the data at its start, a channel 6 behind it 0.0003."""
    assert Process(path=adaptive(base), prediction=prediction).first_time == first


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_recover_every_channel_of_an_adaptive_chain(sampler: str) -> None:
    path = FrequencyAdaptive(path=DDPM(), offsets=(0.0, 0.5, 1.0, 2.0))
    mean, sd = exact.sample(sampler, path, 200, draws=20_000)
    assert float((mean - exact.MEAN).abs().max()) < 0.02
    assert float((sd - exact.SD).abs().max()) < 0.02


@each_base
def test_path_survives_json(base: ProbabilityPath) -> None:
    for path in (adaptive(base), FrequencyAdaptive(path=base, strength=0.5)):
        assert from_dict(json.loads(json.dumps(to_dict(path)))) == path


def test_coefficients_before_fitting_are_refused() -> None:
    with pytest.raises(RecipeError, match="no offsets yet"):
        FrequencyAdaptive().at(0.5, torch.zeros(1, 4, 2))


@pytest.mark.parametrize(
    "base",
    [Rectified(sigma_min=0.1), FrequencyAdaptive(), exact.Banded()],
    ids=lambda p: type(p).__name__,
)
def test_a_path_without_a_curve_is_refused(base: ProbabilityPath) -> None:
    with pytest.raises(RecipeError, match="neither a line"):
        FrequencyAdaptive(path=base)


@pytest.mark.parametrize("energy", [0.0, -1.0, math.nan, math.inf])
def test_a_channel_without_energy_is_refused(energy: float) -> None:
    with pytest.raises(RecipeError, match="channel 1 has energy"):
        FrequencyAdaptive().fit((1.0, energy))
