"""One call of cWDM's network at its size. Run: python benchmarks/network_cwdm.py [--grid I,J,K]

81,511,048 parameters, random; input 1 x 32 x 112 x 112 x 80. `plain` is a PyTorch module of the
network's equations as one writes it, below, in inference mode; `ours` the package's, on the same
weights. Both in float32 and under bfloat16 autocast, each in a process of its own that makes one
call: CPU seconds of user and system and seconds of that call, the process's peak resident memory,
and the difference from plain float32, root mean square and largest, in standard deviations of its
output.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, MULTIPLIERS, BLOCKS, GROUPS, SEEN, MADE = 64, (1, 2, 2, 4, 4), 2, 32, 32, 8
GIB = 2**30
KINDS = ("plain float32", "plain bf16", "ours float32", "ours bf16")


class Use(NamedTuple):
    """Of one call, and the peak of its process in bytes."""

    cpu: float
    wall: float
    memory: int


class Block(nn.Module):
    """Norm, SiLU, convolution, twice; the time between, both ends resampled where said."""

    def __init__(self, entry: int, channels: int, resample: str = "") -> None:
        super().__init__()
        self.resample = resample
        convolution = nn.Conv3d(entry, channels, 3, padding=1)
        self.in_layers = nn.Sequential(nn.GroupNorm(GROUPS, entry), nn.SiLU(), convolution)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(4 * WIDTH, channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, channels),
            nn.SiLU(),
            nn.Dropout(0.0),
            nn.Conv3d(channels, channels, 3, padding=1),
        )
        self.skip_connection = nn.Identity()
        if entry != channels:
            self.skip_connection = nn.Conv3d(entry, channels, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.in_layers[1](self.in_layers[0](x))
        if self.resample == "down":
            h, x = F.avg_pool3d(h, 2), F.avg_pool3d(x, 2)
        elif self.resample == "up":
            h, x = F.interpolate(h, scale_factor=2), F.interpolate(x, scale_factor=2)
        h = self.in_layers[2](h)
        h = h + self.emb_layers(time)[:, :, None, None, None]
        return self.skip_connection(x) + self.out_layers(h)


class Plain(nn.Module):
    """cWDM's U-Net under the names of its tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.time_embed = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.SiLU(), nn.Linear(4 * WIDTH, 4 * WIDTH)
        )
        now, kept = WIDTH, [WIDTH]
        stages = [nn.ModuleList([nn.Conv3d(SEEN, WIDTH, 3, padding=1)])]
        for level, multiplier in enumerate(MULTIPLIERS):
            for _ in range(BLOCKS):
                stages.append(nn.ModuleList([Block(now, WIDTH * multiplier)]))
                kept.append(now := WIDTH * multiplier)
            if level < len(MULTIPLIERS) - 1:
                stages.append(nn.ModuleList([Block(now, now, "down")]))
                kept.append(now)
        self.input_blocks = nn.ModuleList(stages)
        self.middle_block = nn.ModuleList([Block(now, now), Block(now, now)])
        stages = []
        for level, multiplier in reversed(list(enumerate(MULTIPLIERS))):
            for index in range(BLOCKS + 1):
                stage = nn.ModuleList([Block(now + kept.pop(), WIDTH * multiplier)])
                now = WIDTH * multiplier
                if level and index == BLOCKS:
                    stage.append(Block(now, now, "up"))
                stages.append(stage)
        self.output_blocks = nn.ModuleList(stages)
        self.out = nn.Sequential(
            nn.GroupNorm(GROUPS, now), nn.SiLU(), nn.Conv3d(now, MADE, 3, padding=1)
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        half = WIDTH // 2
        angles = t[:, None].float() * torch.exp(-math.log(1e4) / half * torch.arange(half))
        time = self.time_embed(torch.cat([angles.cos(), angles.sin()], dim=1))
        h, kept = self.input_blocks[0][0](x), []
        kept.append(h)
        for stage in self.input_blocks[1:]:
            h = stage[0](h, time)
            kept.append(h)
        for block in self.middle_block:
            h = block(h, time)
        for stage in self.output_blocks:
            h = torch.cat([h, kept.pop()], dim=1)
            for block in stage:
                h = block(h, time)
        return self.out(h)


def main() -> None:
    """Prints one table."""
    asked = arguments()
    if asked.kind:
        return call(asked.kind, asked.grid, asked.threads, asked.out)
    edges, plural = " x ".join(map(str, asked.grid)), "s" * (asked.threads > 1)
    print(f"1 x {SEEN} x {edges}, {asked.threads} thread{plural}, torch {torch.__version__}\n")
    titles = "CPU seconds | ratio | seconds | peak memory, GiB | ratio | difference | largest"
    print(f"| network | {titles} |\n|{'---|' * 8}")
    with tempfile.TemporaryDirectory() as folder:
        first, expected = None, None
        for kind in KINDS:
            use = measured(kind, asked, Path(folder) / "output.pt")
            output = torch.load(Path(folder) / "output.pt", weights_only=True)
            first, expected = first or use, output if expected is None else expected
            apart = (output - expected).abs() / expected.std()
            mean, largest = float(apart.square().mean().sqrt()), float(apart.max())
            cpu, memory = use.cpu / first.cpu, use.memory / first.memory
            print(
                f"| {kind} | {use.cpu:.1f} | {cpu:.2f} | {use.wall:.1f} "
                f"| {use.memory / GIB:.2f} | {memory:.2f} | {mean:.1e} | {largest:.1e} |",
                flush=True,
            )


def measured(kind: str, asked: argparse.Namespace, out: Path) -> Use:
    """A process of its own."""
    grid = ",".join(map(str, asked.grid))
    words = [__file__, "--kind", kind, "--grid", grid, "--threads", str(asked.threads)]
    said = subprocess.run(
        [sys.executable, *words, "--out", str(out)], stdout=subprocess.PIPE, text=True, check=True
    )
    return Use(*json.loads(said.stdout))


@torch.inference_mode()
def call(kind: str, grid: tuple[int, int, int], threads: int, out: Path) -> None:
    """The child: one call, timed without building the network."""
    from brainweave.interop.cwdm import network

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    module: nn.Module = Plain().eval()
    assert sum(p.numel() for p in module.parameters()) == 81_511_048
    x, t = torch.randn(1, SEEN, *grid), torch.tensor([500])
    if kind.startswith("ours"):
        module = network(module.state_dict(), {})
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=kind.endswith("bf16")):
        output = module(x, t)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    torch.save(output.float(), out)
    print(json.dumps([cpu, wall, after.ru_maxrss * 1024]))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--grid", type=_edges, default=(112, 112, 80), help="of the coefficients")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def _edges(text: str) -> tuple[int, ...]:
    return tuple(int(edge) for edge in text.split(","))


if __name__ == "__main__":
    main()
