"""MedicalNet's 3-D ResNets (arXiv:1904.00625) as features."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from brainweave.backbones import checkpoint
from brainweave.backbones.medicalnet import DEPTHS, WHERE, network
from brainweave.data.files import sha256
from brainweave.data.grid import Spacing
from brainweave.errors import EvaluationError
from brainweave.evaluation.extractors.base import Array, Extractor, Vector

Normalisation = Literal["medmetric", "monai", "wdm", "tencent"]


class MedicalNet(Extractor):
    """Means over space of the last map: 512-d up to depth 34, 2048-d from 50.

    weights: the authors' file, named by its SHA-256 in the digest. normalisation: published
    numbers use different ones and do not compare. medmetric and monai: z-score of the volume with
    its background, Bessel's n - 1 (monai takes it over a batch: here of one); wdm: none; tencent:
    z-score over voxels > 0 with standard normal noise outside, as in training, the same noise for
    all volumes. All but wdm are blind to a wrong overall brightness.
    Raises EvaluationError for weights of another depth or shortcut.
    """

    name = "medicalnet"

    def __init__(
        self,
        weights: Path | str | None = None,
        *,
        depth: int = 50,
        normalisation: Normalisation = "medmetric",
        device: str = "cpu",
    ) -> None:
        if depth not in DEPTHS or normalisation not in get_args(Normalisation):
            raise EvaluationError(
                f"medicalnet has no depth {depth} with normalisation {normalisation!r}; depths are "
                f"{_listed(DEPTHS)}, normalisations {_listed(get_args(Normalisation))}"
            )
        read = checkpoint.read(weights, who="medicalnet", where=WHERE)
        assert weights is not None
        self._device = checkpoint.device(device)
        self._network = network(depth, read, str(weights)).to(self._device)
        self._normalise = NORMALISATIONS[normalisation]
        self.dimension = 2048 if DEPTHS[depth][2] else 512
        self.content = sha256(Path(weights))
        self.preprocessing = {"version": 1, "depth": depth, "normalisation": normalisation}

    def __call__(self, volume: Array, spacing: Spacing) -> Vector:
        """The features; spacing is not heard: the authors resize to a fixed number of voxels."""
        x = torch.from_numpy(np.ascontiguousarray(volume, np.float32)).to(self._device)
        with checkpoint.exact():
            found = self._network(self._normalise(x)[None, None])
            return found.mean(dim=(2, 3, 4))[0].double().cpu().numpy()


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(str, names))


def _whole(x: Tensor) -> Tensor:
    return (x - x.mean()) / x.std().clamp_min(1e-8)


def _foreground(x: Tensor) -> Tensor:
    """As datasets/brains18.py of MedicalNet, but the noise is seeded."""
    inside = x > 0
    if not inside.any():
        raise EvaluationError("no voxel is above 0: there is nothing to normalise by")
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(x.shape)).to(x)
    within = x[inside]
    spread = within.std(correction=0).clamp_min(1e-8)
    return torch.where(inside, (x - within.mean()) / spread, noise)


NORMALISATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "medmetric": _whole,  # medmetric 0.1.1, README
    "monai": _whole,  # monai 1.6.1, losses/perceptual.py:321
    "wdm": lambda x: x,
    "tencent": _foreground,
}
