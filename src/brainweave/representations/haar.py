"""The orthonormal 3D Haar wavelet (packet) transform: its kernels do not overlap, so that sums and
differences of neighbours do, as exact on a GPU as on a CPU (a convolution would round to TF32)."""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from brainweave.errors import ShapeError
from brainweave.representations.base import Representation, exact, uncast

SUBBANDS = ("LLL", "LLH", "LHL", "LHH", "HLL", "HLH", "HHL", "HHH")  # letters follow axes i, j, k
ALL = (True, True, True)

Axes = tuple[bool, bool, bool]


class Haar(Representation):
    """8^levels subbands at 1 / 2^levels of the resolution, stacked as channels.

    Per axis low = (x0 + x1) / sqrt(2) and high = (x0 - x1) / sqrt(2); one level gives the order
    of `SUBBANDS` (arXiv:2601.05212). Every further level splits every subband again (a packet
    transform): channel 8 a + b of two levels is subband b of subband a. The transform is
    orthonormal, so white noise in voxels is white noise in coefficients.

    approximation_scale: LLL...L, whose range is 8^(levels / 2) times that of the volume, is divided
        by it (3 in arXiv:2411.17203, 1 in arXiv:2601.05212).
    Raises ShapeError for an edge that 2^levels does not divide.
    """

    levels: int = Field(default=1, ge=1, le=3)
    approximation_scale: float = Field(default=1.0, gt=0)

    @property
    def channels(self) -> int:
        return 8**self.levels

    @property
    def factors(self) -> tuple[int, int, int]:
        edge = 2**self.levels
        return edge, edge, edge

    def transform(self, prepared: Float[Tensor, "b 1 i j k"]) -> Float[Tensor, "b c _ _ _"]:
        if any(edge % 2**self.levels for edge in prepared.shape[2:]):
            raise ShapeError(
                f"shape {tuple(prepared.shape[2:])} cannot be halved {self.levels} times by Haar; "
                f"pad every edge to a multiple of {2**self.levels}"
            )
        with uncast(prepared):
            z = exact(prepared)
            for _ in range(self.levels):
                z = _halved(z, ALL, dim=2)
            if self.approximation_scale != 1:
                z = torch.cat([z[:, :1] / self.approximation_scale, z[:, 1:]], dim=1)
            return z

    def invert(self, coefficients: Float[Tensor, "b c _ _ _"]) -> Float[Tensor, "b 1 _ _ _"]:
        with uncast(coefficients):
            z = exact(coefficients)
            kernels = self._kernels(z)
            kernels = torch.cat([kernels[:1] * self.approximation_scale**2, kernels[1:]])
            return _blocks(kernels[:, 0], z[:, :, None])

    def _kernels(self, like: Tensor) -> Float[Tensor, "c 1 f f f"]:
        kernels = haar_kernels(self.levels).to(like)
        return torch.cat([kernels[:1] / self.approximation_scale, kernels[1:]])


def analyse(x: Float[Tensor, "b c i j k"], *, axes: Axes = ALL) -> Float[Tensor, "b _ _ _ _"]:
    """One orthonormal level of every channel along `axes`: 2^n c channels, all channels' first
    subband first (subband k of channel m is channel k c + m), in the order of `SUBBANDS` with the
    letters of the other axes left out. In float32 (or float64) under any autocast.

    Raises ShapeError for an odd edge along one of the axes.
    """
    edges = tuple(x.shape[2:])
    if any(edge % 2 for edge, halved in zip(edges, axes, strict=True) if halved):
        raise ShapeError(f"shape {edges} cannot be halved by Haar; pad every edge to an even one")
    with uncast(x):
        return _halved(exact(x), axes, dim=1)


def synthesise(y: Float[Tensor, "b c i j k"], *, axes: Axes = ALL) -> Float[Tensor, "b _ _ _ _"]:
    """The inverse of `analyse`."""
    kernels = haar_kernels(1).view(2, 2, 2, 2, 2, 2)
    for axis, halved in enumerate(axes):
        if not halved:
            kernels = kernels.narrow(axis, 0, 1).narrow(axis + 3, 0, 1) * 2**0.5
    with uncast(y):
        z = exact(y).unflatten(1, (2 ** sum(axes), -1))
        return _blocks(kernels.flatten(0, 2).to(z), z)


def _halved(x: Float[Tensor, "b c i j k"], axes: Axes, *, dim: int) -> Float[Tensor, "b n_c _ _ _"]:
    """One level in every channel: sums and differences of neighbours, along i first, where both
    lie in rows. About twice as fast as one product with the kernels. The subbands of a channel come
    together with dim 2, the channels of a subband with dim 1."""
    parts = [x]
    for axis in (axis for axis, halved in enumerate(axes, start=2) if halved):
        pairs = [part.unflatten(axis, (-1, 2)).unbind(axis + 1) for part in parts]
        parts = [mixed for a, b in pairs for mixed in (a + b, a - b)]
    return torch.stack(parts, dim=dim).flatten(1, 2).mul_(2 ** (-0.5 * sum(axes)))


def _blocks(
    kernels: Float[Tensor, "n u v w"], z: Float[Tensor, "b n c i j k"]
) -> Float[Tensor, "b c _ _ _"]:
    """Sums of kernels, side by side; up to 10 times faster than conv_transpose3d."""
    blocks = torch.einsum("nuvw,bncijk->bciujvkw", kernels, z)
    return blocks.flatten(6).flatten(4, 5).flatten(2, 3)


def haar_kernels(levels: int) -> Float[Tensor, "c 1 f f f"]:
    """The orthonormal analysis kernels of `levels` levels, float64."""
    return torch.tensor(_kernels(levels), device="cpu")


@lru_cache  # of numbers: a tensor could be one without any, where something is only counted
def _kernels(levels: int) -> np.ndarray:
    one = np.array([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5
    first = np.einsum("ai,bj,ck->abcijk", one, one, one).reshape(8, 2, 2, 2)
    kernels = first
    for _ in range(levels - 1):  # the next runs over blocks of what there is: a Kronecker product
        kernels = np.stack([np.kron(b, a) for a in kernels for b in first])
    return kernels[:, None]
