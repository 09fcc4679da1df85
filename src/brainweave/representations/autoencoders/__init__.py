"""Autoencoders: learned maps from volumes to latents, a few numbers per block of voxels, and back.

A new one is a frozen `AutoencoderConfig` that builds an `Autoencoder`; padding, cropping, memory
bounds, training, `encode`, `doctor` and latent recipes come with it.
"""

from brainweave.representations.autoencoders.base import (
    Autoencoder,
    AutoencoderConfig,
    Reconstruction,
)
from brainweave.representations.autoencoders.kl import AutoencoderKL, AutoencoderKLConfig
from brainweave.representations.autoencoders.wavelet_flow import WaveletFlow, WaveletFlowConfig
from brainweave.representations.autoencoders.wavelet_fusion import (
    WaveletFusion,
    WaveletFusionConfig,
)

__all__ = [
    "Autoencoder",
    "AutoencoderConfig",
    "AutoencoderKL",
    "AutoencoderKLConfig",
    "Reconstruction",
    "WaveletFlow",
    "WaveletFlowConfig",
    "WaveletFusion",
    "WaveletFusionConfig",
]
