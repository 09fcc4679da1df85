"""Free-form deformations: smooth displacements, cubic B-splines of a coarse grid of control points
(Rueckert et al. 1999, doi:10.1109/42.796284), which are zero on the border of a volume.

`BOUND` keeps them invertible. With control points s or more apart, each moved by at most d along
every axis, the absolute values of a row of the displacement's gradient add up to at most K d / s,
where K = max_x sum_k |sum_a ∂_a B_k(x)| = 2.4795 over the splines B_k of unit spacing (Choi and Lee
2000, doi:10.1006/gmod.2000.0531). Where K d / s < 1 the displacement u is a contraction in the
maximum norm: x + u(x) maps no two points to one, and its Jacobian determinant is at least
(1 - K d / s)^3 > 0. The bound is sharp: some control points reach a determinant of 1 - K d / s.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

BOUND = 0.4  # of d / s, below 1 / K = 0.4033


def control_points(
    shape: tuple[int, ...], *, spacing: float, largest: float, random: torch.Generator
) -> Float[Tensor, "a b c 3"]:
    """Displacements in voxels, uniform up to `largest` along each axis, of the control points
    inside a volume. They stand evenly between its borders, 1 to 1.5 times `spacing` apart.

    An edge shorter than two spacings has one, in its middle; `largest` then shrinks as the
    distances do.
    """
    intervals = [max(2, math.floor((edge - 1) / spacing)) for edge in shape]
    nearest = min((edge - 1) / count for edge, count in zip(shape, intervals, strict=True))
    inside = [count - 1 for count in intervals]
    drawn = 2 * torch.rand(*inside, 3, generator=random, dtype=torch.float64) - 1
    return largest * min(1.0, nearest / spacing) * drawn


def displacement(
    control: Float[Tensor, "a b c 3"], shape: tuple[int, ...]
) -> Float[Tensor, "i j k 3"]:
    """What the control points inside a volume move each of its voxels by, zero on its border."""
    i, j, k = (
        _splines(edge, inside + 1).to(control)
        for edge, inside in zip(shape, control.shape[:3], strict=True)
    )
    moved = torch.einsum("kc,abcx->abkx", k, control)
    moved = torch.einsum("jb,abkx->ajkx", j, moved)
    return torch.einsum("ia,ajkx->ijkx", i, moved)


def _splines(edge: int, intervals: int) -> Float[Tensor, "n inside"]:
    """Every inner control point's weight at each voxel; those beyond a border mirror it negated."""
    voxels = torch.linspace(0, intervals, edge, dtype=torch.float64)
    weights = _cubic((voxels[:, None] - torch.arange(-1, intervals + 2)).abs())
    inside = weights[:, 2:-2].clone()
    inside[:, 0] -= weights[:, 0]
    inside[:, -1] -= weights[:, -1]
    return inside


def _cubic(distance: Tensor) -> Tensor:
    """The cubic B-spline."""
    return ((2 - distance).clamp_min(0) ** 3 - 4 * (1 - distance).clamp_min(0) ** 3) / 6
