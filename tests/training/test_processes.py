"""Several processes: under torchrun, under SLURM's variables, and what a signal leaves."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from watching import Start, newest, wait_for, working_on

from brainweave.data.cohort import Cohort
from brainweave.errors import CheckpointError, TrainingError
from brainweave.training.engine import Engine
from brainweave.training.run import train

PLAN = ("training.steps=12", "training.accumulate=2", "training.validate_every=6")


@pytest.fixture(scope="module")
def pair(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that found each other by SLURM's variables."""
    folder = tmp_path_factory.mktemp("pair") / "run"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = []
    for rank in ("0", "1"):
        slurm = {"SLURM_PROCID": rank, "SLURM_NTASKS": "2", "SLURM_LOCALID": rank}
        place = {"SLURM_STEP_ID": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        environment = os.environ | slurm | place | {"OMP_NUM_THREADS": "1"}
        command = [sys.executable, tiny.__file__, str(table), str(folder), *PLAN]
        both.append(subprocess.Popen(command, env=environment))
    assert [process.wait(120) for process in both] == [0, 0]
    return folder


def test_torchrun_exits_well_with_the_weights_of_the_run_under_slurm(
    start: Start, pair: Path, tmp_path: Path
) -> None:
    process = start(tmp_path / "run", *PLAN, processes=2)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert tiny.digest(tmp_path / "run") == tiny.digest(pair)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signal_under_torchrun_saves_and_leaves_nobody(
    start: Start, tmp_path: Path, number: int
) -> None:
    process = start(tmp_path / "run", "training.steps=2000", processes=2)
    wait_for(tmp_path / "run", 5, process)
    assert len(working_on(tmp_path)) == 3  # torchrun and its two
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert working_on(tmp_path) == []
    assert errors.count("state saved; the same command resumes") == 2
    assert newest(tmp_path / "run") < 2000


def test_another_number_of_processes_is_refused(cohort: Cohort, pair: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pair, tmp_path / "run"))
    (folder / "state" / "step-00000012.safetensors").unlink()  # as if stopped before the end
    with pytest.raises(CheckpointError, match="was trained by 2 processes"):
        train(tiny.recipe(*PLAN), cohort, folder, device="cpu", show=False)


def test_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(TrainingError, match="cuda:99 is not there"):
        Engine("cuda:99")


def test_launcher_without_an_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(TrainingError, match="MASTER_ADDR"):
        Engine("cpu")


def test_batch_file_without_srun_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_STEP_ID", raising=False)
    assert Engine("cpu").world == 1
