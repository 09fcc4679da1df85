"""The journal: appended, cut back, torn."""

import sys
from pathlib import Path

import pytest

from brainweave.errors import TrainingError
from brainweave.training.journal import Journal, read, require_wandb


def written(folder: Path, *steps: int) -> Path:
    journal = Journal(folder, step=0)
    for step in steps:
        journal.write("train", step, loss=1.0 / step)
    journal.close()
    return folder / "journal.jsonl"


def test_events_come_back_as_written(tmp_path: Path) -> None:
    path = written(tmp_path, 1, 2)
    assert read(path) == [
        {"kind": "train", "step": 1, "loss": 1.0},
        {"kind": "train", "step": 2, "loss": 0.5},
    ]


def test_opening_cuts_back_to_the_step_of_the_state(tmp_path: Path) -> None:
    path = written(tmp_path, 1, 10, 20, 30)
    Journal(tmp_path, step=20).close()
    assert [event["step"] for event in read(path)] == [1, 10, 20]


def test_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, 1, 10)
    path.write_text(path.read_text()[:-9])
    assert [event["step"] for event in read(path)] == [1]


def test_line_that_is_no_event_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, 1, 10)
    path.write_text("hello\n" + path.read_text())
    with pytest.raises(TrainingError, match="line 1 is no event"):
        read(path)


def test_tensorboard_repeats_the_journal(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    written(tmp_path, 1, 2)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(1, 1.0), (2, 0.5)]


def test_wandb_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(TrainingError, match="pip install 'brainweave"):
        require_wandb()
