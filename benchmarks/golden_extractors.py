"""Golden features for tests/golden/extractors.json from medmetric's own network.

Run where medmetric 0.1.1 is installed: python benchmarks/golden_extractors.py OUT.json
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from medmetric.models.resnet import medicalnet_resnet

DEPTHS = {
    10: ("BasicBlock", [1, 1, 1, 1], "B"),
    18: ("BasicBlock", [2, 2, 2, 2], "A"),
    50: ("Bottleneck", [3, 4, 6, 3], "B"),
}
SHOWN = 8  # features kept of each


def drawn(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """What a weight of that name is here: drawn from a seed that is the name's bytes."""
    random = np.random.default_rng(list(name.encode()))
    x = random.standard_normal(shape)
    if name.endswith("running_var"):
        x = 1 + 0.1 * np.abs(x)
    elif len(shape) == 1:
        x = 0.1 * x + (1 if ".weight" in name else 0)
    else:
        x = x * (2 / np.prod(shape[1:])) ** 0.5
    return torch.from_numpy(x.astype(np.float32))


def volume() -> torch.Tensor:
    """A small input without any symmetry."""
    i, j, k = np.indices((19, 24, 21))
    return torch.from_numpy((0.5 + 0.5 * np.sin(0.7 * i + 0.1 * j * k)).astype(np.float32))


def main(out: Path) -> None:
    """Writes the means and first features of each depth."""
    golden = {}
    for depth, (block, layers, shortcut) in DEPTHS.items():
        network = medicalnet_resnet(
            block=block, layers=layers, shortcut_type=shortcut, no_cuda=True
        ).backbone.eval()
        named = {n: drawn(n, tuple(t.shape)) for n, t in network.state_dict().items() if t.ndim}
        network.load_state_dict(named, strict=False)
        with torch.inference_mode():
            found = network(volume()[None, None]).mean(dim=(2, 3, 4))[0].double()
        golden[str(depth)] = {"mean": found.mean().item(), "first": found[:SHOWN].tolist()}
    made = f"benchmarks/golden_extractors.py, medmetric 0.1.1, torch {torch.__version__}"
    out.write_text(json.dumps({"made_by": made, "medicalnet": golden}, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
