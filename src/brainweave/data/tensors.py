"""Safetensors files that carry the hash of their content: a flipped bit is found at loading."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from brainweave.data.files import atomic
from brainweave.errors import CheckpointError


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """Writes tensors and JSON facts as one file, atomically; returns the content's SHA-256."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(dict(facts), sort_keys=True)
    content = _digest(whole, text)
    with atomic(path) as temporary:
        save_file(whole, temporary, metadata={"facts": text, "sha256": content})
    return content


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a file of `save_tensors`, verified.

    Raises CheckpointError where the file is absent, cut short, foreign or changed.
    """
    with _opened(path) as (file, metadata):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    text = metadata.get("facts", "")
    if _digest(tensors, text) != metadata["sha256"]:
        raise CheckpointError(
            f"{path} does not match its own hash: bits changed; restore it or train again"
        )
    return tensors, json.loads(text)


def content_hash(path: Path) -> str:
    """The SHA-256 that a file of `save_tensors` states, unverified; raises as `load_tensors`."""
    with _opened(path) as (_file, metadata):
        return metadata["sha256"]


def facts_of(path: Path) -> dict[str, Any]:
    """The facts that a file of `save_tensors` states, unverified; raises as `load_tensors`."""
    with _opened(path) as (_file, metadata):
        return dict(json.loads(metadata.get("facts", "{}")))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """A file of `save_tensors` and its metadata."""
    if not path.is_file():
        raise CheckpointError(
            f"{path} does not exist; a folder with recipe.json and weights is needed"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if "sha256" not in metadata:
                raise CheckpointError(
                    f"{path} carries no hash: it was not written by brainweave; import it"
                )
            yield file, metadata
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); restore it or train again") from None


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
