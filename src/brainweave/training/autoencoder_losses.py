"""What is wrong with volumes that come back: means, so that no weight depends on their size."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.representations.autoencoders import Reconstruction
from brainweave.representations.haar import analyse

SCALES = 3  # of detail: the volume, its half and its quarter

Volumes = Float[Tensor, "b c i j k"]
PerVolume = Float[Tensor, "b"]


def absolute(made: Volumes, real: Volumes) -> PerVolume:
    """The mean absolute error."""
    return _mean(made - real)


def divergence(passed: Reconstruction) -> PerVolume:
    """KL(N(mu, sigma) || N(0, 1)) in nats per number of the latents (arXiv:1312.6114, appendix B).

    MAISI and MONAI sum over the numbers: their weight times how many there are is ours.
    """
    mu, sigma = passed.mu.float(), passed.sigma.float()
    each = (mu.square() + sigma.square() - 1) / 2 - sigma.log()
    return each.flatten(1).mean(1)


def of_wavelets(pairs: Sequence[tuple[Tensor, Tensor]], voxels: int) -> PerVolume:
    """The wavelet loss of WF-VAE (L_WL of arXiv:2411.17459): the sum of |encoder's - decoder's|
    coefficients of all levels over the number of voxels of a volume."""
    apart = [(theirs.float() - ours.float()).abs().flatten(1).sum(1) for theirs, ours in pairs]
    return torch.stack(apart).sum(0) / voxels


def of_detail(made: Volumes, real: Volumes) -> PerVolume:
    """A perceptual term that needs no network: the mean absolute error of what is seen as
    sharpness, the differences of neighbours and the seven high bands of the Haar transform, at the
    scales of the volume, its half and its quarter, in the unit of voxels.

    Differences of neighbours and bands are both needed: bands look at every other pair of them.
    """
    error, terms = (made - real).float(), []
    for _ in range(SCALES):
        if min(error.shape[2:]) < 2:
            break
        steps = [_mean(error.diff(dim=axis)) for axis in (2, 3, 4)]
        bands = analyse(_even(error))
        low, high = bands.tensor_split([error.shape[1]], dim=1)
        terms += [torch.stack(steps).mean(0), _mean(high)]
        error = low / 8**0.5  # means of two voxels along each axis
    return torch.stack(terms).mean(0)


def _even(x: Volumes) -> Tensor:
    """Without the last slice where there is an odd number."""
    i, j, k = (edge - edge % 2 for edge in x.shape[2:])
    return x[:, :, :i, :j, :k]


def _mean(x: Tensor) -> PerVolume:
    return x.float().abs().flatten(1).mean(1)
