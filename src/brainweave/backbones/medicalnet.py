"""MedicalNet's 3-D ResNets (arXiv:1904.00625) in the authors' dilated layout."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from brainweave.backbones import checkpoint

Map = Float[Tensor, "b _ _ _ _"]

DEPTHS = {  # blocks per stage, shortcut, whether blocks are bottlenecks
    10: ((1, 1, 1, 1), "B", False),
    18: ((2, 2, 2, 2), "A", False),
    34: ((3, 4, 6, 3), "A", False),
    50: ((3, 4, 6, 3), "B", True),
    101: ((3, 4, 23, 3), "B", True),
    152: ((3, 8, 36, 3), "B", True),
    200: ((3, 24, 36, 3), "B", True),
}
STAGES = ((64, 1, 1), (128, 2, 1), (256, 1, 2), (512, 1, 4))  # channels, stride, dilation
WHERE = "download resnet_50_23dataset.pth or another from TencentMedicalNet on Hugging Face"
HEADS = ("conv_seg.", "fc.")  # of tasks: not features


class Block(nn.Module):
    """A residual block: two 3^3 convolutions, or a bottleneck 1-3-1 of four times the channels."""

    def __init__(
        self, inputs: int, channels: int, stride: int, dilation: int, *, deep: bool, shortcut: str
    ) -> None:
        super().__init__()
        outputs = 4 * channels if deep else channels
        if deep:
            self.conv1 = nn.Conv3d(inputs, channels, 1, bias=False)
            self.conv2 = _conv(channels, channels, stride, dilation)
            self.conv3 = nn.Conv3d(channels, outputs, 1, bias=False)
            self.bn3 = nn.BatchNorm3d(outputs)
        else:
            self.conv1 = _conv(inputs, channels, stride, dilation)
            self.conv2 = _conv(channels, channels, 1, dilation)
        self.bn1, self.bn2 = nn.BatchNorm3d(channels), nn.BatchNorm3d(channels)
        self.stride, self.more, self.deep = stride, outputs - inputs, deep
        self.downsample: nn.Module | None = None
        if shortcut == "B" and (stride != 1 or self.more):
            conv = nn.Conv3d(inputs, outputs, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm3d(outputs))

    def forward(self, x: Map) -> Map:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.deep:
            y = self.bn3(self.conv3(F.relu(y)))
        if self.downsample is not None:
            return F.relu(y + self.downsample(x))
        same = x[..., :: self.stride, :: self.stride, :: self.stride]  # A: missing channels are 0
        return F.relu(y + F.pad(same, (0, 0, 0, 0, 0, 0, 0, self.more)))


class Backbone(nn.Module):
    """The network up to its last map, an eighth of the size; names as in the authors' files."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        counts, shortcut, deep = DEPTHS[depth]
        self.conv1 = nn.Conv3d(1, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        stages, inputs = [], 64
        for (channels, stride, dilation), count in zip(STAGES, counts, strict=True):
            blocks = []
            for step in (stride, *[1] * (count - 1)):
                blocks.append(Block(inputs, channels, step, dilation, deep=deep, shortcut=shortcut))
                inputs = 4 * channels if deep else channels
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages

    def forward(self, x: Map) -> Map:
        return self.maps(x)[-1]

    def maps(self, x: Map) -> list[Map]:
        """The maps of its four stages."""
        x = F.max_pool3d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        found = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            found.append(x)
        return found


def network(depth: int, weights: checkpoint.Weights, source: str) -> Backbone:
    """The backbone with these weights; EvaluationError where they are of another network."""
    own = {name: w for name, w in weights.items() if not name.startswith(HEADS)}
    with torch.device("meta"):
        empty = Backbone(depth)
    wanted = f"ResNet-{depth} with shortcut {DEPTHS[depth][1]}"
    told = f"{source} is {_recognised(own)}, MedicalNet's {wanted} was asked for"
    return checkpoint.load(empty.to_empty(device="cpu"), own, told=told)


def _recognised(weights: checkpoint.Weights) -> str:
    """What network these are the weights of, by their names."""
    counts = tuple(
        len({name.split(".")[1] for name in weights if name.startswith(f"layer{stage}.")})
        for stage in range(1, 5)
    )
    deep = "layer1.0.conv3.weight" in weights
    shortcut = "B" if any(".downsample." in name for name in weights) else "A"
    for depth, (blocks, _, bottlenecks) in DEPTHS.items():
        if (counts, deep) == (blocks, bottlenecks):
            return f"a ResNet-{depth} with shortcut {shortcut}"
    return "no network known here"


def _conv(inputs: int, outputs: int, stride: int, dilation: int) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False)
