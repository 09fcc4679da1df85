"""Haar against dense matrices. Run: python benchmarks/haar.py

One volume of 224 x 224 x 160, one level, both directions. The dense transform is written as
FlowLet (arXiv:2601.05212) and cWDM (arXiv:2411.17203) write it: per axis a low and a high matrix of
n / 2 x n, in order j, k, i, bands joined at the end. `built` makes the matrices in each call, as
cWDM does. Milliseconds are the median of 5 runs after one to warm up, all in one process; ratio is
dense time over ours. Error is the largest of a round trip over the volume's range of 2; under
autocast both directions run inside it. Usage: haar.py [I,J,K] [THREADS]
"""

import ctypes
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainweave import Haar

SHAPE, RUNS = (224, 224, 160), 5
CASTS = (None, torch.bfloat16, torch.float16)
Map = Callable[[Tensor], Tensor]


class Matrices(NamedTuple):
    """Low and high pass along i, j and k."""

    i: tuple[Tensor, Tensor]
    j: tuple[Tensor, Tensor]
    k: tuple[Tensor, Tensor]


def matrices(shape: tuple[int, int, int]) -> Matrices:
    """All six, filled entry by entry in NumPy as there."""
    return Matrices(*(_pair(size) for size in shape))


def dense_forward(x: Tensor, m: Matrices) -> Tensor:
    """Eight bands [b 8 i/2 j/2 k/2], letters in order i, j, k."""
    bands = {}
    for j, along_j in enumerate(m.j):
        y = torch.matmul(along_j, x)
        for k, along_k in enumerate(m.k):
            z = torch.matmul(y, along_k.t()).transpose(2, 3)
            for i, along_i in enumerate(m.i):
                bands[i, j, k] = torch.matmul(along_i, z).transpose(2, 3)
    return torch.cat([bands[letters] for letters in sorted(bands)], dim=1)


def dense_inverse(z: Tensor, m: Matrices) -> Tensor:
    """The volume of eight bands."""
    bands = z.unflatten(1, (2, 2, 2, 1))
    columns = []
    for j in (0, 1):
        rows = [
            sum(
                torch.matmul(m.i[i].t(), bands[:, i, j, k].transpose(2, 3)) for i in (0, 1)
            ).transpose(2, 3)
            for k in (0, 1)
        ]
        columns.append(torch.matmul(rows[0], m.k[0]) + torch.matmul(rows[1], m.k[1]))
    return torch.matmul(m.j[0].t(), columns[0]) + torch.matmul(m.j[1].t(), columns[1])


def main(shape: tuple[int, int, int] = SHAPE, threads: int = 1) -> None:
    """Prints two tables: times, errors."""
    torch.set_num_threads(threads)
    keep_memory()
    x = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    haar, ready = Haar(), matrices(shape)
    z = haar.transform(x)
    assert (z - dense_forward(x, ready)).abs().max() < 1e-5, "both give the same bands"

    edges, plural = " x ".join(map(str, shape)), "s" * (threads > 1)
    print(f"{edges}, float32, {threads} thread{plural}, torch {torch.__version__}\n")
    print("| direction | ours, ms | dense, ms | ratio | dense, built, ms | ratio |")
    print("|---|---|---|---|---|---|")
    compare("forward", x, haar.transform, dense_forward, ready)
    compare("inverse", z, haar.invert, dense_inverse, ready)
    there = lambda v: haar.invert(haar.transform(v))  # noqa: E731
    compare("both", x, there, lambda v, m: dense_inverse(dense_forward(v, m), m), ready)

    print("\n| round trip under | ours, error / range | dense, error / range |")
    print("|---|---|---|")
    for cast in CASTS:
        ours = error(x, lambda v: haar.invert(haar.transform(v)), cast)
        dense = error(x, lambda v: dense_inverse(dense_forward(v, ready), ready), cast)
        name = "no autocast" if cast is None else f"{str(cast).removeprefix('torch.')} autocast"
        print(f"| {name} | {ours:.1e} | {dense:.1e} |")


def keep_memory() -> None:
    """Lets glibc keep what is freed: else all times are those of the system giving pages anew."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        for trim_and_mmap_threshold in (-1, -3):
            library.mallopt(trim_and_mmap_threshold, 2**31 - 1)


def compare(
    title: str, x: Tensor, ours: Map, dense: Callable[[Tensor, Matrices], Tensor], ready: Matrices
) -> None:
    """One row: all three timed one after the other."""
    size = ready.i[0].shape[1], ready.j[0].shape[1], ready.k[0].shape[1]
    own = milliseconds(lambda: ours(x))
    prepared = milliseconds(lambda: dense(x, ready))
    built = milliseconds(lambda: dense(x, matrices(size)))
    cells = f"{own:.1f} | {prepared:.1f} | {prepared / own:.1f} | {built:.1f} | {built / own:.1f}"
    print(f"| {title} | {cells} |", flush=True)


def milliseconds(call: Callable[[], object]) -> float:
    """CPU time of this process, so that other work on the machine counts little."""
    call()
    times = []
    for _ in range(RUNS):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return 1000 * median(times)


def error(x: Tensor, round_trip: Map, cast: torch.dtype | None) -> float:
    """Of a round trip, as a share of the range."""
    with torch.autocast("cpu", cast or torch.bfloat16, enabled=cast is not None):
        back = round_trip(x)
    return float((back.float() - x).abs().max() / (x.max() - x.min()))


def _pair(size: int) -> tuple[Tensor, Tensor]:
    low, high = np.zeros((size // 2, size)), np.zeros((size // 2, size))
    for row in range(size // 2):
        for column in (0, 1):
            low[row, 2 * row + column] = 0.5**0.5
            high[row, 2 * row + column] = (-1) ** column * 0.5**0.5
    return torch.tensor(low, dtype=torch.float32), torch.tensor(high, dtype=torch.float32)


if __name__ == "__main__":
    words = sys.argv[1:]
    edges = tuple(int(edge) for edge in words[0].split(",")) if words else SHAPE
    main(edges, int(words[1]) if len(words) > 1 else 1)
