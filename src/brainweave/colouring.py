"""Fields that are correlated over places: as given ones are, as a Gaussian, as others tell."""

import math
from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

RIDGE = 1e-3  # of the mean square of what is looked at
LEAST = 0.15  # of a channel's: places that differ less than this say nothing about correlations


def colouring(
    fields: Float[Tensor, "n c i j k"], deviation: Float[Tensor, "c i j k"], reach: int
) -> Float[Tensor, "c c r r r"]:
    """The kernel whose convolution with white noise has the correlations of `fields`, each divided
    by its standard deviation there, over at most `reach` places along each axis.

    It is the root of their spectrum: a matrix of channels at every frequency, of correlations that
    a raised cosine takes to 0 beyond the reach. What comes out has unit variance.
    """
    usual = deviation.square().mean((1, 2, 3), keepdim=True).sqrt()
    there = deviation > LEAST * usual
    unit = torch.where(there, fields / deviation.clamp(min=1e-12), 0.0)
    channels, size = len(deviation), 4 * reach + 2
    lags = torch.zeros(channels, channels, size, size, size, dtype=torch.float64)
    window = range(-reach, reach + 1)
    steps = list(product(window, window, window))
    for step in steps:
        seen = _moved(unit, step) @ _moved(unit, _back(step)).T / len(fields)
        count = _moved(there[None].float(), step) @ _moved(there[None].float(), _back(step)).T
        taper = torch.tensor(step).mul(torch.pi / (reach + 1)).cos().add(1).div(2).prod()
        i, j, k = (s % size for s in step)
        lags[:, :, i, j, k] = taper * seen / count.clamp(min=1)
    spectrum = torch.fft.fftn(lags, dim=(2, 3, 4)).permute(2, 3, 4, 0, 1)
    values, vectors = torch.linalg.eigh((spectrum + spectrum.mH) / 2)
    root = (vectors * values.clamp(min=0).sqrt()[..., None, :]) @ vectors.mH
    filters = torch.fft.ifftn(root.permute(3, 4, 0, 1, 2), dim=(2, 3, 4)).real
    kernel = torch.zeros(channels, channels, *(2 * reach + 1,) * 3, dtype=torch.float64)
    for step in steps:
        i, j, k = (s % size for s in step)
        x, y, z = (reach - s for s in step)
        kernel[:, :, x, y, z] = filters[:, :, i, j, k]
    length = kernel.square().sum((1, 2, 3, 4), keepdim=True).sqrt()
    return (kernel / length.clamp(min=1e-12)).float()


def following(
    seen: Float[Tensor, "n a i j k"], told: Float[Tensor, "n b i j k"], reach: int
) -> Float[Tensor, "b a r r r"]:
    """The kernel whose convolution with `seen`, 0 outside of the grid, is nearest to `told` by
    least squares; it looks at most `reach` places along each axis."""
    size, shape = 2 * reach + 1, seen.shape[2:]
    steps = list(product(range(size), repeat=3))
    count = seen.shape[1] * len(steps)
    left = torch.zeros(count, count, dtype=torch.float64)
    right = torch.zeros(count, told.shape[1], dtype=torch.float64)
    for x, y in zip(F.pad(seen, (reach,) * 6).double(), told.flatten(2).double(), strict=True):
        around = [x[:, i:, j:, k:][:, : shape[0], : shape[1], : shape[2]] for i, j, k in steps]
        columns = torch.stack(around, 1).flatten(0, 1).flatten(1)
        left += columns @ columns.T
        right += columns @ y.T
    left += RIDGE * left.diagonal().mean() * torch.eye(count, dtype=torch.float64)
    kernel = torch.linalg.solve(left, right).T
    return kernel.reshape(told.shape[1], seen.shape[1], size, size, size).float()


def fields(
    count: int, shape: Sequence[int], width: float, source: torch.Generator
) -> Float[Tensor, "n i j k"]:
    """Normal fields of unit variance that correlate as exp(-(d / 2 width)^2) over d places."""
    reach = math.ceil(4 * width)
    line = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * width**2))
    line = line / line.square().sum().sqrt()
    x = torch.randn(count, 1, *(edge + 2 * reach for edge in shape), generator=source)
    for axis in range(3):
        edges = [1, 1, 1, 1, 1]
        edges[2 + axis] = len(line)
        x = F.conv3d(x, line.view(edges))
    return x[:, 0]


def _moved(x: Float[Tensor, "n c i j k"], step: tuple[int, ...]) -> Float[Tensor, "c v"]:
    """x at place + step, of all places where both are on the grid."""
    for axis, s in enumerate(step, 2):
        x = x.narrow(axis, max(0, s), x.shape[axis] - abs(s))
    return x.transpose(0, 1).flatten(1)


def _back(step: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-s for s in step)
