"""A perceptual term by a published network: the maps of what comes back are to be the volume's."""

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from brainweave.backbones import checkpoint, medicalnet, radimagenet
from brainweave.compression import Features
from brainweave.data.files import sha256
from brainweave.errors import CheckpointError

Volumes = Float[Tensor, "b 1 i j k"]
Slices = Float[Tensor, "b 3 _ _"]


class MapsApart(nn.Module):
    """How far the maps of a published network lie apart, averaged over its four stages: the squared
    distance of the vectors at a place, each scaled to length 1 (arXiv:1801.03924, eq. 1, with all
    channels alike), averaged over places.

    Volumes are scaled as the real one is, mean and deviation or declared range, so that a wrong
    brightness is seen. Raises EvaluationError for weights of another network, CheckpointError for
    another file than the run began with.
    """

    def __init__(self, features: Features, scale: tuple[float, float]) -> None:
        super().__init__()
        path = Path(features.weights)
        self.slices, self.scale = features.slices, scale
        self.network: medicalnet.Backbone | radimagenet.Backbone
        self.flat = features.network == "radimagenet"
        where = radimagenet.WHERE if self.flat else medicalnet.WHERE
        read = checkpoint.read(path, who=features.network, where=where)
        if features.sha256 not in ("", sha256(path)):
            raise CheckpointError(
                f"{path} is another file than the run began with; restore it or train elsewhere"
            )
        if self.flat:
            self.network = radimagenet.network(read, str(path))
        else:
            self.network = medicalnet.network(features.depth, read, str(path))

    def forward(self, made: Volumes, real: Volumes, random: torch.Generator) -> Float[Tensor, "b"]:
        """One number per volume. random: draws the slices, on the CPU."""
        if not self.flat:
            mean = real.mean(dim=(2, 3, 4), keepdim=True)
            deviation = real.std(dim=(2, 3, 4), keepdim=True).clamp_min(1e-6)
            return self._apart((made - mean) / deviation, (real - mean) / deviation)
        planes = []
        for axis in (2, 3, 4):
            edge = real.shape[axis]
            chosen = torch.randint(edge, (self.slices,), generator=random).to(real.device)
            pair = [self._sliced(volume, axis, chosen) for volume in (made, real)]
            planes.append(self._apart(*pair).view(len(real), self.slices).mean(1))
        return torch.stack(planes).mean(0)

    def _sliced(self, volume: Volumes, axis: int, chosen: Tensor) -> Slices:
        """Slices of all volumes as colour pictures, one volume after the other."""
        low, high = self.scale
        found = volume.index_select(axis, chosen).movedim(axis, 1).flatten(0, 1)
        means = torch.tensor(radimagenet.MEANS, device=volume.device)[:, None, None]
        return (found - low) / (high - low) - means

    def _apart(self, made: Tensor, real: Tensor) -> Float[Tensor, "b"]:
        with torch.no_grad():
            wanted = self.network.maps(real)
        found = self.network.maps(made)
        stages = [
            (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(1)
            for a, b in zip(found, wanted, strict=True)
        ]
        return torch.stack([stage.flatten(1).mean(1) for stage in stages]).mean(0)
