"""Other people's checkpoint files: read without running their code, loaded without a rest."""

import json
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from brainweave.errors import CheckpointError, OutputError

_WRAPPERS = re.compile(r"^(?:_orig_mod\.|module\.|flow_net\.)+")  # torch.compile, DDP, FlowLet
_DAMAGE = (RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError)


@dataclass(frozen=True)
class Checkpoint:
    """Tensors under the names in a file, and the configuration that lies beside them there."""

    weights: dict[str, Tensor]
    config: dict[str, Any] | None


def read_checkpoint(path: Path, places: Sequence[str]) -> Checkpoint:
    """What torch.save (opened without executing anything) or safetensors wrote.

    places: where in the file the weights may lie, the first that is there; else the file itself
    must be a mapping of names to tensors. Tensors of large files are read when they are used.
    Raises CheckpointError for a file that is absent, damaged, holds code or no weights.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; a checkpoint file is needed")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = _read_torch(path)
    place = next((name for name in places if name in content), None)
    weights = content if place is None else content[place]
    if not _are_tensors(weights):
        found = ", ".join(sorted(str(key) for key in content)[:8])
        raise CheckpointError(f"{path} holds no {' or '.join(places)}, only {found or 'nothing'}")
    config = content.get("config") if place is not None else None
    return Checkpoint(dict(weights), config if isinstance(config, dict) else None)


def require_new(out: Path) -> None:
    """Raises OutputError where a model folder would be written over something."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} is not empty; --out needs a new folder")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises CheckpointError where the file is absent or something else."""
    try:
        value = json.loads(path.read_text())
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}, a JSON object is needed")
    return value


def renamed(weights: Mapping[str, Tensor], rename: Callable[[str], str]) -> dict[str, Tensor]:
    """Tensors under other names, those of wrappers (`module.` and the like) stripped before."""
    return {rename(_WRAPPERS.sub("", name)): tensor for name, tensor in weights.items()}


def fill(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads a whole state. Raises CheckpointError for one tensor too few, too many or misshapen."""
    wanted = module.state_dict()
    missing, extra = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    problems = [f"{len(missing)} tensors are missing, such as {missing[0]}"] if missing else []
    problems += [f"{len(extra)} are unknown, such as {extra[0]}"] if extra else []
    for name in sorted(wanted.keys() & state.keys()):
        has, needs = tuple(state[name].shape), tuple(wanted[name].shape)
        if has != needs:
            problems.append(f"{name} is {has} in the file and {needs} by the configuration")
            break
    if problems:
        raise CheckpointError(f"weights and configuration do not match: {'; '.join(problems)}")
    module.load_state_dict(dict(state))


def _read_torch(path: Path) -> dict[str, Any]:
    lazily = zipfile.is_zipfile(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=lazily)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} is no checkpoint, or holds code beside tensors; such a file is not opened: "
            "save it again with torch.save(model.state_dict(), path)"
        ) from None
    except _DAMAGE as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is damaged or no checkpoint of torch: {reason}") from None
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, weights are needed")
    return dict(content)


def _read_safetensors(path: Path) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            text = (file.metadata() or {}).get("config")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or not safetensors: {error}") from None
    if not weights:
        raise CheckpointError(f"{path} holds no tensors")
    try:
        config = json.loads(text) if text else None
    except ValueError:
        raise CheckpointError(f"{path}: its metadata 'config' is not JSON") from None
    return Checkpoint(weights, config if isinstance(config, dict) else None)


def _are_tensors(value: Any) -> bool:
    if not isinstance(value, Mapping) or not value:
        return False
    return all(isinstance(key, str) and isinstance(value[key], Tensor) for key in value)
