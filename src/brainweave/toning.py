"""Tone curves: one map of intensities for all volumes of a model, so that their histograms are
together those of real ones.

What a model is not sure of, it makes as a mean: the rim of a brain too wide and too dark, its
whitest parts too grey. This is the same in every volume and is taken back after sampling.
"""

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Curve = tuple[tuple[float, float], ...]  # as made, as wanted: shares of the range, both rising
BINS = 4096
KNOTS = 32
LEAST = 1e-4  # between two knots
DIGITS = 5


def require_rising(curve: Curve) -> None:
    """Raises ValueError for a curve that does not rise from (0, 0) to (1, 1)."""
    if not curve:
        return
    made, wanted = np.array(curve).T
    ends = (curve[0], curve[-1]) == ((0, 0), (1, 1))
    if not ends or np.any(np.diff(made) <= 0) or np.any(np.diff(wanted) < 0):
        raise ValueError("a tone curve rises from (0, 0) to (1, 1)")


def toned(share: Float[Tensor, "*shape"], curve: Curve) -> Float[Tensor, "*shape"]:
    """Shares of the intensity range by the curve, straight between its points."""
    if not curve:
        return share
    made, wanted = torch.tensor(curve, dtype=share.dtype, device=share.device).T.contiguous()
    return straight(share, made, wanted)


def straight(
    values: Float[Tensor, "*shape"], places: Float[Tensor, "n"], wanted: Float[Tensor, "n"]
) -> Float[Tensor, "*shape"]:
    """What is `wanted` at rising `places`, straight between them and on beyond the outer ones."""
    at = torch.bucketize(values.contiguous(), places[1:-1])
    slopes = wanted.diff() / places.diff()
    return wanted[at] + (values - places[at]) * slopes[at]


def histogram(shares: Iterable[Float[Tensor, "*shape"]]) -> Float[np.ndarray, "bins"]:
    """How many voxels of all volumes are background, at 0, and then in each of `BINS` up to 1."""
    counts = np.zeros(BINS + 1)
    for share in shares:
        inside = share[share > 0].float().clamp(max=1).cpu()
        counts[0] += share.numel() - inside.numel()
        counts[1:] += torch.histc(inside, BINS, 0, 1).double().numpy()
    return counts


def matching(made: Float[np.ndarray, "bins"], real: Float[np.ndarray, "bins"]) -> Curve:
    """The curve by which volumes of the histogram `made` come to have that of `real`: each level
    becomes the one that as large a share of real voxels lies below."""
    shares, edges = [np.cumsum(h) / h.sum() for h in (made, real)], np.linspace(0, 1, BINS + 1)
    background = shares[1][0]
    dense = (1 - np.cos(np.pi * np.linspace(0, 1, KNOTS))) / 2  # where histograms end
    levels = background + (1 - background) * dense
    a, b = (np.interp(levels, share, edges) for share in shares)
    knots = [(0.0, 0.0)]
    for x, y in zip(a.round(DIGITS).tolist(), b.round(DIGITS).tolist(), strict=True):
        if x > knots[-1][0] + LEAST and x < 1 - LEAST:
            knots.append((x, min(y, 1.0)))
    return (*knots, (1.0, 1.0))


def distance(one: Float[np.ndarray, "bins"], other: Float[np.ndarray, "bins"]) -> float:
    """How far intensities have to move for one histogram to become the other, on average over all
    voxels, as a share of the range."""
    below = [np.cumsum(h) / h.sum() for h in (one, other)]
    return float(np.abs(below[0] - below[1])[:-1].mean())
