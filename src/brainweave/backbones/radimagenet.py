"""RadImageNet's 2-D ResNet-50 (doi:10.1148/ryai.210315)."""

import re
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from brainweave.backbones import checkpoint

Map = Float[Tensor, "b _ _ _"]

MEANS = (0.406, 0.456, 0.485)  # of blue, green and red; taken from slices in 0..1
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # channels, blocks, stride
_SEQUENCE = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
WHERE = "ask for ResNet50.pt or RadImageNet-ResNet50_notop.pth at github.com/BMEII-AI/RadImageNet"


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
        return self.maps(x)[-1]

    def maps(self, x: Map) -> list[Map]:
        """The maps of its four stages."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        found = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            found.append(x)
        return found


def network(weights: checkpoint.Weights, source: str) -> Backbone:
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
