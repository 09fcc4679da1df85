"""Samplers on the exactly solvable case, and against the formulas of their papers."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from starting import drawing, seeded, start
from torch import Tensor

from brainweave.errors import RecipeError
from brainweave.processes import exact, grids
from brainweave.processes.frequency import FrequencyAdaptive
from brainweave.processes.paths import (
    DDPM,
    ProbabilityPath,
    Rectified,
    Trigonometric,
    VariancePreserving,
)
from brainweave.processes.process import Process
from brainweave.processes.samplers import (
    SAMPLERS,
    ancestral,
    calls,
    ddim,
    dpmpp_2m,
    posterior,
)

PATHS = [Rectified(), Trigonometric(), VariancePreserving(), DDPM(), exact.Banded()]
PATHS += [FrequencyAdaptive(offsets=(-0.5, 0.0, 0.5, 2.0))]
STEPS = {"heun": 50, "dpmpp_2m": 50, "euler": 200, "ddim": 400, "ancestral": 800, "reference": 400}
GOLDEN = Path(__file__).parents[1] / "golden"
SCHEDULES = {
    "cwdm_small": DDPM(),
    "fast_cwdm_direct_small": DDPM(steps=100, beta_first=0.1 / 100, beta_last=20 / 100),
    "fast_cwdm_sampled_small": DDPM(steps=10, chain=1000),
}
each_path = pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
each_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


@each_path
@each_sampler
def test_sampler_recovers_mean_and_standard_deviation(path: ProbabilityPath, sampler: str) -> None:
    mean, sd = exact.sample(sampler, path, STEPS[sampler], draws=24_000)  # benchmarks/: 200,000
    assert float((mean - exact.MEAN).abs().max()) < 0.01
    assert float((sd - exact.SD).abs().max()) < 0.01


@each_path
@pytest.mark.parametrize("sampler", ["euler", "ddim"])
def test_error_halves_when_steps_double(path: ProbabilityPath, sampler: str) -> None:
    ratio = exact.error(sampler, path, 100) / exact.error(sampler, path, 200)
    assert 1.7 < ratio < 2.3


@each_path
def test_heun_error_quarters_when_steps_double(path: ProbabilityPath) -> None:
    ratio = exact.error("heun", path, 50) / exact.error("heun", path, 100)
    assert 3.5 < ratio < 4.5


@each_path
def test_multistep_error_quarters_when_steps_double(path: ProbabilityPath) -> None:
    span = (0.1, 0.9)  # at 0 and 1 the steps in log-SNR stay infinite however fine the grid
    ratio = exact.error("dpmpp_2m", path, 200, span) / exact.error("dpmpp_2m", path, 400, span)
    assert 3.5 < ratio < 4.5


@each_path
def test_multistep_is_closer_than_first_order_jumps(path: ProbabilityPath) -> None:
    assert exact.error("dpmpp_2m", path, 50) < exact.error("ddim", path, 50)


@each_path
@each_sampler
def test_sampler_calls_the_network_as_often_as_it_says(path: ProbabilityPath, sampler: str) -> None:
    counted, ticks = [], []

    def denoise(x: Tensor, t: Tensor):
        counted.append(float(t))
        return exact.denoiser(path)(x, t)

    SAMPLERS[sampler](
        denoise, start(), grids.uniform(7), path=path, progress=lambda: ticks.append(1)
    )
    assert len(counted) == calls(sampler, 7)
    assert len(ticks) == 7
    assert max(counted) < 1


@each_sampler
def test_one_step_gives_the_expected_volume(sampler: str) -> None:
    path = Rectified()
    x = SAMPLERS[sampler](exact.denoiser(path), start(), grids.uniform(1), path=path)
    torch.testing.assert_close(x, torch.full_like(x, exact.MEAN))


@each_path
@each_sampler
@pytest.mark.parametrize("prediction", ["velocity", "data", "noise"])
def test_float32_samples_follow_the_closed_form(
    path: ProbabilityPath, sampler: str, prediction: str
) -> None:
    process = Process(path=path, prediction=prediction)
    times = grids.uniform(20, process.first_time)
    index = {round(float(path.clock(t)), 9): t for t in times}

    def network(x: Tensor, clock: Tensor) -> Tensor:
        nearest = min(index, key=lambda known: abs(known - float(clock[0])))
        return getattr(exact.denoiser(path)(x, index[nearest]), prediction)

    denoise, run = process.denoiser(network), SAMPLERS[sampler]
    x = run(denoise, start().float(), times, path=path, randn=drawing(1))
    y = run(exact.denoiser(path), start().float(), times, path=path, randn=drawing(1))
    assert bool(x.isfinite().all())
    torch.testing.assert_close(x, y, atol=1e-3, rtol=0)


@each_path
def test_ddim_with_all_noise_fresh_is_the_ancestral_sampler(path: ProbabilityPath) -> None:
    denoise, times = exact.denoiser(path), grids.uniform(30)
    x = ddim(denoise, start(), times, path=path, randn=drawing(1), eta=1.0)
    y = ancestral(denoise, start(), times, path=path, randn=drawing(1))
    torch.testing.assert_close(x, y)


@each_path
def test_partly_stochastic_ddim_recovers_the_distribution(path: ProbabilityPath) -> None:
    noise = torch.randn(2, 4, 5000, generator=seeded(), dtype=torch.float64)
    times = grids.uniform(200)
    x = ddim(exact.denoiser(path), noise, times, path=path, randn=drawing(1), eta=0.5)
    assert abs(float(x.mean()) - exact.MEAN) < 0.01
    assert abs(float(x.std()) - exact.SD) < 0.01


@pytest.mark.parametrize("sampler", ["reference", "ancestral"])
def test_steps_are_ddpms(sampler: str) -> None:
    steps = 20
    path, x = DDPM(steps=steps, beta_first=0.01, beta_last=0.4), start()
    betas = torch.linspace(0.01, 0.4, steps, dtype=torch.float64)
    bars, randn, denoise = (1 - betas).cumprod(0), drawing(1), exact.denoiser(path)
    for k in reversed(range(steps)):  # arXiv:2006.11239, algorithm 2 with eq. 7
        beta, bar = betas[k], bars[k]
        before = bars[k - 1] if k else torch.ones(())
        data = denoise(x, torch.tensor(1 - (k + 1) / steps, dtype=torch.float64)).data
        x = (before.sqrt() * beta * data + (1 - beta).sqrt() * (1 - before) * x) / (1 - bar)
        if k:
            spread = beta if sampler == "reference" else beta * (1 - before) / (1 - bar)
            x = x + spread.sqrt() * randn(x)
    found = SAMPLERS[sampler](denoise, start(), grids.uniform(steps), path=path, randn=drawing(1))
    torch.testing.assert_close(found, x)


@each_path
def test_posterior_is_bayes(path: ProbabilityPath) -> None:
    """q(x_s | x_t, x_1) from q(x_s | x_1) and q(x_t | x_s), with precisions that add up."""
    x, data = start(), start().flip(2)
    at, to = (path.at(t, x) for t in (0.4, 0.7))
    found, rate = posterior(at, to, x, data), at.alpha / to.alpha
    forward = at.sigma**2 - (rate * to.sigma) ** 2  # x_t = rate x_s + noise of this variance
    precision = 1 / to.sigma**2 + rate**2 / forward
    mean = (to.alpha * data / to.sigma**2 + rate * x / forward) / precision
    torch.testing.assert_close(found.mean, mean)
    torch.testing.assert_close(found.small, 1 / precision)
    torch.testing.assert_close(found.large, forward)


@pytest.mark.parametrize(
    "name", ["cwdm_small", "fast_cwdm_direct_small", "fast_cwdm_sampled_small"]
)
def test_posterior_equals_the_references(name: str) -> None:
    numbers = load_file(GOLDEN / f"{name}.safetensors")
    x, k = numbers["ddpm.x_t"], numbers["ddpm.t"].double()
    path = SCHEDULES[name]
    at, to = (path.at(1 - (k + ahead) / path.steps, x) for ahead in (1, 0))
    found = posterior(at, to, x, numbers["ddpm.pred_x0_clipped_in_voxels"])
    torch.testing.assert_close(found.mean, numbers["ddpm.posterior_mean"], atol=1e-5, rtol=0)
    truth = numbers["ddpm.posterior_variance"]
    torch.testing.assert_close(found.large.expand_as(x), truth, atol=1e-6, rtol=0)


def test_multistep_equals_its_algorithm() -> None:
    path, times = VariancePreserving(), grids.uniform(12) * 0.9  # both ends of finite log-SNR
    x, denoise = start(), exact.denoiser(path)
    a, s, *_ = path.coefficients(times)
    lam = (a / s).log()
    q_old = denoise(x, times[0]).data  # arXiv:2211.01095, algorithm 2
    h_old = lam[1] - lam[0]
    x = s[1] / s[0] * x - a[1] * torch.expm1(-h_old) * q_old
    for i in range(2, 12):
        h, q = lam[i] - lam[i - 1], denoise(x, times[i - 1]).data
        r = h_old / h
        blend = (1 + 1 / (2 * r)) * q - 1 / (2 * r) * q_old
        x = s[i] / s[i - 1] * x - a[i] * torch.expm1(-h) * blend
        q_old, h_old = q, h
    final = dpmpp_2m(denoise, start(), times, path=path)
    q = denoise(x, times[11]).data
    h = lam[12] - lam[11]
    torch.testing.assert_close(final, s[12] / s[11] * x - a[12] * torch.expm1(-h) * q)


def test_fresh_noise_is_reproducible_from_its_generator() -> None:
    path, times = Rectified(), grids.uniform(10)
    x, y, z = (
        ancestral(exact.denoiser(path), start(), times, path=path, randn=drawing(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(x, y)
    assert not torch.equal(x, z)


def test_unknown_sampler_is_refused_with_a_hint() -> None:
    with pytest.raises(RecipeError, match="did you mean 'euler'"):
        calls("euller", 10)
