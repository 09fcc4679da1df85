"""What acts on estimates while sampling: guidance by conditions, limits by voxel range."""

from collections.abc import Callable

import torch
from torch import Tensor

from brainweave.processes.process import Denoiser, Estimate


def guide(
    denoise: Denoiser, free: Denoiser, scale: float, interval: tuple[float, float] | None = None
) -> Denoiser:
    """Classifier-free guidance on every field of the estimate (arXiv:2207.12598).

    `free` hears no conditions. Scale 1 is `denoise` itself and 0 is `free`, at two network calls
    otherwise; outside `interval` of time (ends included) it is `denoise` (arXiv:2404.07724).
    """
    if scale == 1:
        return denoise
    low, high = (0.0, 1.0) if interval is None else interval

    def guided(x: Tensor, t: Tensor) -> Estimate:
        estimate = denoise(x, t)
        if not low <= float(t) <= high:
            return estimate
        pairs = zip(free(x, t), estimate, strict=True)
        return Estimate(*(torch.lerp(base, target, scale) for base, target in pairs))

    return guided


def voxel_clip(
    encode: Callable[[Tensor], Tensor], decode: Callable[[Tensor], Tensor], low: float, high: float
) -> Callable[[Tensor], Tensor]:
    """A `constrain` for `Process.denoiser`: data whose voxels lie within [low, high]."""

    def constrain(data: Tensor) -> Tensor:
        return encode(decode(data).clamp(low, high))

    return constrain
