"""What volumes and training steps cost. Run: python benchmarks/cost.py [MODEL] [--train]

Counts network calls and TFLOP per volume of MODEL (the shipped one) and of FlowLet's large network
(100 calls); measures CPU seconds and peak memory of `brainweave generate` in processes of their
own, the start told apart from the volumes. With --train also one training step of flowlet_base,
batch 1, in a process that may take 20 GiB: at 112^3 voxels, or the first smaller size that fits.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

GIB = 2**30
SIZES = (112, 96, 80)  # voxels along each edge
MORE = 3  # volumes of the longer of two runs
BROKEN, FULL = 1, 75  # exit codes: an error, no memory


class Use(NamedTuple):
    """What a process used: CPU and elapsed seconds, peak resident bytes, and what it printed."""

    cpu: float
    wall: float
    memory: int
    code: int
    said: str


def main() -> None:
    """Prints one table, with --train two."""
    asked = arguments()
    if asked.step:
        try:
            return step(asked.recipe, asked.step)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or "allocate memory" in str(error):
                sys.exit(FULL)
            raise
    volumes(asked.model)
    if asked.train:
        training(asked.recipe, asked.sizes, asked.limit)


def volumes(model: str | None) -> None:
    """Counted and measured cost of a volume, beside FlowLet's."""
    from brainweave.inspection import inspect
    from brainweave.recipes import build
    from brainweave.weights import locate

    small, large = inspect(locate(model)), inspect(build("flowlet", []))
    print("| per volume | " + " | ".join(f.recipe.name for f in (small, large)) + " | ratio |")
    print("|---|---|---|---|")
    each = [(f.calls, f.flops / 1e12, f.calls * f.flops / 1e12) for f in (small, large)]
    names = ("network calls", "TFLOP per call", "TFLOP")
    for name, ours, theirs in zip(names, *each, strict=True):
        print(f"| {name} | {ours:.4g} | {theirs:.4g} | {theirs / ours:,.0f} |")
    with tempfile.TemporaryDirectory() as folder:
        first = generating(model, 1, Path(folder) / "one")
        more = generating(model, MORE, Path(folder) / "more")
    cpu, wall = ((b - a) / (MORE - 1) for a, b in zip(first[:2], more[:2], strict=True))
    print(f"| CPU seconds | {cpu:.1f} | not measured | |")
    print(f"| seconds, {os.cpu_count()} cores | {wall:.1f} | not measured | |")
    print(f"| CPU seconds of the start | {first.cpu - cpu:.1f} | | |")
    print(f"| peak memory, GiB | {more.memory / GIB:.2f} | not measured | |")


def generating(model: str | None, count: int, out: Path) -> Use:
    """`brainweave generate` of some volumes, conditions not said."""
    words = ["-m", "brainweave", "generate", *([model] if model else [])]
    used = run([*words, "--count", str(count), "--out", str(out)])
    if used.code:
        sys.exit(f"generate ended with {used.code}")
    return used


def training(recipe: str, sizes: list[int], limit: float) -> None:
    """One step at the largest size that fits."""
    print(f"\n| {recipe}, one step, batch 1 | CPU seconds | seconds | peak memory, GiB |")
    print("|---|---|---|---|")
    for size in sizes:
        words = [__file__, "--recipe", recipe, "--step", str(size)]
        used = run(words, limit=int(limit * GIB))
        if used.code == 0:
            told = json.loads(used.said)
            memory = used.memory / GIB
            print(f"| {size}^3 | {told['cpu']:.1f} | {told['wall']:.1f} | {memory:.1f} |")
            return
        if used.code == BROKEN:
            sys.exit(f"the step at {size}^3 failed; see above")
        print(f"| {size}^3 | does not fit into {limit:g} GiB | | |", flush=True)
    sys.exit("no size fits")


def step(name: str, size: int) -> None:
    """The child: one optimiser step on noise, timed without building the model."""
    import torch

    from brainweave.generator import Generator
    from brainweave.recipes import build
    from brainweave.training import optimiser

    recipe = build(name, [])
    shape = (size, size, size)
    recipe = recipe.replace(preprocess=recipe.preprocess.replace(shape=shape))
    generator, plan = Generator(recipe).train(), recipe.training
    update = optimiser.adamw(generator, plan)
    volume = torch.rand(1, 1, *shape) * 2 - 1
    began, used = time.perf_counter(), time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=plan.precision == "bf16"):
        loss = generator.loss(volume, {}).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(generator.parameters(), plan.grad_clip or 1.0)
    update.step()
    took = {"cpu": time.process_time() - used, "wall": time.perf_counter() - began}
    print(json.dumps(took))


def run(words: list[str], limit: int | None = None) -> Use:
    """A Python process of its own; limit: bytes of address space."""

    def confine() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    began = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, text=True, preexec_fn=confine
    )
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall, cpu = time.perf_counter() - began, used.ru_utime + used.ru_stime
    return Use(cpu, wall, used.ru_maxrss * 1024, child.returncode, said)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", help="a model folder; default: the shipped one")
    parser.add_argument("--train", action="store_true", help="measure a training step too")
    parser.add_argument("--recipe", default="flowlet_base", help="of the training step")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="largest first")
    parser.add_argument("--limit", type=float, default=20.0, help="GiB of the training step")
    parser.add_argument("--step", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
