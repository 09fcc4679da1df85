"""The states of a run: everything a resumed run needs to be the uninterrupted one, bit for bit.

One state is one file that carries its own hash. The newest two are kept, so that a damaged one has
a predecessor.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from safetensors import SafetensorError, safe_open
from torch import Tensor

from brainweave.data.tensors import load_tensors, save_tensors
from brainweave.errors import FULL_DISK, CheckpointError, OutputError

KEPT = 2
LOCK = ".lock"
_NAME = re.compile(r"step-(\d{8})\.safetensors")


@dataclass(frozen=True)
class Facts:
    """Where a run stands.

    step: optimiser steps done. best: the lowest validation loss so far, at best_step; bad:
    validations since. world: processes. recipe: digest of what may not change. finished: nothing
    is left to do.
    """

    step: int
    best: float | None
    best_step: int
    bad: int
    world: int
    recipe: str
    finished: bool


def claim(folder: Path) -> IO[bytes]:
    """Holds a run folder until the file is closed or the process ends, however it ends. Raises
    OutputError where another process holds it; systems and disks without such locks do not tell."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("ab")
    with suppress(ImportError):
        from fcntl import LOCK_EX, LOCK_NB, flock

        try:
            flock(file, LOCK_EX | LOCK_NB)
        except OSError as error:
            if isinstance(error, BlockingIOError):
                file.close()
                raise OutputError(
                    f"{folder}: another process trains in it; wait for that, or give a new folder"
                ) from None
    return file


@contextmanager
def writing(path: Path, size: int | None = None) -> Iterator[None]:
    """Says what is needed where a file, of `size` bytes, cannot be written. Raises OutputError."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        needed = f"; it needs {size / 1e6:.1f} MB there" if size else ""
        refusal = OutputError(
            f"{path} cannot be written ({error}){needed}. Make room and run the same command: it "
            "goes on from the last state"
        )
        if "No space left" in str(error):
            refusal.exit_code = FULL_DISK
        raise refusal from None


def sorted_by_part(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of a state by the first word of their names: "weights", their average "ema", the
    optimiser's moments "adamw", and what else was trained."""
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "ema": {}, "adamw": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    return parts


class States:
    """The folder `state` of a run."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say

    def save(self, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        """Writes a state, then removes those before the newest two.

        Raises OutputError where it cannot be written; the former states are then untouched.
        """
        path = self.folder / f"step-{facts.step:08d}.safetensors"
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        with writing(path, size):
            save_tensors(path, tensors, asdict(facts))
        for old in self.paths()[KEPT:]:
            old.unlink()

    def load(self) -> tuple[dict[str, Tensor], Facts]:
        """The newest state that verifies. Damaged ones are said and moved aside.

        Raises CheckpointError where none does.
        """
        for path in self.paths():
            try:
                tensors, facts = load_tensors(path)
                return tensors, Facts(**facts)
            except (CheckpointError, TypeError) as error:
                aside = path.with_name(f"{path.name}.damaged")
                path.rename(aside)
                self.say(f"{error}; moved to {aside.name}, going back to the state before it")
        raise CheckpointError(
            f"{self.folder} has no usable state, so this run cannot go on; "
            "restore one or train in another folder"
        )

    def any(self) -> bool:
        """Whether a run ever saved here, usable or not."""
        return self.folder.is_dir() and any(self.folder.glob("step-*"))

    def finished(self) -> bool:
        """What the newest state says, unverified: nothing is read but its facts."""
        try:
            with safe_open(self.paths()[0], framework="pt") as file:
                return bool(json.loads((file.metadata() or {})["facts"])["finished"])
        except (IndexError, KeyError, ValueError, OSError, SafetensorError):
            return False  # `load` says what is wrong

    def paths(self) -> list[Path]:
        """The states, newest first."""
        found = [path for path in self.folder.glob("step-*") if _NAME.fullmatch(path.name)]
        return sorted(found, reverse=True)
