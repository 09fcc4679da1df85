"""Where a process works: voxels, Haar wavelets."""

from brainweave.representations.base import Representation
from brainweave.representations.haar import SUBBANDS, Haar, haar_kernels
from brainweave.representations.voxel import Voxel

__all__ = ["SUBBANDS", "Haar", "Representation", "Voxel", "haar_kernels"]
