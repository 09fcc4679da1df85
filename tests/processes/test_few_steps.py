"""Chains trained with 1000 steps, run in a few: exactly solvable, without a network."""

import pytest
import torch
from starting import drawing, seeded, start
from torch import Tensor

from brainweave.processes import exact, grids
from brainweave.processes.frequency import FrequencyAdaptive
from brainweave.processes.guidance import constrained
from brainweave.processes.paths import (
    DDPM,
    ProbabilityPath,
    Rectified,
    Trigonometric,
    VariancePreserving,
)
from brainweave.processes.process import Estimate
from brainweave.processes.samplers import SAMPLERS, ancestral, ddim, dpmpp_2m, reference

FEW = [grids.uniform(steps) for steps in (1, 2, 5, 10, 25)]
FEW += [grids.respaced(steps) for steps in (1, 2, 5, 10, 25)]
PATHS: list[ProbabilityPath] = [Rectified(), Trigonometric(), VariancePreserving(), exact.Banded()]
each_few = pytest.mark.parametrize("times", FEW, ids=lambda times: f"{len(times) - 1}")
CHAINS: list[ProbabilityPath] = [
    DDPM(),
    FrequencyAdaptive(path=DDPM(), offsets=(-4.0, -1.0, 0.0, 4.0)),
]
PATHS += CHAINS
each_chain = pytest.mark.parametrize("path", CHAINS, ids=lambda p: type(p).__name__)


@each_chain
@each_few
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_long_chain_runs_in_few_steps(path: ProbabilityPath, times: Tensor, sampler: str) -> None:
    seen = []

    def denoise(x: Tensor, t: Tensor) -> Estimate:
        seen.append(float(path.clock(t)))
        return exact.denoiser(path)(x, t)

    within = constrained(denoise, path, lambda data: data.clamp(0, 1))
    x = SAMPLERS[sampler](within, start().float(), times, path=path, randn=drawing(1))
    assert bool(x.isfinite().all())
    assert max(abs(k - round(k)) for k in seen) < 1e-9  # whole numbers, as in training
    if len(times) > 2:
        assert (max(seen), min(seen)) == pytest.approx((999, 1000 * (1 - float(times[-2])) - 1))


@each_chain
@pytest.mark.parametrize("sampler", ["ddim", "ancestral", "dpmpp_2m"])
def test_few_steps_with_a_clip_stay_near_the_data(path: ProbabilityPath, sampler: str) -> None:
    """At their bounds: every estimate lies in [0, 1], and so does where it leads, but for noise
    of the last time, 0.01 at k = 0."""
    denoise = constrained(exact.denoiser(path), path, lambda data: data.clamp(0, 1))
    for steps in (5, 10, 25):
        times = grids.respaced(steps)
        x = SAMPLERS[sampler](denoise, start(), times, path=path, randn=drawing(1))
        assert float((x - 0.5).abs().max()) <= 0.5


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
@each_few
def test_few_multistep_steps_are_no_further_off_than_jumps(
    path: ProbabilityPath, times: Tensor
) -> None:
    x = torch.linspace(-3, 3, 25, dtype=torch.float64).expand(1, 4, 25)
    truth, denoise = exact.flow(path, x), exact.denoiser(path)
    multistep, jumps = (
        float((run(denoise, x, times, path=path) - truth).abs().max()) for run in (dpmpp_2m, ddim)
    )
    assert multistep <= jumps + 1e-9


def test_the_references_loop_leaves_noise_where_ancestral_leaves_none() -> None:
    path, data = DDPM(), torch.full((1, 4, 4000), 0.5, dtype=torch.float64)
    denoise, times = exact.denoiser(path, mean=0.5, sd=0.01), grids.respaced(10)
    noise = torch.randn(data.shape, generator=seeded(), dtype=data.dtype)
    left = [
        float((run(denoise, noise, times, path=path, randn=drawing(1)) - data).std())
        for run in (reference, ancestral)
    ]
    assert left[0] > 15 * 0.01
    assert left[1] < 0.01


def test_steps_of_a_kept_chain_are_steps_of_the_chain() -> None:
    """10 of 1000: {0, 111, ..., 999} by local number or by the chain's."""
    short, long = DDPM(steps=10, chain=1000), DDPM()
    grid = {short: grids.uniform(10), long: grids.respaced(10)}
    x, y = (
        reference(exact.denoiser(path), start(), times, path=path, randn=drawing(1))
        for path, times in grid.items()
    )
    torch.testing.assert_close(x, y, atol=1e-12, rtol=0)
