"""Log-energies of Haar bands by octant: texture at 2 to 16 voxels, told apart by direction."""

from typing import Any

import numpy as np
from jaxtyping import Float

from brainweave.data.grid import Spacing
from brainweave.evaluation.extractors.base import Array, Extractor, Vector

LEVELS = 3
FLOOR = 1e-6  # energy of an intensity of 0.001, about what rounding to 8 bits leaves
_AXES = (0, 1, 2)
_BANDS = 7 * LEVELS + 1

Block = Float[np.ndarray, "_ _ _"]


class Wavelet(Extractor):
    """ln(1e-6 + mean square) of orthonormal Haar coefficients, for 22 bands in 8 octants: 176-d.

    Bands are named by the axes along which they are differences, so that jitter between slices and
    checkerboards each have their own. The floor is absolute: a volume 1.05 times as bright moves
    every energy by 2 ln 1.05. Scales and octants are those of the grid, in voxels, not mm.
    """

    name = "wavelet"
    dimension = 8 * _BANDS

    def __init__(self) -> None:
        self.preprocessing: dict[str, Any] = {
            "version": 1,
            "levels": LEVELS,
            "floor": FLOOR,
            "regions": "octants of the grid",
            "order": "octants fastest; levels from fine, bands k, j, jk, i, ik, ij, ijk, then sums",
        }

    def __call__(self, volume: Array, spacing: Spacing) -> Vector:
        """The features; sides are extended by repetition to multiples of 16 voxels."""
        missing = [(0, -edge % 2 ** (LEVELS + 1)) for edge in volume.shape]
        coarse = np.pad(volume, missing, mode="edge").astype(np.float64)
        energies = []
        for _ in range(LEVELS):
            coarse, *details = _bands(coarse)
            energies += [_octants(detail**2) for detail in details]
        energies.append(_octants(coarse**2))
        return np.log(FLOOR + np.concatenate(energies))


def _bands(x: Block) -> list[Block]:
    """One level: sums along all axes, then differences along k, j, jk, i, ik, ij, ijk."""
    bands = [x]
    for axis in _AXES:
        halves = [(np.take(b, range(s, b.shape[axis], 2), axis)) for b in bands for s in (0, 1)]
        pairs = zip(halves[::2], halves[1::2], strict=True)
        bands = [part for a, b in pairs for part in ((a + b) / 2**0.5, (a - b) / 2**0.5)]
    return bands


def _octants(energy: Block) -> Float[np.ndarray, "8"]:
    i, j, k = (edge // 2 for edge in energy.shape)
    return energy.reshape(2, i, 2, j, 2, k).mean(axis=(1, 3, 5)).ravel()
