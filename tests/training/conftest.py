"""Phantoms, one uninterrupted run to compare with, and processes to kill."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
import torch
from watching import Start, working_on

from brainweave.data.cohort import Cohort
from brainweave.data.phantom import write_phantoms
from brainweave.training.run import train


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in the order that the other processes take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    return write_phantoms(folder, 8, shape=(16, 16, 16), spacing=10.0)


@pytest.fixture(scope="session")
def cohort(table: Path) -> Cohort:
    return Cohort.from_csv(table)


@pytest.fixture(scope="session")
def whole(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    torch.set_num_threads(1)
    train(tiny.recipe(), cohort, folder, device="cpu", show=False)
    return folder


@pytest.fixture
def start(table: Path) -> Iterator[Start]:
    """Starts the tiny run as a process, as two under torchrun, or in a session of its own; what is
    left of it is killed."""
    folders: list[Path] = []

    def begin(
        folder: Path, *assignments: str, processes: int = 1, session: bool = False
    ) -> subprocess.Popen[str]:
        launcher = [sys.executable]
        if processes > 1:
            handled = "--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
            count = f"--nproc-per-node={processes}"
            launcher += ["-m", "torch.distributed.run", "--standalone", count, handled]
        command = [*launcher, tiny.__file__, str(table), str(folder), *assignments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        folders.append(folder)
        return subprocess.Popen(
            command, **pipes, env=environment, text=True, start_new_session=session
        )

    yield begin
    for folder in folders:
        for process in working_on(folder):
            os.kill(process, signal.SIGKILL)
