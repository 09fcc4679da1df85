"""What the distances cost: Frechet at 1,024 features against MONAI, memory of the neighbours.

    PYTHONPATH=src python benchmarks/distribution_cost.py [--monai] [--vectors 20000]

--monai: needs MONAI with a scipy below 1.18. Prints a markdown table; the two Frechet distances are
timed in turns, the best of each counts, on one thread unless OMP_NUM_THREADS says otherwise.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy

import argparse
import resource
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from brainweave.evaluation.distribution import frechet
from brainweave.evaluation.neighbours import neighbourhoods


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def frechet_speed(n: int, d: int, rounds: int) -> None:
    """The best time of each over `rounds` turns, and how far apart their values are."""
    import torch
    from monai.metrics import FIDMetric

    random = np.random.default_rng(0)
    deviations = np.arange(1, d + 1) ** -0.5
    real, made = random.standard_normal((2, n, d)) * deviations
    x, y = torch.from_numpy(real), torch.from_numpy(made)
    theirs, mine = [], []
    for _ in range(rounds):
        theirs.append(seconds(lambda: FIDMetric()(y, x)))
        mine.append(seconds(lambda: frechet(real, made)))
    ratio = min(theirs) / min(mine)
    gap = abs(float(FIDMetric()(y, x)) - frechet(real, made))
    print(f"| Frechet, d = {d}, n = {n}: MONAI | {min(theirs):.3f} s |")
    print(f"| the same: brainweave | {min(mine):.4f} s, {ratio:.0f} times as fast |")
    print(f"| difference of the values | {gap:.1e} |")


def neighbours_memory(n: int, d: int) -> None:
    """Peak memory beyond the vectors themselves, as numpy reports it and as the system saw it."""
    random = np.random.default_rng(0)
    real, made = random.standard_normal((2, n, d))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    taken = seconds(lambda: neighbourhoods(real, made))
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"| precision to coverage at k = 3, 5, 10, n = m = {n}, d = {d} | {taken:.0f} s |")
    print(f"| its arrays at their peak | {peak:.0f} MiB |")
    print(
        f"| the whole process at its peak | {after / 1024:.0f} MiB ({before / 1024:.0f} before) |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--monai", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vectors", type=int, default=20_000)
    asked = parser.parse_args()
    print("| what | measured |\n|---|---:|")
    neighbours_memory(asked.vectors, 64)
    if asked.monai:
        frechet_speed(200, 1024, asked.rounds)
