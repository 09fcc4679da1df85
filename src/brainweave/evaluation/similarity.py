"""Structural similarity of two arrays of any number of axes: SSIM, its map, MS-SSIM.

Windows are Gaussian, separable and kept inside the array ("valid"), populations are not samples;
all in float64, slab by slab along the first axis so that intermediate sums stay in the cache.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Real
from torch import Tensor

from brainweave.errors import EvaluationError

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli and Bovik 2003
K1, K2 = 0.01, 0.03  # Wang et al. 2004, which also has the window of 11 with sigma 1.5
_SLAB = 2**19  # voxels that are smoothed at a time: float64 of a few slabs fits the cache

Array = Real[np.ndarray, "..."]
Mask = Bool[np.ndarray, "..."]


class _Window(NamedTuple):
    """The taps of the Gaussian and the two constants of the data range."""

    taps: tuple[float, ...]
    c1: float
    c2: float

    @property
    def margin(self) -> int:
        """Voxels at each end of an axis that are no centre of a window."""
        return len(self.taps) // 2


def ssim_map(
    a: Array, b: Array, *, data_range: float = 1.0, window: int = 11, sigma: float = 1.5
) -> Float[np.ndarray, "..."]:
    """SSIM at every voxel whose window lies inside: window - 1 voxels less along each axis.

    data_range: the agreed range of intensities, not that of these two arrays. window: odd, voxels.
    Raises EvaluationError for shapes that differ or are too small, and for values not finite.
    """
    x, y, made = _ready(a, b, data_range, window, sigma)
    slabs = [luminance * contrast for luminance, contrast in _slabs(x, y, made)]
    return torch.cat(slabs).numpy()


def ssim(
    a: Array,
    b: Array,
    *,
    mask: Mask | None = None,
    data_range: float = 1.0,
    window: int = 11,
    sigma: float = 1.5,
) -> float:
    """The mean of the SSIM map (Wang et al. 2004), over the mask where one is given.

    The windows of a masked mean look beyond the mask; its voxels nearer than window // 2 to a face
    of the array are not counted. Raises EvaluationError where none is left, and as `ssim_map`.
    """
    similarity = ssim_map(a, b, data_range=data_range, window=window, sigma=sigma)
    if mask is None:
        return float(similarity.mean())
    return float(similarity[_inside(mask, a.shape, window // 2)].mean())


def ms_ssim(
    a: Array,
    b: Array,
    *,
    mask: Mask | None = None,
    data_range: float = 1.0,
    window: int = 11,
    sigma: float = 1.5,
    weights: tuple[float, ...] = WEIGHTS,
) -> float:
    """Multi-scale SSIM (Wang, Simoncelli and Bovik 2003): contrast at all scales but the last.

    Between scales, means of 2 voxels along each axis; an odd last voxel is dropped, or stays as it
    is where the smaller scales need it for their window. A negative mean at a scale counts as 0.
    Where the array has no room for all weights, the first are used, divided by their sum: see
    `scales`, and `pyramid` for the words. With a mask each scale is averaged with the share of mask
    in each voxel as weight. Raises EvaluationError as `ssim` does.
    """
    x, y, made = _ready(a, b, data_range, window, sigma)
    used = np.array(weights[: scales(a.shape, window, len(weights))])
    share = None if mask is None else _share(mask, a.shape)
    levels = []
    for scale in range(len(used)):
        if scale:
            least = window << (len(used) - scale - 1)  # what the scales to come need of an axis
            x, y = _halved(x, least), _halved(y, least)
            share = None if share is None else _halved(share, least)
        levels.append(_means(x, y, made, share)[0 if scale == len(used) - 1 else 1])
    return float(np.prod(np.maximum(levels, 0) ** (used / used.sum())))


def scales(shape: tuple[int, ...], window: int = 11, most: int = len(WEIGHTS)) -> int:
    """How many scales L of MS-SSIM an array has room for: 2^(L-1) (window - 1) < n on its least
    side n. Raises EvaluationError for not even one.
    """
    least = min(shape)
    if least < window:
        raise EvaluationError(
            f"shape {shape} has no room for a window of {window}: its least side must be {window} "
            "or more; compare larger volumes or set a smaller odd window"
        )
    return min(most, ((least - 1) // (window - 1)).bit_length())


def pyramid(shape: tuple[int, ...], window: int = 11) -> str:
    """What a report says about the MS-SSIM of volumes of this shape."""
    used, edges = scales(shape, window), " x ".join(map(str, shape))
    if used == len(WEIGHTS):
        return f"MS-SSIM has {used} scales, Gaussian window {window}"
    return (
        f"MS-SSIM has {used} of {len(WEIGHTS)} scales at {edges} voxels, weights renormalised, "
        f"Gaussian window {window}: not comparable with other pyramids"
    )


def _ready(
    a: Array, b: Array, data_range: float, window: int, sigma: float
) -> tuple[Tensor, Tensor, _Window]:
    """The checked arrays as tensors, and the window."""
    if a.shape != b.shape or a.ndim < 2:
        raise EvaluationError(f"shapes {a.shape} and {b.shape}: two equal ones are needed, 2-d up")
    if window < 3 or window % 2 == 0 or not sigma > 0 or not data_range > 0:
        raise EvaluationError(
            f"window {window}, sigma {sigma:g}, data range {data_range:g}: the window must be odd "
            "and 3 or more, the others above 0"
        )
    scales(a.shape, window)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise EvaluationError("voxels that are not finite cannot be compared; repair the volumes")
    taps = np.exp(-(((np.arange(window) - window // 2) / sigma) ** 2) / 2)
    made = _Window(
        tuple((taps / taps.sum()).tolist()), (K1 * data_range) ** 2, (K2 * data_range) ** 2
    )
    return _tensor(a), _tensor(b), made


def _tensor(array: np.ndarray) -> Tensor:
    """Floating-point values stay as they are until a slab of them is smoothed."""
    exact = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    return torch.from_numpy(np.ascontiguousarray(exact))


def _slabs(x: Tensor, y: Tensor, window: _Window) -> Iterator[tuple[Tensor, Tensor]]:
    """Luminance and contrast-structure, float64, of successive slabs along the first axis.

    The two variances are only needed as a sum, so four fields are smoothed, not five.
    """
    margin, plane = 2 * window.margin, x[0].numel()
    step = max(1, _SLAB // plane)
    for start in range(0, len(x) - margin, step):
        u, v = (t[start : start + step + margin].double() for t in (x, y))
        mean_u, mean_v = _smooth(u, window.taps), _smooth(v, window.taps)
        product, squares = mean_u * mean_v, mean_u.square() + mean_v.square()
        covariance = _smooth(u * v, window.taps) - product
        variances = _smooth(u.square().addcmul_(v, v), window.taps) - squares
        luminance = (2 * product + window.c1) / (squares + window.c1)
        yield luminance, (2 * covariance + window.c2) / (variances + window.c2)


def _smooth(x: Tensor, taps: tuple[float, ...]) -> Tensor:
    """Convolution with symmetrical taps along every axis, without borders."""
    middle = len(taps) // 2
    for axis in range(x.dim()):
        size = x.shape[axis] - 2 * middle
        total = x.narrow(axis, middle, size) * taps[middle]
        for offset in (o for o in range(len(taps)) if o != middle):
            total.add_(x.narrow(axis, offset, size), alpha=taps[offset])
        x = total
    return x


def _means(x: Tensor, y: Tensor, window: _Window, share: Tensor | None) -> tuple[float, float]:
    """The (weighted) means of SSIM and of contrast-structure, without holding their maps."""
    similarity = contrast = total = 0.0
    start = window.margin
    inner = tuple(slice(window.margin, size - window.margin) for size in x.shape[1:])
    for light, structure in _slabs(x, y, window):
        if share is None:
            weight = torch.ones((), dtype=torch.float64)
            total += light.numel()
        else:
            weight = share[(slice(start, start + len(light)), *inner)]
            total += float(weight.sum())
            start += len(light)
        similarity += float((light * structure * weight).sum())
        contrast += float((structure * weight).sum())
    if not total:
        raise EvaluationError(_OUTSIDE)
    return similarity / total, contrast / total


def _halved(x: Tensor, least: int) -> Tensor:
    """Means of 2 voxels along every axis, float64. An odd last voxel is dropped, as in MONAI, where
    that leaves `least` voxels, and stays alone where it does not."""
    x = x.double()
    for axis in range(x.dim()):
        pairs = x.shape[axis] // 2
        even, odd = (x.narrow(axis, o, 2 * pairs - 1) for o in (0, 1))
        step = tuple(slice(None, None, 2 if a == axis else 1) for a in range(x.dim()))
        half = (even[step] + odd[step]) / 2
        alone = x.shape[axis] % 2 and pairs < least
        x = torch.cat([half, x.narrow(axis, 2 * pairs, 1)], axis) if alone else half
    return x


_OUTSIDE = (
    "the mask has no voxel far enough from the faces of the volume for a window around it; "
    "check that it is not empty, or pad the volumes"
)


def _inside(mask: np.ndarray, shape: tuple[int, ...], margin: int) -> np.ndarray:
    """The mask at the centres of windows."""
    if mask.shape != shape:
        raise EvaluationError(f"the mask has shape {mask.shape}, the volumes {shape}")
    inner = mask[tuple(slice(margin, size - margin) for size in shape)]
    if not inner.any():
        raise EvaluationError(_OUTSIDE)
    return inner


def _share(mask: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    if mask.shape != shape:
        raise EvaluationError(f"the mask has shape {mask.shape}, the volumes {shape}")
    return torch.from_numpy(np.ascontiguousarray(mask)).double()
