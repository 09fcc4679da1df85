"""Implicit shapes: depths in mm, positive inside, at points in mm; sums of plane waves.

A new shape is a function from points to depths, exact at its surface to first order.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Points = Float[Tensor, "3 n"]
Depth = Float[Tensor, " n"]
Waves = Float[Tensor, "4 _"]  # phases and wave vectors of plane waves
Number = float | int
Triple = tuple[Number, Number, Number]


def ellipsoid(p: Points, centre: Triple, radii: Triple) -> Depth:
    """The depth in an ellipsoid with axes along x, y, z."""
    offset = (p - p.new_tensor(centre)[:, None]) / p.new_tensor(radii)[:, None]
    slope = (offset / p.new_tensor(radii)[:, None]).square().sum(dim=0).sqrt()
    return (1 - offset.square().sum(dim=0)) / (2 * slope).clamp_min(1 / max(radii))


def capsule(p: Points, ends: tuple[Triple, Triple], radii: tuple[Number, Number]) -> Depth:
    """The depth in a tube between two points whose radius changes linearly."""
    start, end = p.new_tensor(ends)
    axis = end - start
    offset = p - start[:, None]
    along = (axis @ offset / axis.square().sum()).clamp(0, 1)
    distance = (offset - axis[:, None] * along).square().sum(dim=0).sqrt()
    return radii[0] + (radii[1] - radii[0]) * along - distance


def sheet(across: Depth, beyond: Sequence[Depth]) -> Depth:
    """The distance to the surface `across` = 0 where it ends as one of `beyond` gets positive."""
    squared = across.square()
    for excess in beyond:
        squared = squared + excess.clamp_min(0).square()
    return squared.sqrt()


def union(a: Depth, b: Depth, fillet: float) -> Depth:
    """The larger depth, rounded over about `fillet` mm where both are alike."""
    blend = (fillet - (a - b).abs()).clamp_min(0) / fillet
    return torch.maximum(a, b) + blend.square() * (fillet / 4)


def both(*depths: Depth) -> Depth:
    """The depth in what several shapes have in common."""
    least, *others = depths
    for depth in others:
        least = torch.minimum(least, depth)
    return least


def waves(count: int, length: float, generator: torch.Generator) -> Waves:
    """Plane waves of random phases and directions, with wavelengths near `length` mm."""
    direction = torch.randn(3, count, generator=generator)
    direction = direction / direction.norm(dim=0)
    stretch = 0.8 + 0.4 * torch.rand(count, generator=generator)
    phase = 2 * math.pi * torch.rand(1, count, generator=generator)
    return torch.cat([phase, direction * stretch * (2 * math.pi / length)])


def field(waves: Waves, p: Points) -> Float[Tensor, " n"]:
    """The sum of plane waves: a smooth random field of mean 0 and variance 1."""
    angle = waves[1:].T @ p + waves[0][:, None]
    return angle.cos_().sum(dim=0) * math.sqrt(2 / waves.shape[1])


def to_zero(waves: Waves, p: Points) -> Depth:
    """The distance to the nearest zero of the field of `waves`, to first order."""
    angle = waves[1:].T @ p + waves[0][:, None]
    value = angle.cos().sum(dim=0)
    slope = waves[1:] @ angle.sin_()
    least = 0.1 * float(waves[1:].square().sum())  # keeps the distance finite at extrema
    return value.abs() / (slope.square().sum(dim=0) + least).sqrt()
