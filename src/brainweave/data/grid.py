"""Grids: where the voxels of a volume lie in millimetres, and how that changes with them.

A new change of geometry is one method of `Grid` that returns the grid after it.
"""

import math
from itertools import permutations, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import field_validator

from brainweave.errors import VolumeError
from brainweave.part import Part

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]
Row = tuple[float, float, float, float]

APART = 1e-2  # mm; affines of one grid differ less
_LETTERS = ("LR", "PA", "IS")  # towards lower and higher x, y, z
ORIENTATIONS = frozenset(
    "".join(letters) for pairs in permutations(_LETTERS) for letters in product(*pairs)
)


class Route(NamedTuple):
    """How voxel axes are rearranged: axis a of the result is axis order[a], `flips` reversed."""

    order: tuple[int, int, int]
    flips: tuple[int, ...]


class Grid(Part):
    """The geometry of a volume as a value; `affine` maps voxel indices to mm, x y z = R A S.

    Raises VolumeError for an affine that cannot be inverted or an empty shape.
    """

    shape: Shape
    affine: tuple[Row, Row, Row, Row]

    @classmethod
    def of(cls, shape: Shape, matrix: Float[np.ndarray, "4 4"]) -> "Grid":
        """The grid with this shape and affine matrix (kept bit for bit)."""
        require_affine(matrix)
        return cls(shape=shape, affine=tuple(tuple(row) for row in matrix.tolist()))

    @field_validator("shape")
    @classmethod
    def _is_not_empty(cls, shape: Shape) -> Shape:
        if min(shape) < 1:
            raise VolumeError(f"shape {shape} is empty; every axis needs at least one voxel")
        return shape

    @field_validator("affine")
    @classmethod
    def _is_invertible(cls, affine: tuple[Row, ...]) -> tuple[Row, ...]:
        require_affine(np.array(affine))
        return affine

    @property
    def matrix(self) -> Float[np.ndarray, "4 4"]:
        """The affine as a float64 matrix."""
        return np.array(self.affine, dtype=np.float64)

    @property
    def spacing(self) -> Spacing:
        """Voxel edges in mm along the array's axes."""
        i, j, k = np.linalg.norm(self.matrix[:3, :3], axis=0).tolist()
        return i, j, k

    @property
    def orientation(self) -> str:
        """The nearest of the 48 codes: "RAS" if indices grow to the right, front and top."""
        return orientation_of(self.matrix)

    def matches(self, other: "Grid") -> bool:
        """Whether voxels of one lie on those of the other, to a hundredth of a millimetre."""
        return self.shape == other.shape and bool(np.abs(self.matrix - other.matrix).max() < APART)

    def oriented(self, code: str) -> "Grid":
        """The same voxels after flips and a permutation of the axes to `code`."""
        order, flips = route(self.orientation, code)
        change = np.eye(4)[:, [*order, 3]]
        for axis in flips:
            change[:, axis] *= -1
            change[order[axis], 3] = self.shape[order[axis]] - 1
        i, j, k = (self.shape[axis] for axis in order)
        return Grid.of((i, j, k), self.matrix @ change)

    def resampled(self, spacing: Spacing, *, tolerance: float = 1e-4) -> "Grid":
        """The grid with this spacing, the same centre and directions and nearest extent.

        An axis that has the spacing within `tolerance` (mm) is left as it is.
        """
        change, shape = np.eye(4), list(self.shape)
        for axis, (old, new) in enumerate(zip(self.spacing, spacing, strict=True)):
            if abs(old - new) > tolerance:
                shape[axis] = max(1, round(self.shape[axis] * old / new))
                change[axis, axis] = new / old
                change[axis, 3] = (self.shape[axis] - 1 - (shape[axis] - 1) * new / old) / 2
        return Grid.of((shape[0], shape[1], shape[2]), self.matrix @ change)

    def framed(self, shape: Shape, start: tuple[int, int, int] | None = None) -> "Grid":
        """The grid after cropping or padding to `shape`, about its middle or from index `start`."""
        change = np.eye(4)
        change[:3, 3] = middle(self.shape, shape) if start is None else start
        return Grid.of(shape, self.matrix @ change)


def middle(old: Shape, new: Shape) -> tuple[int, int, int]:
    """The old index of the first voxel of a new shape about the same middle."""
    i, j, k = (first(before, after) for before, after in zip(old, new, strict=True))
    return i, j, k


def first(old: int, new: int) -> int:
    """The old index of the first new voxel: positive where cropped, negative where padded."""
    return (old - new) // 2 if old > new else -((new - old) // 2)


def spelled(edges: Shape) -> str:
    """Such as "4 x 4 x 2", or "4" where all are alike."""
    return str(edges[0]) if len(set(edges)) == 1 else " x ".join(map(str, edges))


def route(source: str, target: str) -> Route:
    """How axes with orientation `source` become axes with orientation `target`."""
    axis_of = {letter: axis for axis, letter in enumerate(source)}
    opposite = {pair[i]: pair[1 - i] for pair in _LETTERS for i in (0, 1)}
    i, j, k = (axis_of.get(letter, axis_of.get(opposite[letter], -1)) for letter in target)
    return Route((i, j, k), tuple(a for a, letter in enumerate(target) if letter not in axis_of))


def orientation_of(matrix: Float[np.ndarray, "4 4"]) -> str:
    """The orientation code nearest to an affine, by the rotation nearest to its directions."""
    directions = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    left, _, right = np.linalg.svd(directions)
    rotation = left @ right
    code = ["", "", ""]
    for axis in np.argsort(-np.abs(rotation).max(axis=0), kind="stable"):
        world = int(np.argmax(np.abs(rotation[:, axis])))
        code[axis] = _LETTERS[world][int(rotation[world, axis] > 0)]
        rotation[world] = 0
    return "".join(code)


def require_affine(matrix: np.ndarray, name: str = "affine") -> None:
    """Raises VolumeError unless the matrix is a finite, invertible map from voxels to mm."""
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise VolumeError(f"the {name} holds NaN or infinity or is not 4 x 4; repair the geometry")
    if matrix[3].tolist() != [0, 0, 0, 1]:
        raise VolumeError(f"the last row of the {name} is {matrix[3]}, it must be 0 0 0 1")
    edges = np.linalg.norm(matrix[:3, :3], axis=0)
    volume = abs(float(np.linalg.det(matrix[:3, :3] / np.maximum(edges, 1e-6))))
    if edges.min() < 1e-6 or volume < 1e-4 or not math.isfinite(volume):
        raise VolumeError(
            f"the {name} is singular (voxel edges {np.round(edges, 6).tolist()} mm): "
            "it gives no position to voxels; repair the geometry"
        )
