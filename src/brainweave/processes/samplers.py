"""Samplers: functions from noise to data, written against `Estimate` only.

Any sampler runs on any path and any prediction. A new sampler is one function of
(denoise, x, times, *, path, randn, progress) and one entry in `SAMPLERS`.
`times` rise to exactly 1 (see `grids`); no sampler calls the denoiser at the last of them.
`progress` is called once after each step.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.errors import RecipeError
from brainweave.part import hint
from brainweave.processes.paths import Coefficients, ProbabilityPath
from brainweave.processes.process import Denoiser

Grid = Float[Tensor, "n"]  # steps + 1 of them
Draw = Callable[[Tensor], Tensor]  # standard normal noise of the shape of its argument
Progress = Callable[[], object]
Sampler = Callable[..., Tensor]


def euler(
    denoise: Denoiser,
    x: Tensor,
    times: Grid,
    *,
    path: ProbabilityPath,
    randn: Draw = torch.randn_like,
    progress: Progress | None = None,
) -> Tensor:
    """First order steps along the probability flow ODE; one network call per step."""
    for t, s in _steps(times, progress):
        x = x + float(s - t) * denoise(x, t).velocity
    return x


def heun(
    denoise: Denoiser,
    x: Tensor,
    times: Grid,
    *,
    path: ProbabilityPath,
    randn: Draw = torch.randn_like,
    progress: Progress | None = None,
) -> Tensor:
    """Second order steps (arXiv:2206.00364, algorithm 1); two network calls per step, the last
    one: it is Euler's, as the velocity may diverge at t = 1."""
    last = float(times[-1])
    for t, s in _steps(times, progress):
        slope = denoise(x, t).velocity
        ahead = x + float(s - t) * slope
        x = ahead if s == last else x + float(s - t) / 2 * (slope + denoise(ahead, s).velocity)
    return x


def ddim(
    denoise: Denoiser,
    x: Tensor,
    times: Grid,
    *,
    path: ProbabilityPath,
    randn: Draw = torch.randn_like,
    progress: Progress | None = None,
    eta: float = 0.0,
) -> Tensor:
    """Jumps x_s = alpha_s x_1 + sigma_s x_0 (arXiv:2010.02502, eq. 12); one call per step.

    A share of x_0 is drawn anew, none at `eta` = 0 (eq. 16; at 1 this is `ancestral`).
    """
    for t, s in _steps(times, progress):
        data, noise, _ = denoise(x, t)
        at, to = path.at(t, x), path.at(s, x)
        if eta == 0:
            x = to.alpha * data + to.sigma * noise
        else:
            fresh = eta * _spread(at, to).sqrt() * to.sigma / at.sigma
            kept = (to.sigma**2 - fresh**2).clamp(min=0).sqrt()
            x = to.alpha * data + kept * noise + fresh * randn(x)
    return x


def ancestral(
    denoise: Denoiser,
    x: Tensor,
    times: Grid,
    *,
    path: ProbabilityPath,
    randn: Draw = torch.randn_like,
    progress: Progress | None = None,
) -> Tensor:
    """Draws from q(x_s | x_t, x_1), the DDPM sampler for any Gaussian path; one call per step
    (arXiv:2107.00630, appendix A; arXiv:2006.11239, eq. 6-7 on the DDPM path)."""
    return _drawn(denoise, x, times, path, randn, progress, lambda of: of.small)


def reference(
    denoise: Denoiser,
    x: Tensor,
    times: Grid,
    *,
    path: ProbabilityPath,
    randn: Draw = torch.randn_like,
    progress: Progress | None = None,
) -> Tensor:
    """`ancestral` with the larger variance ("FIXED_LARGE"), as guided diffusion, WDM, cWDM and
    Fast-cWDM sample; one call per step.

    For parity with them. With few steps the input of the last call has far more noise than its time
    says, and the volume ends in noise: use `ancestral` or `ddim` below 1000 steps
    (docs/explanation/processes.md has figures).
    """
    return _drawn(denoise, x, times, path, randn, progress, lambda of: of.large)


def dpmpp_2m(
    denoise: Denoiser,
    x: Tensor,
    times: Grid,
    *,
    path: ProbabilityPath,
    randn: Draw = torch.randn_like,
    progress: Progress | None = None,
) -> Tensor:
    """DPM-Solver++(2M): second order in log(alpha / sigma) from the last two data estimates;
    one network call per step (arXiv:2211.01095, algorithm 2).

    A step more than twice as wide as the one before extrapolates as if it were twice: estimates
    level off towards clean data, so that few steps as uneven as `grids.respaced` would overshoot.
    """
    last, before = float(times[-1]), None
    for t, s in _steps(times, progress):
        data = denoise(x, t).data
        at, to = path.at(t, x), path.at(s, x)
        h = (to.alpha / to.sigma).log() - (at.alpha / at.sigma).log()
        blend = data
        if before is not None and s != last:  # first order at both ends: h is infinite at sigma = 0
            previous, width = before  # infinite after alpha = 0, which makes this first order too
            blend = data + (h / width).clamp(max=2) / 2 * (data - previous)
        shrink = to.sigma / at.sigma
        x = shrink * x + (to.alpha - at.alpha * shrink) * blend
        before = (data, h)
    return x


SAMPLERS: dict[str, Sampler] = {
    "euler": euler,
    "heun": heun,
    "ddim": ddim,
    "ancestral": ancestral,
    "dpmpp_2m": dpmpp_2m,
    "reference": reference,
}


class Posterior(NamedTuple):
    """q(x_s | x_t, x_1): its mean, its variance (`small`) and that of q(x_t | x_s) (`large`),
    which is what the DDPM path calls beta."""

    mean: Tensor
    small: Tensor
    large: Tensor


def posterior(at: Coefficients, to: Coefficients, x: Tensor, data: Tensor) -> Posterior:
    """Where x_s lies for a later time s ("to") than t ("at"), given x_t and the data
    (arXiv:2107.00630, appendix A; arXiv:2006.11239, eq. 7)."""
    large = _spread(at, to)
    share = (to.sigma / at.sigma) ** 2
    mean = at.alpha / to.alpha * share * x + to.alpha * large / at.sigma**2 * data
    return Posterior(mean, large * share, large)


def calls(name: str, steps: int) -> int:
    """How often sampler `name` calls the denoiser. Raises RecipeError for an unknown name."""
    if name not in SAMPLERS:
        raise RecipeError(f"unknown sampler {name!r}{hint(name, SAMPLERS)}")
    return 2 * steps - 1 if name == "heun" else steps


def _drawn(
    denoise: Denoiser,
    x: Tensor,
    times: Grid,
    path: ProbabilityPath,
    randn: Draw,
    progress: Progress | None,
    variance: Callable[[Posterior], Tensor],
) -> Tensor:
    """Draws around the means of posteriors; the last is a mean."""
    last = float(times[-1])
    for t, s in _steps(times, progress):
        found = posterior(path.at(t, x), path.at(s, x), x, denoise(x, t).data)
        x = found.mean if s == last else found.mean + variance(found).sqrt() * randn(x)
    return x


def _steps(times: Grid, progress: Progress | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Pairs of neighbouring times, as float64 scalars on the CPU."""
    for t, s in pairwise(times.double().cpu()):
        yield t, s
        if progress is not None:
            progress()


def _spread(at: Coefficients, to: Coefficients) -> Tensor:
    """The variance of q(x_t | x_s) for t ("at") before s ("to")."""
    return (at.sigma**2 - (at.alpha / to.alpha * to.sigma) ** 2).clamp(min=0)
