"""How alike two brains are beyond what all brains share: correlations of residuals.

arXiv:2305.07644 correlates whole volumes; registered brains do at 0.9 whoever they are, so the mean
brain is removed and only voxels of brain are looked at.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

Volumes = Float[np.ndarray, "n i j k"]

INSIDE = 0.05  # of the mean brain's brightest voxel: brain
_ROWS = 256  # volumes compared at once


@dataclass(frozen=True)
class Frame:
    """A mean brain and where it is brain."""

    mean: Float[np.ndarray, "i j k"]
    mask: Bool[np.ndarray, "i j k"]

    @classmethod
    def of(cls, volumes: Volumes) -> "Frame":
        """The frame of some volumes."""
        mean = volumes.mean(0, dtype=np.float64)
        return cls(mean, mean > INSIDE * mean.max())

    def residuals(self, volumes: Volumes) -> Float[np.ndarray, "n v"]:
        """Rows of mean 0 and norm 1 whose products are correlations; 0 for the mean brain."""
        rows = (volumes[:, self.mask] - self.mean[self.mask]).astype(np.float32)
        rows -= rows.mean(1, keepdims=True)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
        return rows

    def correlations(
        self, volumes: Volumes, others: Float[np.ndarray, "m i j k"]
    ) -> Float[np.ndarray, "n m"]:
        """Residual correlation of each with each, of the volume or its mirror image, the larger."""
        shown = self.residuals(others).T
        found = []
        for start in range(0, len(volumes), _ROWS):
            some = volumes[start : start + _ROWS]
            mirrored = self.residuals(some[:, ::-1]) @ shown
            found.append(np.maximum(self.residuals(some) @ shown, mirrored))
        return np.concatenate(found).astype(np.float64).clip(-1, 1)
