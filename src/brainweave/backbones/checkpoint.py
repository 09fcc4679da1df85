"""Weights of published networks: read without pickle, named plainly, loaded whole or not at all."""

import pickle
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from brainweave.errors import EvaluationError

Weights = dict[str, Tensor]
M = TypeVar("M", bound=nn.Module)
_DAMAGE = (  # what torch.load raises for cut and altered files, as tried on thousands
    *(pickle.UnpicklingError, struct.error, RuntimeError, EOFError, OSError),
    *(ValueError, LookupError, AssertionError, TypeError, AttributeError),
)


def read(path: Path | str | None, *, who: str, where: str) -> Weights:
    """The tensors of a .pth or .pt file, bare or under "state_dict", without "module." in names.

    who, where: whose they are and where to find them, for the error. Counters of batches are left
    out. Raises EvaluationError for no file, one with more than tensors in it, or one without any.
    """
    if path is None or not Path(path).is_file():
        got = "none was given" if path is None else f"{path} does not exist"
        raise EvaluationError(f"{who} needs its weights as a file and {got}; {where}")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        told = str(error).strip().partition("\n")[0]
        raise EvaluationError(
            f"{path} is no file of tensors that can be read safely ({told}); {where}"
        ) from None
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    tensors = found.items() if isinstance(found, Mapping) else ()
    named = {
        str(name).removeprefix("module."): tensor
        for name, tensor in tensors
        if isinstance(tensor, Tensor) and not str(name).endswith("num_batches_tracked")
    }
    if not named:
        raise EvaluationError(f"{path} holds no named tensors; {where}")
    return named


def load(network: M, weights: Weights, *, told: str) -> M:
    """`network` with these weights, for evaluation only; `told` begins the error.

    Raises EvaluationError for any name or shape that differs.
    """
    known = {n: t for n, t in network.state_dict().items() if not n.endswith("batches_tracked")}
    missing, unknown = known.keys() - weights.keys(), weights.keys() - known.keys()
    shapes = [n for n in known.keys() & weights.keys() if known[n].shape != weights[n].shape]
    problems = [
        f"{what} {_some(sorted(names))}"
        for what, names in (("no", missing), ("unknown", unknown), ("another shape of", shapes))
        if names
    ]
    if problems:
        raise EvaluationError(f"{told}: {'; '.join(problems)}")
    network.load_state_dict(weights, strict=False)  # all but the counters, as was checked
    return network.eval().requires_grad_(False)


@contextmanager
def exact() -> Iterator[None]:
    """Without gradients and without TF32, which would move features by 1e-3 on some devices."""
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def device(name: str) -> torch.device:
    """The device of that name; EvaluationError where this machine has none."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        told = str(error).strip().partition("\n")[0]
        raise EvaluationError(f"no device {name!r} here ({told}); use cpu or cuda") from None
    return torch.device(name)


def _some(names: list[str]) -> str:
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]
