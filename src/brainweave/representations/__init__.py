"""Where a process works: voxels, Haar wavelets, the latents of an autoencoder."""

from brainweave.representations.base import Representation
from brainweave.representations.haar import SUBBANDS, Haar, haar_kernels
from brainweave.representations.latent import Latent
from brainweave.representations.voxel import Voxel

__all__ = ["SUBBANDS", "Haar", "Latent", "Representation", "Voxel", "haar_kernels"]
