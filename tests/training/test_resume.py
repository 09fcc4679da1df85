"""An interrupted run goes on as if it had not been interrupted."""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from watching import Start, newest, signal_at, wait_for, working_on

from brainweave.data.cohort import Cohort
from brainweave.data.dataset import Batch
from brainweave.errors import (
    CheckpointError,
    CohortError,
    Interrupted,
    OutputError,
    RecipeError,
    TrainingError,
)
from brainweave.generator import Generator
from brainweave.model_folder import load_recipe
from brainweave.training import run
from brainweave.training.engine import Engine
from brainweave.training.journal import Journal
from brainweave.training.pace import minutes_of
from brainweave.training.run import train
from brainweave.training.trainer import Trainer


def interrupted(cohort: Cohort, folder: Path, step: int, number: int = signal.SIGTERM) -> None:
    """A run that a signal stopped after `step`."""
    signal_at(folder, step, number)
    with pytest.raises(Interrupted, match="the same command resumes"):
        train(tiny.recipe(), cohort, folder, device="cpu", show=False)


def again(cohort: Cohort, folder: Path, *assignments: str, show: bool = False) -> None:
    train(tiny.recipe(*assignments), cohort, folder, device="cpu", show=show)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_run_resumed_after_a_signal_equals_the_uninterrupted_one(
    cohort: Cohort, whole: Path, tmp_path: Path, number: int
) -> None:
    interrupted(cohort, tmp_path / "run", 10, number)
    assert 10 <= newest(tmp_path / "run") < tiny.STEPS
    again(cohort, tmp_path / "run")
    assert tiny.digest(tmp_path / "run") == tiny.digest(whole)


def test_two_processes_do_not_train_in_one_folder(
    cohort: Cohort, whole: Path, start: Start, tmp_path: Path
) -> None:
    process = start(tmp_path / "run")
    wait_for(tmp_path / "run", 0, process)
    with pytest.raises(OutputError, match="another process trains in it"):
        again(cohort, tmp_path / "run")
    process.kill()
    process.wait()
    again(cohort, tmp_path / "run")
    assert tiny.digest(tmp_path / "run") == tiny.digest(whole)


