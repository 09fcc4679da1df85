"""Runs seen from outside: what they have saved, which processes work on them."""

import os
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

Start = Callable[..., subprocess.Popen[str]]


def working_on(folder: Path) -> list[int]:
    """The processes that were started on a run folder and are still there."""
    listed = subprocess.run(
        ["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if str(folder) in line]


def newest(folder: Path) -> int:
    """The step of the newest state, -1 for none."""
    return max((int(path.stem[5:]) for path in folder.glob("state/step-*.safetensors")), default=-1)


def wait_for(folder: Path, step: int, process: subprocess.Popen[str] | None = None) -> None:
    """Until a state of that step or a later one is there."""
    while newest(folder) < step:
        assert process is None or process.poll() is None, process.communicate()[1]
        time.sleep(0.005)


def signal_at(folder: Path, step: int, number: int) -> None:
    """Sends a signal to this very process once a state of that step is there."""

    def send() -> None:
        wait_for(folder, step)
        os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()
