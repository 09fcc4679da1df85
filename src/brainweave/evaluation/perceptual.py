"""LPIPS of volumes as 2.5D: the mean over slices at a fixed stride along three axes.

There is no LPIPS network for volumes; slices are never drawn at random, so a number repeats.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.errors import EvaluationError
from brainweave.evaluation.paired import Comparison, Row, matched, summarise
from brainweave.evaluation.scans import EDGE, Scans

Array = Float[np.ndarray, "_ _ _"]
Distance = Callable[[Float[Tensor, "b 1 h w"], Float[Tensor, "b 1 h w"]], Float[Tensor, "b"]]
TRUNKS = {  # what torchvision calls the ImageNet weights in torch.hub's cache
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
}
LEAST = 32  # voxels: smaller slices vanish inside the networks


def lpips_25d(
    real: Array, made: Array, distance: Distance, *, stride: int = 4, batch: int = 16
) -> float:
    """The mean over the three axes of the mean distance of every `stride`-th slice.

    Slices without head on either side are left out: their distance is 0 and would dilute the rest.
    Raises EvaluationError for shapes that differ and where no slice is left.
    """
    if real.shape != made.shape or stride < 1:
        raise EvaluationError(
            f"shapes {real.shape} and {made.shape}, stride {stride}: need equal ones, stride >= 1"
        )
    head = np.maximum(real, made) > EDGE
    means = []
    for axis in range(3):
        size = real.shape[axis]
        # centred, so that a flipped volume has the same slices
        chosen = np.arange((size - 1) % stride // 2, size, stride)
        seen = head.any(axis=tuple(a for a in range(3) if a != axis))
        chosen = chosen[seen[chosen]]
        if not len(chosen):
            raise EvaluationError(f"no slice along axis {axis} has head; check the volumes")
        x, y = (torch.from_numpy(np.moveaxis(v, axis, 0)[chosen])[:, None] for v in (real, made))
        with torch.inference_mode():
            parts = [
                distance(a.float(), b.float())
                for a, b in zip(x.split(batch), y.split(batch), strict=True)
            ]
        means.append(float(torch.cat(parts).double().mean()))
    return float(np.mean(means))


def lpips_distance(
    net: str = "alex", *, weights: Path | None = None, device: str = "cpu"
) -> Distance:
    """LPIPS v0.1 (arXiv:1801.03924) of slices in 0..1, by the `lpips` package and its weights.

    weights: torchvision's ImageNet weights of the network; None looks into torch.hub's cache, and
        nothing is downloaded. Raises EvaluationError where the package or the weights are missing.
    """
    if net not in TRUNKS:
        raise EvaluationError(f"LPIPS has no network {net!r}, only {', '.join(TRUNKS)}")
    path = weights or Path(torch.hub.get_dir()) / "checkpoints" / TRUNKS[net]
    try:
        lpips = import_module("lpips")
    except ImportError as error:
        raise EvaluationError(
            f"LPIPS needs the package lpips with torchvision ({error}): pip install lpips"
        ) from None
    if not path.is_file():
        raise EvaluationError(
            f"LPIPS needs the weights {TRUNKS[net]} of torchvision at {path}: download them from "
            f"https://download.pytorch.org/models/{TRUNKS[net]}, or give their path"
        )
    model = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    _fill(model.net, path)
    model = model.to(device).eval()

    def distance(x: Tensor, y: Tensor) -> Tensor:
        if min(x.shape[-2:]) < LEAST:
            raise EvaluationError(
                f"slices of {tuple(x.shape[-2:])} are too small for LPIPS, {LEAST} are needed"
            )
        x, y = (v.to(device).expand(-1, 3, -1, -1) for v in (x, y))
        value: Tensor = model(x, y, normalize=True)
        return value.flatten().cpu()

    return distance


def compare_lpips(
    real: Scans, made: Scans, distance: Distance, *, stride: int = 4, seed: int = 0
) -> Comparison:
    """LPIPS of pairs of one subject id, score "lpips"; lower is better."""
    rows: list[Row] = []
    for index, partner in matched(real, made):
        value = lpips_25d(real.load(index), made.load(partner), distance, stride=stride)
        rows.append({"id": real[index].id, "subject": real[index].subject, "lpips": value})
    scores, notes = summarise(rows, seed=seed)
    return Comparison(scores, rows, [f"LPIPS is 2.5D: every {stride}th slice of 3 axes.", *notes])


def _fill(trunk: Any, path: Path) -> None:
    """Loads torchvision's weights into lpips' trunk, whose slices keep torchvision's indices."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    wanted = trunk.state_dict()
    named = {name: f"features.{name.split('.', 1)[1]}" for name in wanted}
    if lacking := [name for name in named.values() if name not in saved]:
        raise EvaluationError(
            f"{path} has no {lacking[0]!r}: these are not torchvision's weights of this network"
        )
    trunk.load_state_dict({name: saved[source] for name, source in named.items()})
