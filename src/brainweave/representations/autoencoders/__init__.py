"""Autoencoders: learned maps from volumes to latents, a few numbers per block of voxels, and back.

A new one is a frozen `AutoencoderConfig` that builds an `Autoencoder`; padding, cropping, memory
bounds, training, `encode`, `doctor` and latent recipes come with it.
"""

from brainweave.representations.autoencoders.base import (
    Autoencoder,
    AutoencoderConfig,
    Reconstruction,
)

__all__ = ["Autoencoder", "AutoencoderConfig", "Reconstruction"]
