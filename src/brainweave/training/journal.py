"""What happened in a run: journal.jsonl first, TensorBoard and Weights & Biases as its echo.

A new tracker is a class with `scalars`, `picture` and `close`, and one line in `Journal`.
"""

import errno
import json
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from brainweave.data.files import atomic
from brainweave.data.seeds import derive
from brainweave.errors import TrainingError

JOURNAL, TENSORBOARD = "journal.jsonl", "tensorboard"


class Tracker(Protocol):
    """Shows what the journal says somewhere else."""

    def scalars(self, kind: str, step: int, values: dict[str, float]) -> None: ...

    def picture(self, step: int, path: Path) -> None: ...

    def close(self) -> None: ...


class Journal:
    """Appends one JSON line per event; at opening, lines after `step` are cut off.

    wandb: the name of a Weights & Biases project; nothing is sent anywhere without one.
    """

    def __init__(self, folder: Path, *, step: int, wandb: str | None = None) -> None:
        self.path = folder / JOURNAL
        _cut(self.path, step)
        self.file = self.path.open("ab", buffering=0)  # at closing nothing is left to write
        self.trackers: list[Tracker] = []
        if wandb is not None:
            self.trackers.append(_WeightsAndBiases(folder, wandb))
        if (board := _tensorboard(folder, step)) is not None:
            self.trackers.append(board)

    def write(self, kind: str, step: int, **values: float) -> None:
        """One event, such as kind "train" or "validation"."""
        line = f"{json.dumps({'kind': kind, 'step': step, **values})}\n".encode()
        if self.file.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        for tracker in self.trackers:
            tracker.scalars(kind, step, values)

    def picture(self, step: int, path: Path) -> None:
        """A picture that was made after `step`."""
        for tracker in self.trackers:
            tracker.picture(step, path)

    def close(self) -> None:
        """Ends all files."""
        self.file.close()
        for tracker in self.trackers:
            tracker.close()


def require_wandb() -> None:
    """Raises TrainingError where wandb is not installed."""
    try:
        import wandb  # noqa: F401
    except ImportError:
        raise TrainingError(
            "wandb is not installed; pip install 'brainweave[wandb]', or train without it"
        ) from None


def read(path: Path) -> list[dict[str, Any]]:
    """The events of a journal. A last line that a killed process tore is left out.

    Raises TrainingError for any other line that is no event.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    events = []
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
            int(event["step"])
        except (ValueError, TypeError, KeyError):
            if number < len(lines):
                raise TrainingError(
                    f"{path}: line {number} is no event; delete that line and go on"
                ) from None
        else:
            events.append(event)
    return events


def _cut(path: Path, step: int) -> None:
    """Leaves the events up to `step`, so that a resumed run says nothing twice."""
    events = read(path)
    kept = [event for event in events if event["step"] <= step]
    with atomic(path) as temporary:
        temporary.write_text("".join(json.dumps(event) + "\n" for event in kept), encoding="utf-8")


class _TensorBoard:
    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def scalars(self, kind: str, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(f"{kind}/{name}", value, step)

    def picture(self, step: int, path: Path) -> None:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        self.writer.add_image("samples", pixels, step, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


def _tensorboard(folder: Path, step: int) -> _TensorBoard | None:
    """A writer where tensorboard is installed; what it knew after `step` is hidden."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return _TensorBoard(SummaryWriter(folder / TENSORBOARD, purge_step=step + 1))


class _WeightsAndBiases:
    def __init__(self, folder: Path, project: str) -> None:
        import wandb

        self.wandb = wandb
        name = f"{folder.name}-{derive(str(folder.resolve())):016x}"
        self.run = wandb.init(project=project, id=name, dir=folder, resume="allow")

    def scalars(self, kind: str, step: int, values: dict[str, float]) -> None:
        self.run.log({f"{kind}/{name}": value for name, value in values.items()}, step=step)

    def picture(self, step: int, path: Path) -> None:
        self.run.log({"samples": self.wandb.Image(str(path))}, step=step)

    def close(self) -> None:
        self.run.finish()
