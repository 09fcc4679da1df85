"""RadImageNet's 2-D ResNet-50 (doi:10.1148/ryai.210315) on the slices of three planes.

The protocol is that of MAISI (arXiv:2409.11169), scripts/compute_fid_2-5d_ct.py.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.backbones import checkpoint
from brainweave.backbones.radimagenet import MEANS, WHERE, network
from brainweave.data.files import sha256
from brainweave.data.grid import Spacing
from brainweave.errors import EvaluationError
from brainweave.evaluation.extractors.base import Array, Extractor, Vector

PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}  # the axis that slices are taken along
CENTRAL = 0.4  # of the slices of every axis
BATCH = 16


class RadImageNet(Extractor):
    """Mean features of the central 40 % of slices: 2048 axial, 2048 coronal, 2048 sagittal.

    planes: the block of each, as MAISI takes one Frechet distance a plane and averages them. It
    takes them over slices; here a volume is one vector, since slices of a brain are not
    independent. As there, each plane's slices are scaled together from their minimum and maximum:
    blind to a wrong overall brightness.
    weights: the authors' (torchvision's network, names `backbone.0.weight` or `conv1.weight`) or
    the Keras ones that MAISI and MONAI use (convolutions with biases, strides elsewhere).
    Raises EvaluationError for other weights.
    """

    name = "radimagenet-2.5d"
    dimension = 2048 * len(PLANES)
    planes: ClassVar[dict[str, slice]] = {
        plane: slice(2048 * n, 2048 * (n + 1)) for n, plane in enumerate(PLANES)
    }

    def __init__(self, weights: Path | str | None = None, *, device: str = "cpu") -> None:
        read = checkpoint.read(weights, who=self.name, where=WHERE)
        assert weights is not None
        self._device = checkpoint.device(device)
        self._network = network(read, str(weights)).to(self._device)
        self.content = sha256(Path(weights))
        self.preprocessing: dict[str, Any] = {
            "version": 1,
            "planes": list(PLANES),
            "central": CENTRAL,
            "means": list(MEANS),
            "scale": "minimum to maximum of a plane's slices",
        }

    def __call__(self, volume: Array, spacing: Spacing) -> Vector:
        """The features; EvaluationError for a grid too small to have central slices."""
        x = torch.from_numpy(np.ascontiguousarray(volume, np.float32)).to(self._device)
        with checkpoint.exact():
            found = [self._plane(x, axis) for axis in PLANES.values()]
            return torch.cat(found).cpu().numpy()

    def _plane(self, x: Float[Tensor, "i j k"], axis: int) -> Float[Tensor, "2048"]:
        edge = x.shape[axis]
        first, end = int((1 - CENTRAL) / 2 * edge), int((1 + CENTRAL) / 2 * edge)
        if end <= first:
            raise EvaluationError(f"{self.name} needs 5 slices along every axis, got {edge}")
        slices = x.movedim(axis, 0)[first:end]
        low, high = slices.min(), slices.max()
        slices = (slices - low) / (high - low + 1e-10)
        means = torch.tensor(MEANS, device=x.device)[:, None, None]
        total = torch.zeros(2048, dtype=torch.float64, device=x.device)
        for part in slices[:, None].split(BATCH):
            total += self._network(part - means).mean(dim=(2, 3)).double().sum(dim=0)
        return total / (end - first)
