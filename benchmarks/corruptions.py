"""Known damage to real brains, to see whether evaluation notices and names it."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates, shift

Corruption = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # [i j k] raw, background 0
TOP = 250.0  # raw intensity of the brightest brain


def blur(volume: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Gaussian of 0.8 voxel."""
    return gaussian_filter(volume, 0.8)


def noise(volume: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """0.03 of the brightest, inside the brain."""
    return np.where(
        volume > 0, np.maximum(volume + random.normal(0, 0.03 * TOP, volume.shape), 1), 0
    )


def brighter(volume: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """All intensities times 1.05."""
    return volume * 1.05


def jitter(volume: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Every axial slice moved in its plane by half a voxel of standard deviation."""
    moved = [
        shift(volume[..., k], random.normal(0, 0.5, 2), order=1) for k in range(volume.shape[2])
    ]
    return np.stack(moved, axis=2)


def checkerboard(volume: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """0.02 of the brightest, its sign changing from voxel to voxel, inside the brain."""
    wave = 1 - 2 * (np.indices(volume.shape).sum(0) % 2)
    return np.where(volume > 0, np.maximum(volume + 0.02 * TOP * wave, 1), 0)


def ventricles(centre: tuple[float, float, float], grow: float = 1.5) -> Corruption:
    """Enlarges what surrounds `centre` (voxels) by a smooth radial warp, as hydrocephalus would."""

    def warp(volume: np.ndarray, _: np.random.Generator) -> np.ndarray:
        grid = np.indices(volume.shape).astype(np.float64)
        away = grid - np.array(centre)[:, None, None, None]
        radius = np.sqrt((away**2).sum(0))
        pull = 1 - (1 - 1 / grow) * np.exp(-((radius / 15) ** 2))  # 15 voxels: the brain's middle
        return map_coordinates(volume, np.array(centre)[:, None, None, None] + away * pull, order=1)

    return warp


def larger(volume: np.ndarray, _: np.random.Generator, factor: float = 1.04) -> np.ndarray:
    """The head as a whole, about its middle."""
    middle = (np.array(volume.shape) - 1) / 2
    return affine_transform(volume, np.eye(3) / factor, offset=middle - middle / factor, order=1)


VOXELWISE: dict[str, Corruption] = {
    "blur 0.8 voxel": blur,
    "noise 0.03": noise,
    "intensity x1.05": brighter,
    "slice jitter": jitter,
    "checkerboard": checkerboard,
}
