"""A process: a path, what the network predicts along it, and how errors are weighed.

A new prediction is one line in `Process._target`: its mixture of data and noise.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import BeforeValidator, Field
from torch import Generator, Tensor

from brainweave.errors import ShapeError
from brainweave.part import Part
from brainweave.processes.paths import Coefficients, ProbabilityPath, Rectified, path_named
from brainweave.processes.sources import Gaussian, Source

Latent = Float[Tensor, "b c *space"]
Times = Float[Tensor, "b"]


class Estimate(NamedTuple):
    """What a network output at (x_t, t) implies for both ends of the path."""

    data: Tensor
    noise: Tensor
    velocity: Tensor


Network = Callable[[Tensor, Tensor], Tensor]  # (x_t, clock) -> output, conditions already bound
Denoiser = Callable[[Tensor, Tensor], Estimate]  # (x_t, t) -> estimate
Judge = Callable[[Tensor], Tensor]  # data -> a loss per volume, [b]


def _path(value: Any) -> ProbabilityPath:
    if isinstance(value, str):
        return path_named(value)
    if not isinstance(value, ProbabilityPath):
        raise ValueError("needs a path or the name of one, such as 'rectified'")
    return value


class Process(Part):
    """What is learned: the loss of a network, and what its output means.

    prediction: "velocity" d x_t / dt, "data" x_1, "noise" x_0, or "angular", the derivative along
    the angle of (alpha, sigma): (sigma x_1 - alpha x_0) / sqrt(alpha^2 + sigma^2), which is the
    negative of v in arXiv:2202.00512, or "correction", x_1 less its best linear estimate for data
    of unit variance, alpha x_t / (alpha^2 + sigma^2), as preconditioned in arXiv:2206.00364, eq. 7.
    Angular asks for data in the noise and for noise in the data and is never singular; correction
    is the same times sigma / sqrt(alpha^2 + sigma^2), to be weighted by velocity.
    error: squares have the mean of what is possible for their least, absolute values its median.
    begin: times before it are neither trained nor sampled; an atlas with modes draws x_t there.
    at_start: share of the volumes that are trained at `begin`, where the first step of a sampler
    looks and the only one of a single step.
    """

    path: Annotated[ProbabilityPath, BeforeValidator(_path)] = Rectified()
    source: Source = Gaussian()
    prediction: Literal["velocity", "data", "noise", "angular", "correction"] = "velocity"
    times: Literal["uniform", "stratified", "logit-normal"] = "uniform"
    # of the normal behind logit-normal times; above 0 they lie nearer to the data. The sign is the
    # opposite of m in arXiv:2403.03206, where t = 1 is noise
    times_mean: float = 0.0
    times_sd: Annotated[float, Field(gt=0)] = 1.0
    channel_weights: tuple[Annotated[float, Field(ge=0)], ...] | None = None  # None: plain mean
    begin: Annotated[float, Field(ge=0, lt=1)] = 0.0
    at_start: Annotated[float, Field(ge=0, le=1)] = 0.0
    weighting: Literal["plain", "velocity"] = "plain"
    weight_limit: Annotated[float, Field(gt=0)] = 10.0  # of the factor before it is squared
    error: Literal["squared", "absolute"] = "squared"

    @property
    def first_time(self) -> float:
        """Where sampling may start: `begin`, or 1e-3 where `estimate` has no solution at t = 0.

        The output determines both ends only if its mixture differs from x_t's. Noise prediction
        on a path with alpha(0) = 0 is the common case: there x_t is the noise itself.
        """
        c = self.path.coefficients(torch.zeros(1, dtype=torch.float64))
        return max(self.begin, 1e-3 if float(self._determinant(c).abs().min()) < 1e-3 else 0.0)

    def loss(
        self,
        network: Network,
        data: Latent,
        *,
        known: Latent | None = None,
        judge: Judge | None = None,
        generator: Generator | None = None,
    ) -> Float[Tensor, "b"]:
        """Weighted error of the prediction at drawn times, one value per volume.

        known: what an informed source starts from. judge: see `loss_at`.
        """
        t, noise = self.draw(data, generator=generator)
        return self.loss_at(network, data, t, self.source.start(noise, known), judge=judge)

    def draw(self, data: Latent, *, generator: Generator | None = None) -> tuple[Times, Latent]:
        """Times (float64) and noise for `data`, drawn on the generator's device."""
        device = data.device if generator is None else generator.device
        t = self._times(len(data), device, generator)
        noise = torch.randn(data.shape, generator=generator, device=device, dtype=_exact(data))
        return t.to(data.device), noise.to(data.device)

    def loss_at(
        self,
        network: Network,
        data: Latent,
        t: Times,
        start: Latent,
        *,
        judge: Judge | None = None,
    ) -> Float[Tensor, "b"]:
        """The loss at given times on the way from `start` (x_0), float32 even under autocast.

        With `channel_weights` w it is sum_c w_c mean_voxels(error_c), else the plain mean; what
        `judge` says of the data that the prediction means is added at t = 0: later x_t shows them.
        Raises ShapeError if there are not as many weights as channels.
        """
        weights, channels = self.channel_weights, data.shape[1]
        if weights is not None and len(weights) != channels:
            raise ShapeError(
                f"{len(weights)} channel_weights for {channels} channels; give one per channel"
            )
        with torch.autocast(data.device.type, enabled=False):
            data = data.to(_exact(data))
            c = self.path.at(t, data)
            x_t = c.alpha * data + c.sigma * start
        output = network(x_t, self._clock(t, x_t))
        with torch.autocast(data.device.type, enabled=False):
            a, b = self._target(c)
            error = output.to(x_t) - (a * data + b * start)
            if self.weighting == "velocity":
                error = error * self._velocity_factor(c)
            error = error.abs() if self.error == "absolute" else error.square()
            each = error.flatten(2).mean(2)
            loss = each.mean(1) if weights is None else (each * each.new_tensor(weights)).sum(1)
            if judge is None:
                return loss
            said = judge(self.estimate(output, x_t, t).data)
            return loss + torch.where(t.to(loss.device) == 0, said, 0.0)

    def estimate(self, output: Latent, x_t: Latent, t: Tensor | float) -> Estimate:
        """Solve  x_t = alpha x_1 + sigma x_0,  output = a x_1 + b x_0  for the two ends."""
        with torch.autocast(x_t.device.type, enabled=False):
            output, c = output.to(x_t), self.path.at(t, x_t)
            a, b = self._target(c)
            determinant = self._determinant(c)
            data = (b * x_t - c.sigma * output) / determinant
            noise = (c.alpha * output - a * x_t) / determinant
            estimate = Estimate(data, noise, c.d_alpha * data + c.d_sigma * noise)
            if self.prediction not in Estimate._fields:
                return estimate
            return estimate._replace(**{self.prediction: output})  # without rounding

    def denoiser(self, network: Network) -> Denoiser:
        """The network as a function (x_t, t) -> Estimate, the one thing samplers need."""
        return lambda x_t, t: self.estimate(network(x_t, self._clock(t, x_t)), x_t, t)

    def _clock(self, t: Tensor | float, x_t: Tensor) -> Times:
        t = torch.as_tensor(t, dtype=torch.float64).expand(len(x_t))
        return self.path.clock(t).to(x_t.device, _exact(x_t))

    def _target(self, c: Coefficients) -> tuple[Tensor, Tensor]:
        """(a, b) of the prediction a x_1 + b x_0."""
        zero, one = torch.zeros_like(c.alpha), torch.ones_like(c.alpha)
        norm = torch.hypot(c.alpha, c.sigma)
        return {
            "velocity": (c.d_alpha, c.d_sigma),
            "data": (one, zero),
            "noise": (zero, one),
            "angular": (c.sigma / norm, -c.alpha / norm),
            "correction": (c.sigma**2 / norm**2, -c.alpha * c.sigma / norm**2),
        }[self.prediction]

    def _determinant(self, c: Coefficients) -> Tensor:
        a, b = self._target(c)
        return c.alpha * b - c.sigma * a

    def _velocity_factor(self, c: Coefficients) -> Tensor:
        """|d velocity / d output|, at most `weight_limit`."""
        rate = (c.alpha * c.d_sigma - c.sigma * c.d_alpha) / self._determinant(c)
        return rate.abs().clamp(max=self.weight_limit)

    def _times(self, n: int, device: torch.device, generator: Generator | None) -> Times:
        kind = torch.float64
        if self.times == "stratified":  # each uniform, together evenly spread (arXiv:2107.00630)
            start = torch.rand(1, generator=generator, device=device, dtype=kind)
            u = (start + torch.arange(n, device=device, dtype=kind) / n) % 1
        elif self.times == "logit-normal":
            normal = torch.randn(n, generator=generator, device=device, dtype=kind)
            u = (self.times_mean + self.times_sd * normal).sigmoid().clamp(max=1 - 1e-7)
        else:
            u = torch.rand(n, generator=generator, device=device, dtype=kind)
        if self.at_start:
            here = torch.rand(n, generator=generator, device=device, dtype=kind) < self.at_start
            u = torch.where(here, 0.0, u)
        return self.training_times(u)

    def training_times(self, u: Times) -> Times:
        """Times from `begin` on for uniform draws of [0, 1), as the path wants them."""
        return self.path.training_times(self.begin + (1 - self.begin) * u)


def _exact(data: Tensor) -> torch.dtype:
    """float32, or float64 if the data are."""
    return torch.promote_types(data.dtype, torch.float32)
