"""Runs that are killed, signalled and doubled. Run: python benchmarks/robustness.py [quick]

A tiny run on phantoms, first uninterrupted, then 10 times killed (kill -9) at random moments and
started again, then 20 times as two gloo processes, then stopped by SIGTERM and by SIGUSR1 with one
process and with two under torchrun. Prints a table; exits with 1 where a row fails. Some 5 minutes
on two cores; `quick` does a tenth.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from brainweave.conditions.covariates import Scalar
from brainweave.data.cohort import Cohort
from brainweave.data.phantom import write_phantoms
from brainweave.data.preprocess import Preprocess
from brainweave.data.tensors import content_hash
from brainweave.errors import BrainweaveError
from brainweave.networks.unet import UNetConfig
from brainweave.processes.process import Process
from brainweave.recipe import Recipe, Sampling, Training
from brainweave.representations.haar import Haar
from brainweave.training.run import train

KILLS, PAIRS, LONG = 10, 20, 100_000
TORCHRUN = (
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node=2",
    "--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1",
)


def worker(table: str, folder: str, steps: str) -> int:
    """One process of a run; its exit code."""
    torch.set_num_threads(1)
    recipe = Recipe(
        name="tiny",
        preprocess=Preprocess(shape=(16, 16, 16)),
        representation=Haar(whiten=True),
        process=Process(),
        conditions=(Scalar(name="age", low=20, high=80),),
        network=UNetConfig(
            width=8, multipliers=(1, 2), heads=2, groups=4, condition_width=16, dropout=0.1
        ),
        training=Training(
            steps=int(steps), batch=2, lr=1e-3, save_every=5, validate_every=50, validation=0.2
        ),
        sampling=Sampling(steps=2),
    )
    try:
        train(recipe, Cohort.from_csv(Path(table)), Path(folder), device="cpu")
    except BrainweaveError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


class Runs:
    """Starts workers in a folder of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.table = write_phantoms(root / "phantoms", 8, shape=(16, 16, 16), spacing=10.0)

    def start(self, name: str, steps: int, *, pair: bool = False) -> subprocess.Popen[bytes]:
        """A run of one process or of two."""
        command = [sys.executable, *(TORCHRUN if pair else ()), __file__, "worker"]
        command += [str(self.table), str(self.root / name), str(steps)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, env=environment, **quiet)

    def digest(self, name: str) -> str:
        """Of the weights of a finished run."""
        return content_hash(self.root / name / "weights.safetensors")

    def step(self, name: str) -> int:
        """Of the newest state; -1 for none."""
        states = (self.root / name / "state").glob("step-*.safetensors")
        return max((int(path.stem[5:]) for path in states), default=-1)

    def wait(self, name: str, step: int) -> None:
        """Until that step is saved."""
        while self.step(name) < step:
            time.sleep(0.01)


def kills(runs: Runs, count: int, steps: int = 300) -> tuple[bool, str]:
    """Kills a run at random moments, most of them between and some of them in saves."""
    assert runs.start("whole", steps).wait() == 0
    chance, times, failed, at = random.Random(0), 0, 0, []
    while times < count:
        before = runs.step("killed")
        process = runs.start("killed", steps)
        runs.wait("killed", min(before + 5, steps - 5))
        time.sleep(chance.random() / 4)
        process.kill()
        failed += process.wait() != -signal.SIGKILL
        at.append(runs.step("killed"))
        times += 1
    code = runs.start("killed", steps).wait()
    same = runs.digest("killed") == runs.digest("whole")
    result = f"states at {at}, final weights {'equal' if same else 'differ'}"
    return same and code == 0 and failed == 0, result


def pairs(runs: Runs, count: int) -> tuple[bool, str]:
    """Two gloo processes to the end, again and again."""
    codes = [runs.start(f"pair-{index}", 5, pair=True).wait() for index in range(count)]
    digests = {runs.digest(f"pair-{index}") for index in range(count)}
    good = codes.count(0)
    return good == count and len(digests) == 1, f"{good} exit codes 0, {len(digests)} digest"


def stop(runs: Runs, number: signal.Signals, *, pair: bool) -> tuple[bool, str]:
    """A signal in the middle: how long until saved and gone, and what is left."""
    name = f"{number.name}-{pair}"
    process = runs.start(name, LONG, pair=pair)
    runs.wait(name, 5)
    began = time.monotonic()
    process.send_signal(number)
    code = process.wait()
    seconds = time.monotonic() - began
    listed = subprocess.run(
        ["ps", "-eww", "-o", "args="], capture_output=True, text=True, check=True
    )
    orphans = [line for line in listed.stdout.splitlines() if str(runs.root / name) in line]
    expected = 1 if pair else 85  # torchrun's own code is 1 where a worker's is 85
    facts = f"exit {code}, saved step {runs.step(name)} and gone in {seconds:.1f} s"
    return code == expected and not orphans, f"{facts}, {len(orphans)} orphans"


def main() -> int:
    """Print the table."""
    share = 10 if "quick" in sys.argv else 1
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder))
        rows = [
            (f"kill -9, {KILLS // share} times", lambda: kills(runs, KILLS // share)),
            (f"two gloo processes, {PAIRS // share} runs", lambda: pairs(runs, PAIRS // share)),
        ]
        for number in (signal.SIGTERM, signal.SIGUSR1):
            rows += [
                (f"{number.name}, 1 process", lambda n=number: stop(runs, n, pair=False)),
                (f"{number.name}, torchrun, 2", lambda n=number: stop(runs, n, pair=True)),
            ]
        print("| what | result | pass |\n|---|---|---|")
        passed = True
        for title, row in rows:
            good, result = row()
            passed = passed and good
            print(f"| {title} | {result} | {'yes' if good else 'NO'} |", flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(worker(*sys.argv[2:]) if sys.argv[1:2] == ["worker"] else main())
