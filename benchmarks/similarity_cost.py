"""MS-SSIM of ours, MONAI and pytorch-msssim on one pair, one run. Needs both packages installed.

Run: python benchmarks/similarity_cost.py [I,J,K] [THREADS]; 176,176,176 and 1 by default. Seconds
are CPU time, so that other work on the machine counts little; ours is the median of 5 runs after
one to warm up, the others ran once (tens of seconds). Ratio is theirs over ours.
"""

import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from statistics import median

import numpy as np
import pytorch_msssim
import torch
from monai.metrics import MultiScaleSSIMMetric
from scipy.ndimage import gaussian_filter

from brainweave.evaluation.similarity import ms_ssim

SHAPE, RUNS = (176, 176, 176), 5


def main(shape: tuple[int, ...] = SHAPE, threads: int = 1) -> None:
    """Prints the table."""
    torch.set_num_threads(threads)
    random = np.random.default_rng(0)
    a = gaussian_filter(random.random(shape, dtype=np.float32), 1.5)
    a = (a - a.min()) / np.ptp(a)
    b = np.clip(a + 0.05 * random.standard_normal(shape, dtype=np.float32), 0, 1)
    x, y = (torch.from_numpy(v)[None, None] for v in (a, b))

    ms_ssim(a, b)
    ours = [timed(lambda: ms_ssim(a, b)) for _ in range(RUNS)]
    own, value = median(seconds for seconds, _ in ours), ours[0][1]
    names = ("torch", "monai", "pytorch-msssim")
    print(", ".join(f"{name} {version(name)}" for name in names))
    print(f"{' x '.join(map(str, shape))}, {threads} thread{'s' * (threads > 1)}\n")
    print("| MS-SSIM | seconds | ratio | value | ours - its |")
    print("|---|---|---|---|---|")
    print(f"| brainweave, float64 | {own:.2f} | 1 | {value:.7f} | |", flush=True)
    monai = MultiScaleSSIMMetric(len(shape), data_range=1.0)
    others = {
        "pytorch-msssim, float32": lambda: float(pytorch_msssim.ms_ssim(x, y, data_range=1.0)),
        "MONAI, float32": lambda: float(monai(x, y)),
    }
    for name, call in others.items():
        seconds, other = timed(call)
        cells = f"{seconds:.2f} | {seconds / own:.1f} | {other:.7f} | {value - other:+.1e}"
        print(f"| {name} | {cells} |", flush=True)


def timed(call: Callable[[], float]) -> tuple[float, float]:
    """CPU seconds of this process, and the result."""
    began = time.process_time()
    value = call()
    return time.process_time() - began, value


if __name__ == "__main__":
    words = sys.argv[1:]
    edges = tuple(int(edge) for edge in words[0].split(",")) if words else SHAPE
    main(edges, int(words[1]) if len(words) > 1 else 1)
