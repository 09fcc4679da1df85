"""What a regression sees of a voxel: the images there and around it, at several scales."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

EMPTY = 1e-3  # a mean over less head than this is none
LEAST = 0.01  # of a deviation, so that its root is smooth


def terms_of(
    images: Float[Tensor, "n i j k"], levels: int, ranks: bool
) -> tuple[Float[Tensor, "f v"], Bool[Tensor, "i j k"]]:
    """Of every voxel of the head, in the order of `owners_of`; the head."""
    count, size = len(images), images.shape[1:]
    head = (images > 0).any(0)
    there = head.flatten().nonzero()[:, 0]
    found = [images.flatten(1).index_select(1, there)]
    if ranks:
        found.append(torch.stack([_ranks(values) for values in found[0]]))
    margins = [-edge % 2 ** max(levels - 1, 0) for edge in size]
    before = [margin // 2 for margin in margins]
    sides = zip(reversed(before), reversed(margins), strict=True)  # the last axis first
    padding = [width for low, margin in sides for width in (low, margin - low)]
    inside = images * head
    x = F.pad(torch.cat([inside, inside.square(), head[None]])[None], padding)
    whole = x.shape[2:]
    i, j, k = (slice(low, low + edge) for low, edge in zip(before, size, strict=True))
    for level in range(levels):
        x = _smoothed(x)
        full = F.interpolate(x, size=whole, mode="trilinear")[0] if level else x[0]
        sums = full[:, i, j, k].flatten(1).index_select(1, there)
        mean, square = (sums[:-1] / sums[-1:].clamp(min=EMPTY)).split(count)
        deviation = ((square - mean.square()).clamp(min=0) + LEAST**2).sqrt()
        found += [mean, deviation, sums[-1:]]
        halves = tuple(2 if edge > 1 else 1 for edge in x.shape[2:])
        x = F.avg_pool3d(x, halves, ceil_mode=True, count_include_pad=False)
    return torch.cat(found), head


def owners_of(count: int, levels: int, ranks: bool) -> list[int | None]:
    """Which of so many images each term is of: the images, their ranks, then at every scale
    their means and deviations, and the share of head, which is of none."""
    images = list(range(count))
    scale = [*images, *images, None]
    return [*images, *(images if ranks else ()), *scale * levels]


def places_of(head: Bool[Tensor, "i j k"]) -> Float[Tensor, "3 v"]:
    """Of every voxel of the head in its box, from -1 to 1 along every axis; along the first, which
    goes from side to side, without its sign, so that a mirrored head has the same."""
    at = head.nonzero().T.float()
    low, high = at.amin(1, keepdim=True), at.amax(1, keepdim=True)
    place = (2 * at - low - high) / (high - low).clamp(min=1)
    return torch.cat([place[:1].abs(), place[1:]])


def _ranks(values: Float[Tensor, "v"]) -> Float[Tensor, "v"]:
    """The share of them that is less, equal ones by half."""
    ordered, order = values.sort()
    _, place, counts = ordered.unique_consecutive(return_inverse=True, return_counts=True)
    middle = (counts.cumsum(0) - counts / 2) / max(1, len(values))
    return torch.empty_like(values).scatter_(0, order, middle.to(values)[place])


def _smoothed(x: Float[Tensor, "1 c i j k"]) -> Float[Tensor, "1 c i j k"]:
    """Weights 1 2 1 along every axis; beyond the border is 0."""
    for axis in (2, 3, 4):
        inner, wide = x.shape[axis] - 1, 2 * x
        wide.narrow(axis, 1, inner).add_(x.narrow(axis, 0, inner))
        wide.narrow(axis, 0, inner).add_(x.narrow(axis, 1, inner))
        x = wide
    return x / 64
