"""An autoencoder whose latents are known: Haar coefficients and one variance for all."""

import torch
from torch import Tensor, nn

from brainweave.representations.autoencoders import Autoencoder, AutoencoderConfig
from brainweave.representations.haar import haar_kernels


class LinearConfig(AutoencoderConfig):
    """latents: Haar subbands; log_variance: of all of them."""

    latent_channels: int = 8
    log_variance: float = -8.0

    @property
    def factors(self) -> tuple[int, int, int]:
        return 2, 2, 2

    def build(self) -> "Linear":
        return Linear(self)


class Linear(Autoencoder):
    def __init__(self, config: LinearConfig) -> None:
        super().__init__()
        self.config = config
        self.kernels = nn.Parameter(haar_kernels(1).float())

    def moments(self, x: Tensor, memory: int) -> tuple[Tensor, Tensor]:
        mu = nn.functional.conv3d(x, self.kernels, stride=2)
        return mu, torch.full_like(mu, self.config.log_variance)

    def volumes(self, z: Tensor, memory: int) -> Tensor:
        return nn.functional.conv_transpose3d(z, self.kernels, stride=2)
