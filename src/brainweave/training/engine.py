"""Devices, processes, precision and compilation: the one place of training that knows them.

Several processes are started by torchrun (RANK, WORLD_SIZE, LOCAL_RANK) or by srun (SLURM_PROCID,
SLURM_NTASKS, SLURM_LOCALID, with MASTER_ADDR and MASTER_PORT set in the batch file).

SIGTERM, SIGINT and SIGUSR1 ask for a stop: every process ends the same step, the state is saved
and the command exits with code 85. torchrun passes on SIGTERM and SIGINT, but dies of SIGUSR1 and
leaves its workers behind unless it is started with
`torchrun --signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1`.
"""

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from types import FrameType
from typing import TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from brainweave.device import Precision, computed
from brainweave.errors import TrainingError

T = TypeVar("T")

SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1")
_PATIENCE = timedelta(hours=2)  # while rank 0 fills the cache or draws a preview, the others wait


class Engine:
    """This process among all of them, and its device.

    device: "cpu", "cuda", "cuda:1"; None takes the GPU of this process's local rank where there is
    one. precision: of the network's arithmetic; parameters stay float32, and all does where a CPU
    only imitates bf16, see `computed`.
    Raises TrainingError for a device that is not there and for a launcher that names no address.
    """

    def __init__(self, device: str | None = None, precision: Precision = "float32") -> None:
        self.rank, self.world, local = _place()
        self.device = _device(device, local)
        self.precision = computed(precision, self.device)
        self.stop_requested = False
        if self.world > 1:
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            dist.init_process_group(
                backend, rank=self.rank, world_size=self.world, timeout=_PATIENCE
            )

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[None]:
        """Where the network computes in the engine's precision."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def wrap(self, module: nn.Module, *, unused: bool = False) -> nn.Module:
        """`module` with its gradients averaged over processes; itself where there is one process.

        unused: some parameters get no gradient, which must then be looked for at every step.
        """
        if self.world == 1:
            return module
        ids = [self.device.index or 0] if self.device.type == "cuda" else None
        return DistributedDataParallel(
            module,
            device_ids=ids,
            find_unused_parameters=unused,
            broadcast_buffers=False,  # what was measured is the same everywhere
        )

    def hold(self, module: nn.Module, *, last: bool) -> AbstractContextManager[None]:
        """Around every batch of a step: gradients travel with the last one only."""
        if last or not isinstance(module, DistributedDataParallel):
            return nullcontext()
        return module.no_sync()

    def sum(self, values: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Over all processes, the same bits in each of them."""
        if self.world > 1:
            try:
                dist.all_reduce(values)
            except RuntimeError:
                raise TrainingError(
                    f"process {self.rank} lost the others: see the message of the first that failed"
                ) from None
        return values

    def gather(self, texts: list[str]) -> list[str]:
        """The texts of all processes, in order of rank."""
        if self.world == 1:
            return texts
        lists: list[list[str]] = [[] for _ in range(self.world)]
        dist.all_gather_object(lists, texts)
        return [text for some in lists for text in some]

    def barrier(self) -> None:
        """Waits for all processes."""
        if self.world > 1:
            self.sum(torch.zeros(1, device=self.device))

    def first(self, action: Callable[[], T]) -> T:
        """Does something in the first process, then in all others, such as filling a cache."""
        if self.is_main:
            result = action()
        self.barrier()
        if not self.is_main:
            result = action()
        self.barrier()
        return result

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Turns signals into `stop_requested`; the former handlers return afterwards.

        A second SIGINT interrupts at once. Outside of the main thread signals are left alone.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        known = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
        former = {number: signal.signal(number, self._ask_to_stop) for number in known}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def close(self, *, together: bool = True) -> None:
        """Leaves the process group. Before it, drop every model and optimiser that was wrapped:
        gloo's threads that still hold tensors abort the interpreter at exit (pytorch #179291).

        together: wait for the others first; not after an error that only this process may have.
        """
        gc.collect()
        if self.world > 1 and dist.is_initialized():
            if together:
                self.barrier()
            dist.destroy_process_group()

    def _ask_to_stop(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.stop_requested:
            raise KeyboardInterrupt
        self.stop_requested = True


def first_of_all() -> bool:
    """Whether this process is the first, by the word of what started it."""
    return _place()[0] == 0


def memory(device: torch.device) -> float:
    """The most memory used so far, in MB: of the GPU, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _place() -> tuple[int, int, int]:
    """Rank, number of processes and local rank, from torchrun or else from SLURM."""
    for names in (
        ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
        ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    ):
        if "SLURM_PROCID" in names and "SLURM_STEP_ID" not in os.environ:
            continue  # a batch file without srun: one process, whatever SLURM_NTASKS
        found = [os.environ[name] for name in names if name in os.environ]
        if len(found) == len(names):
            rank, world, local = (int(text) for text in found)
            if world > 1:
                _require_address(names[1], world)
            return rank, world, local
    return 0, 1, 0


def _require_address(name: str, world: int) -> None:
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise TrainingError(
            f"{name} is {world} but {' and '.join(missing)} is not set; export the first node's "
            "name and a free port, or start with torchrun"
        )


def _device(name: str | None, local: int) -> torch.device:
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise TrainingError(f"device {name!r} is unknown; give cpu, cuda or cuda:0") from None
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if device.index is None and count:
            # srun --gpus-per-task shows each process its own GPU only
            device = torch.device("cuda", local % count)
        if (device.index or 0) >= count:
            raise TrainingError(f"device {name} is not there: this machine shows {count} GPUs")
        torch.cuda.set_device(device)
    return device
