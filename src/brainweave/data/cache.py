"""Preprocessed volumes, decoded once: one .npy each, with a .json that says what it is.

Two processes may fill one folder at once: files appear whole, and either process's are the same.
"""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.data.files import atomic, digest, sha256, write_json
from brainweave.data.intensity import Window
from brainweave.data.preprocess import Preprocess
from brainweave.data.volume import Volume
from brainweave.errors import OutputError, VolumeError
from brainweave.part import to_dict

_log = logging.getLogger(__name__)


class Keep(NamedTuple):
    """What is kept in place of voxels: a map of them, and a hash of what it depends on."""

    digest: str
    apply: Callable[[Float[Tensor, "1 1 i j k"]], Float[Tensor, "1 c _ _ _"]]


@dataclass(frozen=True)
class Entry:
    """A decoded volume: where it lies (in memory or in a file) and its raw intensity window."""

    data: Tensor | Path
    window: Window

    def read(self) -> Float[Tensor, "c i j k"]:
        """What is kept, in memory of its own."""
        if isinstance(self.data, Tensor):
            return self.data.clone()
        # mapped for this read only: a map per volume would use up the process's open files
        return torch.from_numpy(np.array(np.load(self.data, mmap_mode="r")))


class Cache:
    """Volumes as one Preprocess makes them, in `folder`, or in memory without one.

    keep: a map of them to keep in their place.
    An entry counts while source path, size and time, preprocessing and the SHA-256 of the .npy are
    as written; each is verified when a process first uses it, and rebuilt if it is not. Entries of
    other preprocessings stay beside it.
    """

    def __init__(
        self, preprocess: Preprocess, folder: Path | None, keep: Keep | None = None
    ) -> None:
        self.preprocess, self.folder, self.keep = preprocess, folder, keep
        plan = to_dict(preprocess)
        self._digest = digest(plan if keep is None else [plan, keep.digest])
        self._entries: dict[Path, Entry] = {}

    def get(self, owner: str, source: Path) -> Entry:
        """The entry of a file, decoded now if need be.

        owner: the subject's id, which errors and file names carry.
        Raises VolumeError naming both for a volume that is unreadable, not finite or constant.
        """
        if source not in self._entries:
            self._entries[source] = self._find(owner, source)
        return self._entries[source]

    def _find(self, owner: str, source: Path) -> Entry:
        try:
            if self.folder is None:
                return Entry(*self._decode(source))
            path = self.folder / self._name(owner, source)
            facts = self._facts(source)
            return _verified(path, facts) or self._build(path, source, facts)
        except VolumeError as error:
            named = str(error) if str(source) in str(error) else f"{source}: {error}"
            raise VolumeError(f"subject {owner!r}: {named}") from error

    def _facts(self, source: Path) -> dict[str, Any]:
        """What an entry depends on."""
        try:
            stat = source.stat()
        except OSError as error:
            raise VolumeError(f"cannot be read ({error.strerror}); check the path") from error
        place = {"source": str(source.resolve()), "size": stat.st_size}
        return {**place, "mtime_ns": stat.st_mtime_ns, "preprocess": self._digest}

    def _name(self, owner: str, source: Path) -> str:
        key = digest([str(source.resolve()), self._digest])[:16]
        return f"{re.sub(r'[^A-Za-z0-9._-]', '_', owner)[:80]}-{key}.npy"

    def _decode(self, source: Path) -> tuple[Float[Tensor, "c i j k"], Window]:
        volume = Volume.load(source)
        if volume.data.min() == volume.data.max():
            raise VolumeError(
                f"every voxel is {volume.data.max():g}; check the image or leave it out"
            )
        x, placement = self.preprocess(volume)
        if self.keep is not None:
            x = self.keep.apply(x[None])[0].cpu()
        return x.contiguous(), placement.window

    def _build(self, path: Path, source: Path, facts: dict[str, Any]) -> Entry:
        x, window = self._decode(source)
        try:
            with atomic(path) as temporary:
                with temporary.open("wb") as file:
                    np.save(file, x.numpy())
                written = sha256(temporary)
            write_json(path.with_suffix(".json"), {**facts, "sha256": written, "window": window})
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
        return Entry(path, window)


def _verified(path: Path, facts: dict[str, Any]) -> Entry | None:
    """The entry at `path` if it is whole and of these facts; says why if it is not."""
    manifest = path.with_suffix(".json")
    if not path.is_file() or not manifest.is_file():
        return None
    try:
        found = json.loads(manifest.read_text())
        start, end = found.pop("window")
        written = found.pop("sha256")
    except (ValueError, KeyError, TypeError, AttributeError):
        _log.warning("%s is damaged: its volume is decoded again", manifest)
        return None
    if found != facts:
        _log.info("%s is of an older file: decoded again", path)
        return None
    if sha256(path) != written:
        _log.warning("%s does not verify: decoded again", path)
        return None
    return Entry(path, (float(start), float(end)))
