"""What acts on estimates while sampling: guidance by conditions, limits by voxel range."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from brainweave.processes.paths import ProbabilityPath
from brainweave.processes.process import Denoiser, Estimate

Watch = Callable[[Tensor, Estimate], None]


def guide(
    denoise: Denoiser,
    free: Denoiser,
    scale: float,
    interval: tuple[float, float] | None = None,
    alone: Sequence[tuple[Denoiser, float]] = (),
) -> Denoiser:
    """Classifier-free guidance on every field of the estimate (arXiv:2207.12598).

    `free` hears no conditions. Scale 1 is `denoise` itself and 0 is `free`, at two network calls
    otherwise; outside `interval` of time (ends included) it is `denoise` (arXiv:2404.07724).

    alone: what hears one condition only, and the weight it has in place of `scale`:
        free + scale (denoise - free) + sum_k (weight_k - scale) (alone_k - free),
    a call more for each weight that is not the scale. With conditions that act independently it is
    free + sum_k weight_k (alone_k - free), the composition of arXiv:2206.01714; with equal weights
    it is guidance by all of them jointly, which counts nothing twice.
    """
    apart = [(one, weight - scale) for one, weight in alone if weight != scale]
    if scale == 1 and not apart:
        return denoise
    low, high = (0.0, 1.0) if interval is None else interval

    def guided(x: Tensor, t: Tensor) -> Estimate:
        estimate = denoise(x, t)
        if not low <= float(t) <= high:
            return estimate
        base = free(x, t)
        fields = [torch.lerp(*pair, scale) for pair in zip(base, estimate, strict=True)]
        for one, weight in apart:
            single = zip(fields, one(x, t), base, strict=True)
            fields = [field + weight * (own - none) for field, own, none in single]
        return Estimate(*fields)

    return guided


def constrained(
    denoise: Denoiser, path: ProbabilityPath, constrain: Callable[[Tensor], Tensor]
) -> Denoiser:
    """`denoise` with its data mapped into the set of possible data, such as by `voxel_clip`.

    Noise and velocity follow from the data, so that the estimate stays on the path. Around `guide`,
    not inside it: guidance leaves the set.
    """

    def denoise_within(x: Tensor, t: Tensor) -> Estimate:
        estimate = denoise(x, t)
        with torch.autocast(x.device.type, enabled=False):
            c, data = path.at(t, x), constrain(estimate.data)
            noise = (x - c.alpha * data) / c.sigma
            return Estimate(data, noise, c.d_alpha * data + c.d_sigma * noise)

    return denoise_within


def moved(denoise: Denoiser, path: ProbabilityPath, shift: Tensor | None) -> Denoiser:
    """What `denoise` says of data that it knows as data + shift; None: no shift."""
    if shift is None:
        return denoise

    def shifted(x: Tensor, t: Tensor) -> Estimate:
        with torch.autocast(x.device.type, enabled=False):
            c = path.at(t, x)
            there = x + c.alpha * shift
        estimate = denoise(there, t)
        with torch.autocast(x.device.type, enabled=False):
            velocity = estimate.velocity - c.d_alpha * shift
            return Estimate(estimate.data - shift, estimate.noise, velocity)

    return shifted


def watched(denoise: Denoiser, watch: Watch | None) -> Denoiser:
    """`denoise`, and `watch` is shown x_t and every estimate."""
    if watch is None:
        return denoise

    def shown(x: Tensor, t: Tensor) -> Estimate:
        estimate = denoise(x, t)
        watch(x, estimate)
        return estimate

    return shown


def voxel_clip(
    encode: Callable[[Tensor], Tensor], decode: Callable[[Tensor], Tensor], low: float, high: float
) -> Callable[[Tensor], Tensor]:
    """A `constrain` for `constrained`: data whose voxels lie within [low, high]."""

    def constrain(data: Tensor) -> Tensor:
        return encode(decode(data).clamp(low, high))

    return constrain