def test_a_run_that_began_meanwhile_is_not_written_over(
    cohort: Cohort, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = run.claim

    def late(folder: Path) -> object:
        shutil.copytree(whole, folder, dirs_exist_ok=True)
        return claim(folder)

    monkeypatch.setattr(run, "claim", late)
    with pytest.raises(OutputError, match="a run began there meanwhile"):
        again(cohort, tmp_path / "run")
    assert tiny.digest(tmp_path / "run") == tiny.digest(whole)


def test_a_signal_that_comes_when_all_is_done_is_not_lost(
    cohort: Cohort, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = Journal.close

    def closing(journal: Journal) -> None:
        close(journal)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Journal, "close", closing)
    with pytest.raises(Interrupted, match="as the run was finished"):
        again(cohort, tmp_path / "run")
    assert tiny.digest(tmp_path / "run") == tiny.digest(whole)


def test_run_killed_three_times_equals_the_uninterrupted_one(
    start: Start, whole: Path, tmp_path: Path
) -> None:
    folder, chance = tmp_path / "run", random.Random(0)
    for step in (0, 10, 20):
        process = start(folder)
        wait_for(folder, step, process)
        time.sleep(chance.random() / 5)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    process = start(folder)
    output, errors = process.communicate()
    assert output.strip() == tiny.digest(whole), errors


def test_flipped_bit_in_the_newest_state_falls_back_to_the_one_before(
    cohort: Cohort, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    interrupted(cohort, folder, 10)
    state = folder / "state" / f"step-{newest(folder):08d}.safetensors"
    content = bytearray(state.read_bytes())
    content[-1000] ^= 1
    state.write_bytes(content)
    again(cohort, folder, show=True)
    assert f"moved to {state.name}.damaged" in capsys.readouterr().err
    assert tiny.digest(folder) == tiny.digest(whole)


def test_run_without_a_usable_state_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    interrupted(cohort, tmp_path / "run", 10)
    for state in (tmp_path / "run" / "state").iterdir():
        os.truncate(state, 1000)
    with pytest.raises(CheckpointError, match="no usable state"):
        again(cohort, tmp_path / "run")


def test_finished_run_is_left_as_it_is(
    cohort: Cohort, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    again(cohort, whole, show=True)
    assert "this run is finished" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def test_two_states_are_kept(whole: Path) -> None:
    names = sorted(path.name for path in (whole / "state").iterdir())
    assert names == ["step-00000025.safetensors", "step-00000030.safetensors"]


def test_journal_of_a_resumed_run_says_nothing_twice(cohort: Cohort, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    interrupted(cohort, folder, 10)
    path = folder / "journal.jsonl"
    ahead = {"kind": "train", "step": 29, "loss": 0.0}
    path.write_text(path.read_text() + json.dumps(ahead) + '\n{"kind": "tr')
    again(cohort, folder)
    events = [json.loads(line) for line in path.read_text().splitlines()]
    steps = [event["step"] for event in events if event["kind"] == "train"]
    assert steps == [1, 10, 20, 30]


def test_another_recipe_is_refused_with_its_differences(cohort: Cohort, whole: Path) -> None:
    with pytest.raises(RecipeError, match=r"training\.lr was 0\.003, now 0\.1"):
        again(cohort, whole, "training.lr=0.1")


def test_workers_may_change_between_two_starts(cohort: Cohort, whole: Path, tmp_path: Path) -> None:
    interrupted(cohort, tmp_path / "run", 15)
    again(cohort, tmp_path / "run", "training.workers=1")
    assert tiny.digest(tmp_path / "run") == tiny.digest(whole)


def test_other_subjects_are_refused(cohort: Cohort, tmp_path: Path) -> None:
    interrupted(cohort, tmp_path / "run", 10)
    with pytest.raises(CohortError, match="the run began with other subjects"):
        again(cohort[:-1], tmp_path / "run")


def test_folder_with_something_else_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RecipeError, match=r"not empty and no run \(it has thesis\.tex\)"):
        again(cohort, tmp_path)


def test_model_folder_without_state_is_refused(cohort: Cohort, whole: Path, tmp_path: Path) -> None:
    for name in ("recipe.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    with pytest.raises(CheckpointError, match="weights but no state"):
        again(cohort, tmp_path)


def test_handlers_of_signals_return_after_a_run(cohort: Cohort, tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    again(cohort, tmp_path / "run", "training.steps=1")
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_signal_to_loader_workers_too_saves_and_leaves_nobody(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, "training.steps=20000", "training.workers=1", session=True)
    wait_for(folder, 5, process)
    assert len(working_on(folder)) == 2
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 85, errors
    assert working_on(folder) == []
    assert newest(folder) > 5


@pytest.mark.parametrize("size", [0, 5000])
def test_damaged_weights_of_a_finished_run_are_made_again(
    cohort: Cohort, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: int
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    os.truncate(folder / "weights.safetensors", size)
    again(cohort, folder, show=True)
    assert "made again from the last state" in capsys.readouterr().err
    assert tiny.digest(folder) == tiny.digest(whole)


def test_damaged_weights_of_a_damaged_run_are_trained_again(
    cohort: Cohort, whole: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    (folder / "weights.safetensors").unlink()
    state = folder / "state" / "step-00000030.safetensors"
    content = bytearray(state.read_bytes())
    content[-1000] ^= 1
    state.write_bytes(content)
    again(cohort, folder)
    assert tiny.digest(folder) == tiny.digest(whole)


def test_damaged_best_weights_cannot_be_made_again(cohort: Cohort, tmp_path: Path) -> None:
    plan = ("training.steps=2", "training.patience=5", "training.validate_every=1")
    again(cohort, tmp_path / "run", *plan)
    (tmp_path / "run" / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match="the best weights are in this file alone"):
        again(cohort, tmp_path / "run", *plan)


def test_labels_and_sampling_may_change_in_a_finished_run(
    cohort: Cohort, whole: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whole, tmp_path / "run"))
    again(cohort, folder, "licence=CC0-1.0", "sampling.steps=7")
    recipe = Generator.load(folder).recipe
    assert (recipe.licence, recipe.sampling.steps) == ("CC0-1.0", 7)


def test_validation_may_not_move_under_patience(cohort: Cohort, tmp_path: Path) -> None:
    plan = ("training.steps=2", "training.patience=5")
    again(cohort, tmp_path / "run", *plan, "training.validate_every=1")
    with pytest.raises(RecipeError, match=r"training\.validate_every was 1, now 2"):
        again(cohort, tmp_path / "run", *plan, "training.validate_every=2")


def test_a_run_that_fits_into_its_minutes_is_the_one_without(
    cohort: Cohort, whole: Path, tmp_path: Path
) -> None:
    again(cohort, tmp_path / "run", "training.minutes=1000")
    assert tiny.digest(tmp_path / "run") == tiny.digest(whole)


def test_a_run_takes_the_steps_that_fit_into_its_minutes_and_stays_with_them(
    cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again(cohort, tmp_path / "run", "training.minutes=1e-6", show=True)
    assert "1 of 30 steps fit into 1e-06 minutes" in capsys.readouterr().err
    assert load_recipe(tmp_path / "run").training.within == 1
    again(cohort, tmp_path / "run", "training.minutes=1e-6", show=True)
    assert "nothing to do" in capsys.readouterr().err
    with pytest.raises(RecipeError, match=r"training\.minutes was 1e-06, now 2"):
        again(cohort, tmp_path / "run", "training.minutes=2")


def test_minutes_need_one_process() -> None:
    engine = Engine("cpu")
    engine.world = 2
    with pytest.raises(TrainingError, match="needs one process, got 2"):
        minutes_of(tiny.recipe("training.minutes=5"), engine)


def test_a_signal_while_steps_are_timed_leaves_no_number_of_them(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.step

    def stopping(own: Trainer, batches: Iterator[Batch]) -> tuple[dict[str, float], bool]:
        own.engine.stop_requested = True
        return step(own, batches)

    monkeypatch.setattr(Trainer, "step", stopping)
    with pytest.raises(Interrupted, match="before step 1"):
        again(cohort, tmp_path / "run", "training.minutes=1000")
    assert not (tmp_path / "run" / "recipe.json").exists()
    monkeypatch.undo()
    again(cohort, tmp_path / "run", "training.minutes=1000", "training.steps=2")
    assert load_recipe(tmp_path / "run").training.within > 2
