"""A convolutional network that was never trained: textures and shapes without any weights file."""

import hashlib
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from brainweave.data.grid import Spacing
from brainweave.evaluation.extractors.base import Array, Extractor, Vector

SEED = 20240
WIDTHS = (1, 16, 32, 48, 56)
BIAS = 0.1  # the widest
SCALE = 4.0  # multiplies intensities; fixed, so that a wrong brightness stays visible
PINNED = "474ba4a716b48e85436bee6ef25005897f280846056bbb33ee35eb4b2b00f8d8"  # of the weights


class RandomNetwork(Extractor):
    """Mean and standard deviation of every channel of four 3^3 convolutions with ReLU: 304-d.

    Halved by maxima in between (on t1_2mm noise and checkerboards show five times as much as with
    averages), every other channel's kernels of zero sum. Kaiming-uniform weights come from the raw
    bits of Philox, so that they are the same everywhere. Scales are in voxels, not mm.
    """

    name = "random-cnn"
    dimension = 2 * sum(WIDTHS[1:])

    def __init__(self) -> None:
        self._layers = layers()
        self.content = weights_hash(self._layers)
        self.preprocessing: dict[str, Any] = {
            "version": 1,
            "seed": SEED,
            "widths": list(WIDTHS),
            "input": f"{SCALE:g} x",
            "bias": BIAS,
            "zero_sum": "even channels",
            "pool": "max 2",
        }

    @torch.inference_mode()
    def __call__(self, volume: Array, spacing: Spacing) -> Vector:
        """The features, for a grid of any size: what is odd is halved upwards."""
        x = torch.from_numpy(np.ascontiguousarray(volume, np.float32))[None, None] * SCALE
        found: list[Tensor] = []
        for depth, (weight, bias) in enumerate(self._layers):
            if depth:
                x = F.max_pool3d(x, 2, ceil_mode=True)
            x = F.relu(F.conv3d(x, weight, bias, padding=1))
            variance, mean = torch.var_mean(x[0].flatten(1), dim=1, correction=0)
            found += [mean, variance.sqrt()]
        return torch.cat(found).double().numpy()


def layers() -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of the convolutions."""
    bits = np.random.Philox(SEED)
    made = []
    for inputs, outputs in pairwise(WIDTHS):
        fan = 27 * inputs
        weight = _uniform(bits, outputs * fan).reshape(outputs, inputs, 27)
        weight[::2] -= weight[::2].mean(axis=2, keepdims=True)  # exact: multiples of 2^-23
        weight = (weight * (6 / fan) ** 0.5).reshape(outputs, inputs, 3, 3, 3)
        bias = _uniform(bits, outputs) * BIAS
        made.append((torch.from_numpy(weight).float(), torch.from_numpy(bias).float()))
    return made


def weights_hash(made: list[tuple[Tensor, Tensor]]) -> str:
    """The SHA-256 of all weights and biases as float32."""
    return hashlib.sha256(
        b"".join(part.numpy().astype("<f4").tobytes() for layer in made for part in layer)
    ).hexdigest()


def _uniform(bits: np.random.Philox, count: int) -> Float[np.ndarray, "n"]:
    """Uniform in -1..1 from the upper 24 bits: exact, unlike numpy's normals, in every version."""
    return (bits.random_raw(count) >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1
