"""Paths: their ends, their derivatives, their names, and DDPM's recursion."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from brainweave.errors import RecipeError
from brainweave.part import Part, from_dict, to_dict
from brainweave.processes.exact import Banded
from brainweave.processes.paths import (
    DDPM,
    ProbabilityPath,
    Rectified,
    Trigonometric,
    VariancePreserving,
    path_named,
)

PATHS = [Rectified(), Rectified(sigma_min=0.1), Trigonometric(), VariancePreserving(), DDPM()]
PATHS += [Banded(), DDPM(steps=10, chain=1000)]
each_path = pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)


@each_path
def test_derivatives_equal_finite_differences(path: ProbabilityPath) -> None:
    t, step = torch.linspace(0.0505, 0.9505, 19, dtype=torch.float64), 1e-6
    here, low, high = (path.coefficients(t + offset) for offset in (0, -step, step))
    slopes = [(b - a) / (2 * step) for a, b in zip(low[:2], high[:2], strict=True)]
    torch.testing.assert_close(list(here[2:]), slopes, atol=1e-6, rtol=1e-6)


@each_path
def test_path_ends_at_data(path: ProbabilityPath) -> None:
    end = path.at(1.0, torch.zeros(1, 4, 2))
    left_over = path.sigma_min if isinstance(path, Rectified) else 0.0
    assert bool((end.alpha == 1).all())
    torch.testing.assert_close(end.sigma, torch.full_like(end.sigma, left_over), atol=0, rtol=1e-6)


@each_path
def test_path_starts_at_noise(path: ProbabilityPath) -> None:
    start = path.at(0.0, torch.zeros(1, 4, 2, dtype=torch.float64))
    assert float(start.alpha.max()) < 0.007
    assert float(start.sigma.min()) > 0.9999


@each_path
def test_coefficients_multiply_volumes_of_any_rank(path: ProbabilityPath) -> None:
    for shape in ((3, 4), (3, 4, 2), (3, 4, 2, 2, 2)):
        for coefficient in path.at(torch.tensor([0.1, 0.5, 0.9]), torch.zeros(shape)):
            assert (coefficient * torch.ones(shape)).shape == shape


@each_path
def test_coefficients_have_the_dtype_of_the_volume(path: ProbabilityPath) -> None:
    like = torch.zeros(2, 4, 1, 1, 1)
    assert {c.dtype for c in path.at(torch.tensor(0.5, dtype=torch.float64), like)} == {like.dtype}


@each_path
def test_one_time_equals_the_same_time_for_each_volume(path: ProbabilityPath) -> None:
    like = torch.zeros(3, 4, 1)
    one, many = path.at(0.3, like), path.at(torch.full((3,), 0.3, dtype=torch.float64), like)
    torch.testing.assert_close(list(one), list(many), atol=0, rtol=0)


@each_path
def test_path_survives_json(path: ProbabilityPath) -> None:
    assert from_dict(json.loads(json.dumps(to_dict(path)))) == path


def test_banded_path_gives_each_channel_its_own_coefficients() -> None:
    alpha = Banded().at(0.25, torch.zeros(2, 4, 1, 1, 1)).alpha
    torch.testing.assert_close(alpha[0].flatten(), 0.25 ** torch.tensor([1.0, 1.2, 1.5, 2.0]))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("rectified", Rectified()),
        ("cfm", Rectified()),
        ("trigonometric", Trigonometric()),
        ("vp", VariancePreserving()),
        ("vp_diffusion", VariancePreserving()),
        ("ddpm", DDPM()),
    ],
)
def test_name_means_path(name: str, path: Part) -> None:
    assert path_named(name) == path


def test_cfm_says_in_one_line_that_it_is_rectified(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        path_named("cfm")
    assert [r.getMessage().count("x1 - x0") for r in caplog.records] == [1]


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'rectified'"):
        path_named("rectifed")


def test_cfm_target_equals_the_rectified_target() -> None:
    data, noise = torch.randn(2, 5, 4, 3, dtype=torch.float64).unbind()
    t = torch.linspace(0, 0.99, 5, dtype=torch.float64)
    c = path_named("cfm").at(t, data)
    x_t = c.alpha * data + c.sigma * noise
    target = (data - x_t) / (1 - t).view(-1, 1, 1)  # arXiv:2210.02747, eq. 21 at sigma_min = 0
    torch.testing.assert_close(c.d_alpha * data + c.d_sigma * noise, target)


def test_ddpm_equals_its_recursion_on_the_grid() -> None:
    path = DDPM(steps=50, beta_first=1e-3, beta_last=0.2)
    mean, variance = [1.0], [0.0]
    for beta in torch.linspace(1e-3, 0.2, 50, dtype=torch.float64).tolist():
        mean.append(mean[-1] * (1 - beta) ** 0.5)  # arXiv:2006.11239, eq. 2, one step at a time
        variance.append(variance[-1] * (1 - beta) + beta)
    k = torch.arange(51, dtype=torch.float64)
    c = path.coefficients(1 - k / 50)
    torch.testing.assert_close(c.alpha, torch.tensor(mean, dtype=torch.float64))
    torch.testing.assert_close(c.sigma**2, torch.tensor(variance, dtype=torch.float64))


def test_ddpm_slope_at_a_grid_point_is_the_mean_of_both_sides() -> None:
    path = DDPM(steps=10, beta_first=0.01, beta_last=0.3)
    t = torch.tensor([0.4 - 1e-4, 0.4, 0.4 + 1e-4], dtype=torch.float64)
    c = path.coefficients(t)
    rate = c.d_alpha / c.alpha
    torch.testing.assert_close(rate[1], (rate[0] + rate[2]) / 2)


def test_ddpm_clock_reads_whole_numbers_at_its_training_times() -> None:
    path = DDPM()
    t = path.training_times((torch.arange(1000, dtype=torch.float64) + 0.5) / 1000)
    expected = torch.arange(999, -1, -1, dtype=torch.float32)
    assert torch.equal(path.clock(t).float().round(), expected)
    torch.testing.assert_close(path.clock(t), expected.double(), atol=1e-9, rtol=0)


def test_vp_training_times_keep_the_velocity_finite() -> None:
    path = VariancePreserving()
    latest = path.training_times(torch.tensor([1 - 1e-9], dtype=torch.float64))
    assert all(bool(c.isfinite().all()) for c in path.at(latest, torch.zeros(1, 1)))


def table(path: DDPM) -> torch.Tensor:
    """alpha^2 at the grid points, k = 0 first."""
    k = torch.arange(path.steps, dtype=torch.float64)
    return path.coefficients(1 - (k + 1) / path.steps).alpha ** 2


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("cwdm_small", DDPM()),
        ("fast_cwdm_direct_small", DDPM(steps=100, beta_first=0.1 / 100, beta_last=20 / 100)),
        ("fast_cwdm_sampled_small", DDPM(steps=10, chain=1000)),
    ],
)
def test_ddpm_schedules_are_cwdms(name: str, path: DDPM) -> None:
    numbers = load_file(Path(__file__).parents[1] / "golden" / f"{name}.safetensors")
    abar = table(path)
    betas = 1 - abar / torch.cat([abar.new_ones(1), abar[:-1]])
    torch.testing.assert_close(abar, numbers["ddpm.alphas_cumprod"], atol=1e-12, rtol=0)
    torch.testing.assert_close(betas, numbers["ddpm.betas"], atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("steps", "chain"), [(2, 1000), (55, 1000), (100, 1000), (20, 20), (7, 50)]
)
def test_kept_steps_are_numpys_and_clipped(steps: int, chain: int) -> None:
    abar = (1 - np.linspace(1e-4, 0.02, chain)).cumprod()
    abar = abar[np.linspace(0, chain - 1, steps, dtype=int)]
    betas = (1 - abar / np.append(1.0, abar[:-1])).clip(1e-4, 0.999)
    truth = torch.from_numpy((1 - betas).cumprod())
    torch.testing.assert_close(table(DDPM(steps=steps, chain=chain)), truth, atol=1e-12, rtol=0)


def test_two_kept_steps_end_at_the_clip_and_not_at_the_chain() -> None:
    last = table(DDPM(steps=2, chain=1000))[-1]
    torch.testing.assert_close(last, last.new_tensor(0.9999 * 0.001), atol=1e-12, rtol=0)


@pytest.mark.parametrize("steps", [1, 1001])
def test_impossible_choice_from_a_chain_is_refused(steps: int) -> None:
    with pytest.raises(RecipeError, match=f"{steps} steps cannot be kept of a chain of 1000"):
        DDPM(steps=steps, chain=1000)


@pytest.mark.parametrize("steps", [10, 20])
def test_direct_schedule_of_too_few_steps_is_refused(steps: int) -> None:
    with pytest.raises(RecipeError, match="needs more than 20 steps"):
        DDPM(steps=steps, beta_first=0.1 / steps, beta_last=20 / steps)


@each_path
def test_a_path_that_needs_no_cohort_is_fitted_as_it_is(path: ProbabilityPath) -> None:
    assert not path.wants_energies
    assert path.fit([1.0, 2.0]) is path
    assert path.unfitted() is path


@each_path
def test_a_path_lies_on_the_curve_it_states(path: ProbabilityPath) -> None:
    if path.curve is not None:
        c = path.coefficients(torch.linspace(0, 1, 41, dtype=torch.float64))
        torch.testing.assert_close(
            c.alpha**path.curve + c.sigma**path.curve, torch.ones_like(c.alpha)
        )


def test_sigma_min_of_one_is_refused() -> None:
    with pytest.raises(RecipeError, match="sigma_min"):
        Rectified(sigma_min=1.0)
