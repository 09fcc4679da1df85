"""The patch discriminator: which parts of a volume look made rather than real."""

from collections.abc import Iterator
from contextlib import contextmanager

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from brainweave.compression import Adversary

RISE = 0.05  # share of the run over which its weight rises

Volumes = Float[Tensor, "b 1 i j k"]
Answers = Float[Tensor, "b 1 _ _ _"]


class Discriminator(nn.Module):
    """PatchGAN in 3D (arXiv:1611.07004) without normalisation of activations, so that an answer
    depends on its patch alone, whatever the size of the volume and of the batch.

    Every layer is divided by the largest singular value of its kernels (spectral normalisation,
    arXiv:1802.05957): its slope is bounded, so that what it says to the autoencoder stays of the
    size of the other terms under one fixed weight, and unlike a penalty of the gradient this needs
    no second derivative. Kernels of 4 with stride 2 reach every voxel equally often; those of 3
    would print their grid onto what comes back.
    """

    def __init__(self, config: Adversary) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, width = 1, config.width
        for _ in range(config.layers):
            layers += [spectral_norm(nn.Conv3d(inputs, width, 4, 2, 1)), nn.LeakyReLU(0.2)]
            inputs, width = width, min(2 * width, 8 * config.width)
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv3d(inputs, 1, 3, padding=1)))

    def forward(self, volume: Volumes) -> Answers:
        """Near 1 for real, near 0 for made."""
        return self.layers(volume)


def caught(real: Answers, made: Answers) -> Float[Tensor, "b"]:
    """The discriminator's loss, least squares (arXiv:1611.04076, eq. 2 with a = 0, b = 1)."""
    return ((real - 1).square().flatten(1).mean(1) + made.square().flatten(1).mean(1)) / 2


def fooling(made: Answers) -> Float[Tensor, "b"]:
    """The autoencoder's (c = 1): it vanishes where the discriminator is fooled."""
    return (made - 1).square().flatten(1).mean(1)


def strength(step: int, total: int, start: float) -> float:
    """From 0 to 1 on a line over `RISE` of the run after the share `start` of it."""
    return min(1.0, max(0.0, (step / total - start) / RISE))


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """While gradients go through it to what it looks at."""
    module.eval().requires_grad_(False)
    try:
        yield
    finally:
        module.train().requires_grad_(True)
