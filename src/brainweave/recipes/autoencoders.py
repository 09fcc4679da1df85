"""Autoencoders: volumes to latents, of 4^3 voxels 4 numbers each, and back."""

from brainweave.compression import Adversary, AutoencoderRecipe, AutoencoderTraining
from brainweave.data.augment import Augment
from brainweave.data.intensity import Percentiles
from brainweave.data.preprocess import Preprocess
from brainweave.representations.autoencoders.kl import AutoencoderKLConfig
from brainweave.representations.autoencoders.wavelet_flow import WaveletFlowConfig

RANGE = Percentiles(lower=0, upper=99.8, low=-1, high=1)


def wfvae(targets: tuple[str, ...] = ("t1w",)) -> AutoencoderRecipe:
    """Our wavelet-flow autoencoder at full resolution, patches first, for a GPU."""
    return AutoencoderRecipe(
        name="wfvae",
        source="after WF-VAE (arXiv:2411.17459): isotropic, not causal, flows at every level",
        targets=targets,
        preprocess=Preprocess(shape=(160, 192, 160), intensity=RANGE),
        autoencoder=WaveletFlowConfig(widths=(96, 192), flow=32),
        training=AutoencoderTraining(
            steps=100_000,
            batch=4,
            lr=2e-4,
            lr_end=2e-6,
            warmup=1000,
            betas=(0.9, 0.99),
            ema=0.9995,
            precision="bf16",
            patch=(96, 96, 96),
            whole_from=0.9,
            kl=1e-3,
            wavelet=0.1,  # the best of 0.01 to 0.5 in table 4 of the paper
            perceptual=0.3,
            adversarial=0.02,
            adversarial_from=0.5,
            validate_every=5000,
            save_every=1000,
            augment=Augment(flip=0.5),
        ),
    )


def wfvae_2mm(targets: tuple[str, ...] = ("t1w",), steps: int = 3000) -> AutoencoderRecipe:
    """Our wavelet-flow autoencoder at 2 mm, trained on two CPU cores in half an hour."""
    return AutoencoderRecipe(
        name="wfvae_2mm",
        source="after WF-VAE (arXiv:2411.17459), small",
        targets=targets,
        preprocess=Preprocess(shape=(80, 96, 80), spacing=(2.0, 2.0, 2.0), intensity=RANGE),
        autoencoder=WaveletFlowConfig(widths=(32, 64), flow=16),
        training=AutoencoderTraining(
            steps=steps,
            batch=2,
            lr=4e-4,
            lr_end=4e-6,
            warmup=100,
            betas=(0.9, 0.99),
            ema=0.995,
            precision="bf16",
            patch=(48, 48, 48),
            kl=1e-3,
            wavelet=0.1,
            perceptual=0.3,
            validate_every=500,
            save_every=100,
            augment=Augment(flip=0.5),
        ),
    )


def kl_2mm(targets: tuple[str, ...] = ("t1w",), steps: int = 3000) -> AutoencoderRecipe:
    """The autoencoder of latent diffusion at 2 mm, as large and as long as wfvae_2mm."""
    return wfvae_2mm(targets, steps).replace(
        name="kl_2mm",
        source="the autoencoder of latent diffusion (arXiv:2112.10752) in 3D, small",
        autoencoder=AutoencoderKLConfig(widths=(24, 48, 96), blocks=1, groups=8),
    )


def maisi_vae(targets: tuple[str, ...] = ("t1w",)) -> AutoencoderRecipe:
    """MAISI's autoencoder and losses on patches of 64^3 voxels, for a GPU."""
    return AutoencoderRecipe(
        name="maisi_vae",
        source="MAISI (arXiv:2409.11169)",
        targets=targets,
        preprocess=Preprocess(
            shape=(160, 192, 160), intensity=Percentiles(lower=0, upper=99.5, low=0, high=1)
        ),
        autoencoder=AutoencoderKLConfig(widths=(64, 128, 256), upsample="trilinear"),
        training=AutoencoderTraining(
            steps=100_000,
            batch=4,
            lr=1e-4,
            lr_end=1e-6,
            ema=0.999,
            precision="bf16",
            patch=(64, 64, 64),
            kl=1e-7 * 4 * 16**3,  # 1e-7 of the sum over the latents of such a patch
            wavelet=0.0,
            perceptual=0.3,
            adversarial=0.1,
            adversarial_from=0.0,
            adversary=Adversary(width=32, layers=3),
            validate_every=5000,
            save_every=1000,
            augment=Augment(flip=0.5, affine=0.5, intensity=0.5),
        ),
    )


def vae_tiny(targets: tuple[str, ...] = ("t1w",), steps: int = 100) -> AutoencoderRecipe:
    """A toy for tests and phantoms at 5 mm, of 2^3 voxels 4 numbers, trained in seconds."""
    return AutoencoderRecipe(
        name="vae_tiny",
        source="a toy after arXiv:2411.17459",
        targets=targets,
        preprocess=Preprocess(shape=(32, 40, 32), spacing=(5.0, 5.0, 5.0), intensity=RANGE),
        autoencoder=WaveletFlowConfig(widths=(24,), flow=8),
        training=AutoencoderTraining(
            steps=steps,
            batch=2,
            lr=1e-3,
            lr_end=1e-5,
            warmup=10,
            betas=(0.9, 0.99),
            ema=0.95,
            kl=1e-3,
            wavelet=0.1,
            validate_every=50,
            save_every=50,
            augment=Augment(flip=0.5),
        ),
        licence="CC0-1.0 (made of phantoms)",
    )
