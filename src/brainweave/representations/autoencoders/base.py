"""What every autoencoder looks like: a frozen config that builds a module."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from brainweave.errors import ShapeError
from brainweave.part import Part

LOG_VARIANCE = (-30.0, 20.0)  # of a latent, as in MONAI and WF-VAE

Shape = tuple[int, int, int]
Volumes = Float[Tensor, "b c _ _ _"]
Latents = Float[Tensor, "b z _ _ _"]


class Reconstruction(NamedTuple):
    """What training sees of a pass: the volumes that come back, where they went through, and the
    wavelet coefficients that encoder and decoder each hold, in pairs; none where there are none."""

    volume: Volumes
    mu: Latents
    sigma: Latents
    wavelets: tuple[tuple[Tensor, Tensor], ...] = ()


class AutoencoderConfig(Part, ABC):
    """An autoencoder as a value. in_channels: of a volume. latent_channels: of mu."""

    in_channels: int = Field(default=1, ge=1)
    latent_channels: int = Field(default=4, ge=1)

    @property
    @abstractmethod
    def factors(self) -> Shape:
        """Edges of a volume divided by those of its latents."""

    @abstractmethod
    def build(self) -> "Autoencoder":
        """The module, its weights random."""


class Autoencoder(nn.Module, ABC):
    """q(latent | volume), a normal distribution with mean mu and standard deviation sigma per
    number, and the volume that a latent means.

    Volumes of any size go in: they are padded at their ends with their last slices up to multiples
    of `config.factors`, and what comes back is cropped, if its shape is told.

    memory: a bound in bytes for what a pass keeps beside its input and output, 0: none. Within it
    the pass is the plain one, else convolutions run in slabs, with the same result (1e-5).
    """

    config: AutoencoderConfig
    blend: bool = True  # whether blended tiles may stand in where nothing exact fits

    def encode(self, x: Volumes, *, memory: int = 0) -> tuple[Latents, Latents]:
        """mu and sigma. Raises ShapeError for another number of channels."""
        if x.shape[1] != self.config.in_channels:
            raise ShapeError(
                f"a volume of {x.shape[1]} channels; the autoencoder takes "
                f"{self.config.in_channels}"
            )
        mu, log_variance = self.moments(self.padded(x), memory)
        return mu, _deviation(log_variance)

    def decode(self, z: Latents, *, shape: Shape | None = None, memory: int = 0) -> Volumes:
        """The volumes of latents; of the whole blocks of `factors`, or cropped to `shape`.

        Raises ShapeError for another number of channels or a shape that is not these blocks'.
        """
        if z.shape[1] != self.config.latent_channels:
            raise ShapeError(
                f"latents of {z.shape[1]} channels; the autoencoder has "
                f"{self.config.latent_channels}"
            )
        factors = self.config.factors
        whole = tuple(edge * f for edge, f in zip(z.shape[2:], factors, strict=True))
        i, j, k = shape or whole
        fits = (e - f < s <= e for e, f, s in zip(whole, factors, (i, j, k), strict=True))
        if not all(fits):
            raise ShapeError(f"latents of volumes of {whole} voxels cannot become {shape}")
        return self.volumes(z, memory)[:, :, :i, :j, :k]

    def reconstruct(self, x: Volumes, *, memory: int = 0) -> Float[Tensor, "b _ i j k"]:
        """Volumes through their mu and back, in their own shape."""
        i, j, k = x.shape[2:]
        return self.decode(self.encode(x, memory=memory)[0], shape=(i, j, k), memory=memory)

    def forward(self, x: Volumes, *, generator: torch.Generator | None = None) -> Reconstruction:
        """A pass in training: through one draw of the latents. Edges must be multiples of
        `config.factors`."""
        mu, log_variance = self.moments(x, 0)
        z, sigma = drawn(mu, log_variance, generator)
        return Reconstruction(self.volumes(z, 0), mu, sigma)

    @abstractmethod
    def moments(self, x: Volumes, memory: int) -> tuple[Latents, Latents]:
        """mu and the logarithm of sigma's square, unclamped; edges are multiples of `factors`."""

    @abstractmethod
    def volumes(self, z: Latents, memory: int) -> Volumes:
        """The volumes of latents, uncropped."""

    def padded(self, x: Volumes) -> Volumes:
        """Up to multiples of `config.factors`, by the last slices."""
        edges = zip(x.shape[2:], self.config.factors, strict=True)
        margins = [-edge % factor for edge, factor in edges]
        if not any(margins):
            return x
        i, j, k = margins
        return F.pad(x, (0, k, 0, j, 0, i), mode="replicate")


def drawn(
    mu: Latents, log_variance: Latents, generator: torch.Generator | None
) -> tuple[Latents, Latents]:
    """One draw of the latents, and sigma. The noise is drawn on the generator's device."""
    sigma = _deviation(log_variance)
    device = mu.device if generator is None else generator.device
    noise = torch.randn(mu.shape, generator=generator, device=device).to(mu)
    return mu + sigma * noise, sigma


def _deviation(log_variance: Latents) -> Latents:
    return (0.5 * log_variance.clamp(*LOG_VARIANCE)).exp()
