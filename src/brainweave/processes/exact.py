"""The exactly solvable case: data N(mean, sd^2), whose best denoiser is known in closed form.

It judges samplers and paths without a network: `sample` them here before any training.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.processes import grids
from brainweave.processes.paths import Coefficients, ProbabilityPath, Rectified
from brainweave.processes.process import Denoiser, Estimate
from brainweave.processes.samplers import SAMPLERS

MEAN, SD = 0.7, 0.25


class Banded(ProbabilityPath):
    """Straight lines that each channel follows at its own pace, alpha_c = t^power_c."""

    powers: tuple[float, ...] = (1.0, 1.2, 1.5, 2.0)

    def coefficients(self, t: Float[Tensor, "*b"]) -> Coefficients:
        """One column per channel, [*b c]."""
        powers = t.new_tensor(self.powers)
        own = t[..., None] ** powers
        rate = powers * t[..., None] ** (powers - 1)
        alpha, sigma, d_alpha, d_sigma = Rectified().coefficients(own)
        return Coefficients(alpha, sigma, d_alpha * rate, d_sigma * rate)


def denoiser(path: ProbabilityPath, mean: float | Tensor = MEAN, sd: float = SD) -> Denoiser:
    """E[x_1 | x_t], E[x_0 | x_t] and the marginal velocity for data N(mean, sd^2), the mean one
    for all or one for each coefficient."""

    def denoise(x: Tensor, t: Tensor) -> Estimate:
        c = path.at(t, x)
        away = (x - c.alpha * mean) / (c.alpha**2 * sd**2 + c.sigma**2)
        data, noise = mean + c.alpha * sd**2 * away, c.sigma * away
        return Estimate(data, noise, c.d_alpha * data + c.d_sigma * noise)

    return denoise


def flow(
    path: ProbabilityPath,
    x: Tensor,
    span: tuple[float, float] = (0.0, 1.0),
    *,
    mean: float | Tensor = MEAN,
    sd: float = SD,
) -> Float[Tensor, "..."]:
    """Where the probability flow ODE takes `x` over a span of time: an affine map."""
    at, to = (path.at(t, x) for t in span)
    growth = (to.alpha**2 * sd**2 + to.sigma**2) / (at.alpha**2 * sd**2 + at.sigma**2)
    return to.alpha * mean + growth.sqrt() * (x - at.alpha * mean)


def sample(
    sampler: str, path: ProbabilityPath, steps: int, *, draws: int = 200_000, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each of 4 channels over `draws` values in all, [4] each."""
    generator = torch.Generator().manual_seed(seed)

    def randn(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype)

    noise = randn(torch.empty(2, 4, draws // 8, dtype=torch.float64))
    times = grids.uniform(steps)
    x = SAMPLERS[sampler](denoiser(path), noise, times, path=path, randn=randn)
    return x.mean((0, 2)), x.std((0, 2))


def error(
    sampler: str, path: ProbabilityPath, steps: int, span: tuple[float, float] = (0.0, 1.0)
) -> float:
    """The largest distance of a deterministic sampler from `flow` over noise in [-3, 3]."""
    x = torch.linspace(-3, 3, 25, dtype=torch.float64).expand(1, 4, 25)
    times = span[0] + (span[1] - span[0]) * grids.uniform(steps)
    y = SAMPLERS[sampler](denoiser(path), x, times, path=path)
    return float((y - flow(path, x, span)).abs().max())
