"""RadImageNet's 2-D ResNet-50 (doi:10.1148/ryai.210315) on the slices of three planes.

The protocol is that of MAISI (arXiv:2409.11169), scripts/compute_fid_2-5d_ct.py.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from brainweave.data.files import sha256
from brainweave.data.grid import Spacing
from brainweave.errors import EvaluationError
from brainweave.evaluation.extractors import checkpoint
from brainweave.evaluation.extractors.base import Array, Extractor, Vector

Map = Float[Tensor, "b _ _ _"]

PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}  # the axis that slices are taken along
CENTRAL = 0.4  # of the slices of every axis
MEANS = (0.406, 0.456, 0.485)  # of blue, green and red
BATCH = 16
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # channels, blocks, stride
_SEQUENCE = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
WHERE = "ask for ResNet50.pt or RadImageNet-ResNet50_notop.pth at github.com/BMEII-AI/RadImageNet"


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


class Block(nn.Module):
    """A bottleneck; with biases it is Keras's, which strides in its first convolution."""

    def __init__(self, inputs: int, channels: int, stride: int, *, keras: bool) -> None:
        super().__init__()
        outputs, early, late = 4 * channels, stride if keras else 1, 1 if keras else stride
        self.conv1 = nn.Conv2d(inputs, channels, 1, stride=early, bias=keras)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=late, padding=1, bias=keras)
        self.conv3 = nn.Conv2d(channels, outputs, 1, bias=keras)
        self.bn1, self.bn2, self.bn3 = (_norm(c, keras) for c in (channels, channels, outputs))
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=keras)
            self.downsample = nn.Sequential(conv, _norm(outputs, keras))

    def forward(self, x: Map) -> Map:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Backbone(nn.Module):
    """ResNet-50 up to its last map, 1/32 of the size; names as in torchvision."""

    def __init__(self, *, keras: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=keras)
        self.bn1 = _norm(64, keras)
        stages = (nn.Sequential(*blocks) for blocks in _stages(keras))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def forward(self, x: Map) -> Map:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def network(weights: checkpoint.Weights, source: str) -> nn.Module:
    """The backbone with these weights; EvaluationError where they are of another network."""
    named = {_plain(name): w for name, w in weights.items() if not name.startswith("fc.")}
    with torch.device("meta"):
        empty = Backbone(keras="conv1.bias" in named)
    told = f"{source} does not fit RadImageNet's ResNet-50"
    return checkpoint.load(empty.to_empty(device="cpu"), named, told=told)


def _plain(name: str) -> str:
    """torchvision's name for a tensor of a sequence: backbone.4.0 is layer1.0."""
    found = re.fullmatch(r"backbone\.(\d)\.(.+)", name)
    return f"{_SEQUENCE.get(found[1], found[1])}.{found[2]}" if found else name


def _norm(channels: int, keras: bool) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=1.001e-5 if keras else 1e-5)


def _stages(keras: bool) -> Iterator[list[nn.Module]]:
    inputs = 64
    for channels, count, stride in STAGES:
        blocks: list[nn.Module] = []
        for step in (stride, *[1] * (count - 1)):
            blocks.append(Block(inputs, channels, step, keras=keras))
            inputs = 4 * channels
        yield blocks
