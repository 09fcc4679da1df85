"""Intensities like those of another volume: a monotone map between two histograms."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.data.files import sha256
from brainweave.data.volume import Volume
from brainweave.errors import VolumeError
from brainweave.toning import straight

PERCENTILES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.9)


@dataclass(frozen=True)
class Histogram:
    """PERCENTILES of the voxels above 0 of the volume at `path`, and its SHA-256."""

    path: Path
    values: Float[np.ndarray, "n"]
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "Histogram":
        """Raises VolumeError for a volume that is unreadable or has one intensity."""
        values = percentiles(Volume.load(path).data)
        if not values[0] < values[-1]:
            raise VolumeError(f"{path}: has no two intensities above 0 to match; give another")
        return cls(path, values, sha256(path))


def matched(data: Float[Tensor, "i j k"], like: Histogram) -> Float[Tensor, "i j k"]:
    """`data` with the histogram of another volume; what is 0 or less becomes 0.

    Linear between the percentiles of its voxels above 0, and on beyond the outer ones.
    Raises VolumeError where all of those are equal.
    """
    source, places, ties = np.unique(percentiles(data), return_inverse=True, return_counts=True)
    if len(source) < 2:
        raise VolumeError(f"has one intensity above 0: nothing to match to {like.path}")
    wanted = np.bincount(places, weights=like.values) / ties
    mapped = straight(data.double(), torch.from_numpy(source), torch.from_numpy(wanted))
    return torch.where(data > 0, mapped.clamp(min=0), 0.0).float()


def percentiles(data: Float[Tensor, "i j k"]) -> Float[np.ndarray, "n"]:
    """PERCENTILES of the voxels above 0. Raises VolumeError where there is none."""
    values = data.numpy()
    values = values[values > 0]
    if not values.size:
        raise VolumeError("no voxel is above 0: there is no histogram")
    return np.percentile(values.astype(np.float64), PERCENTILES)
