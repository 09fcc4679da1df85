"""What autoencoders cost. Run: python benchmarks/autoencoder_cost.py [--edges 64 96]

Ours of widths (64, 128), flow 32, against MONAI's AutoencoderKL and AutoencoderKlMaisi of channels
(64, 128, 256), two blocks, no attention (pip install monai): 4 latent channels at a quarter of the
edges for all, random weights, float32, MAISI's convolutions in two splits. Seconds are the best of
some calls, peak memory is resident bytes of a process of its own above those before its calls; the
estimate is what `needs` says. Then ours decodes a large volume: by the plain pass, in slabs, and in
exact tiles that keep to --bound.
Usage: autoencoder_cost.py [--edges 64 96] [--large 240,240,160] [--threads 1] [--best 3]
"""

import argparse
import ctypes
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from brainweave.representations.autoencoders import WaveletFlow, WaveletFlowConfig
from brainweave.representations.autoencoders.positionwise import Plain, Slabs
from cost import GIB, run

MIB, FACTOR, CHANNELS = 2**20, 4, 4
MODELS = ("ours", "AutoencoderKL", "AutoencoderKlMaisi")
PASSES = ("plain", "slabs", "tiles")
FEW = 8  # latents along an edge for a first call; fewer cannot be split


class Cost(NamedTuple):
    """Of one side of a model: seconds, bytes above those before, and of the whole process."""

    seconds: float
    memory: int
    whole: int


def main() -> None:
    """Prints three tables."""
    asked = arguments()
    if asked.child:
        return child(asked)
    if importlib.util.find_spec("monai") is None:
        raise SystemExit("MONAI is not installed; it is compared with: pip install monai")
    print(
        f"{os.cpu_count()} cores, threads {asked.threads}, load {os.getloadavg()[0]:.1f} before, "
    )
    print(f"torch {torch.__version__}, factor {FACTOR}, {CHANNELS} latent channels\n")
    arithmetic()
    passes(asked)
    large(asked)


def arithmetic() -> None:
    """Parameters and operations; a multiplication with its addition counts as two."""
    print("| model | parameters, M | encode, MFLOP per voxel | decode | both, of ours |")
    print("|---|---|---|---|---|")
    edge, first = FEW * FACTOR, None
    x = torch.zeros(1, 1, edge, edge, edge)
    for name in MODELS:
        module, counts = built(name), []
        z = module.encode(x)[0]
        for call, given in ((module.encode, x), (module.decode, z)):
            with FlopCounterMode(display=False) as counter:
                call(given)
            counts.append(counter.get_total_flops() / x.numel() / 1e6)
        first = first or sum(counts)
        count = sum(p.numel() for p in module.parameters()) / 1e6
        encode, decode = counts
        print(f"| {name} | {count:.2f} | {encode:.3f} | {decode:.3f} | {sum(counts) / first:.1f} |")


def passes(asked: argparse.Namespace) -> None:
    """Time and memory of both sides of every model; ours must be near its own estimate."""
    titles = "encode, s | decode, s | both, of ours | encode, peak MiB | decode | estimate, MiB"
    print(f"\n| model | voxels | {titles} |\n{'|---' * 8}|")
    for edge in asked.edges:
        voxels, first = (edge, edge, edge), None
        for name in MODELS:
            encode, decode = (measured(asked, name, side, voxels) for side in ("encode", "decode"))
            both = encode.seconds + decode.seconds
            first = first or both
            told = ""
            if name == "ours":
                told = f"{estimate(voxels, 'slabs') / MIB:.0f}"
                require_near(estimate(voxels, "slabs"), max(encode.memory, decode.memory), voxels)
            print(
                f"| {name} | {edge}^3 | {encode.seconds:.2f} | {decode.seconds:.2f} "
                f"| {both / first:.1f} | {encode.memory / MIB:.0f} | {decode.memory / MIB:.0f} "
                f"| {told} |",
                flush=True,
            )


def large(asked: argparse.Namespace) -> None:
    """A volume as scanners give it, decoded in three ways."""
    edges = " x ".join(map(str, asked.large))
    titles = "seconds | peak, GiB | of the whole process | estimate | largest difference"
    print(f"\n| ours decodes {edges} | {titles} |\n{'|---' * 6}|")
    with tempfile.TemporaryDirectory() as folder:
        expected = None
        for way in PASSES:
            out = Path(folder) / "volume.pt"
            cost = measured(asked, "ours", "decode", asked.large, way=way, out=out)
            volume = torch.load(out, weights_only=True)
            expected = volume if expected is None else expected
            apart = float((volume - expected).abs().max() / expected.abs().max())
            told = asked.bound if way == "tiles" else estimate(asked.large, way)
            require_near(told, cost.memory, asked.large)
            sizes = " | ".join(f"{b / GIB:.2f}" for b in (cost.memory, cost.whole, told))
            print(f"| {way} | {cost.seconds:.1f} | {sizes} | {apart:.0e} |", flush=True)


def require_near(told: int, used: int, voxels: tuple[int, int, int]) -> None:
    """An estimate that misses by more than a factor of 2 misleads."""
    if not used / 2 <= told <= 2 * used:
        print(f"{voxels}: {used / MIB:.0f} MiB used, {told / MIB:.0f} MiB told", file=sys.stderr)
        sys.exit("the estimate misses by more than a factor of 2; see WaveletFlow.needs")


def estimate(voxels: tuple[int, int, int], way: str) -> int:
    """What our passes say that they need."""
    i, j, k = (edge // FACTOR for edge in voxels)
    with torch.device("meta"):
        return ours().needs((i, j, k), Plain if way == "plain" else Slabs)


def measured(
    asked: argparse.Namespace,
    name: str,
    side: str,
    voxels: tuple[int, int, int],
    *,
    way: str = "slabs",
    out: Path | None = None,
) -> Cost:
    """A process of its own."""
    task = {"name": name, "side": side, "voxels": voxels, "way": way, "out": out and str(out)}
    words = ["--threads", str(asked.threads), "--best", str(1 if out else asked.best)]
    used = run([__file__, "--child", json.dumps(task), *words, "--bound", str(asked.bound)])
    if used.code:
        raise SystemExit(f"{name} could not {side} {voxels}; see above")
    return Cost(*json.loads(used.said))


@torch.no_grad()
def child(asked: argparse.Namespace) -> None:
    """Calls one side a few times; prints the seconds of the best, and the bytes before it."""
    task = json.loads(asked.child)
    torch.set_num_threads(asked.threads)
    module = built(task["name"])
    call = calling(module, task["side"], task["way"], asked.bound)
    edges = task["voxels"]
    given = torch.randn(1, 1, *edges)
    if task["side"] == "decode":
        given = torch.randn(1, CHANNELS, *(edge // FACTOR for edge in edges))
    few = FEW if task["side"] == "decode" else FEW * FACTOR
    call(given[:, :, :few, :few, :few])  # libraries are loaded
    if hasattr(library := ctypes.CDLL(None), "malloc_trim"):
        library.malloc_trim(0)  # what glibc keeps of that call
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    times = []
    for _ in range(asked.best):
        began = time.perf_counter()
        made = call(given)
        times.append(time.perf_counter() - began)
    peak = resident("VmHWM")
    if task["out"]:
        torch.save(made.clone(), task["out"])
    print(json.dumps([min(times), peak - before, peak]))


def resident(name: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def calling(module: nn.Module, side: str, way: str, bound: int) -> Callable[[Tensor], Tensor]:
    """One side of a model as a function."""
    if not isinstance(module, WaveletFlow):
        return module.decode if side == "decode" else lambda x: module.encode(x)[0]
    if way == "plain":
        return lambda x: (module.decoder if side == "decode" else module.encoder)(x, Plain)[0]
    memory = bound if way == "tiles" else 0
    if side == "decode":
        return lambda z: module.decode(z, memory=memory)
    return lambda x: module.encode(x, memory=memory)[0]


@torch.no_grad()
def built(name: str) -> nn.Module:
    """A model with random weights, none of them zero."""
    torch.manual_seed(0)
    module = ours() if name == "ours" else theirs(name)
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    return module.eval().requires_grad_(False)


def ours() -> WaveletFlow:
    return WaveletFlowConfig(widths=(64, 128), flow=32, latent_channels=CHANNELS).build()


def theirs(name: str) -> nn.Module:
    """MONAI's; three levels halve edges twice."""
    from monai.apps.generation.maisi.networks.autoencoderkl_maisi import AutoencoderKlMaisi
    from monai.networks.nets import AutoencoderKL

    shared = {
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 1,
        "num_res_blocks": (2, 2, 2),
        "attention_levels": (False, False, False),
        "latent_channels": CHANNELS,
        "with_encoder_nonlocal_attn": False,
        "with_decoder_nonlocal_attn": False,
    }
    widths = (64, 128, 256)
    if name == "AutoencoderKL":
        return AutoencoderKL(channels=widths, **shared)
    return AutoencoderKlMaisi(num_channels=widths, num_splits=2, dim_split=1, **shared)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--edges", type=int, nargs="+", default=(64, 96), help="of cubes")
    parser.add_argument("--large", type=_edges, default=(240, 240, 160), help="voxels")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--best", type=int, default=3, help="of so many calls")
    parser.add_argument("--bound", type=int, default=400 * MIB, help="bytes of the tiles")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def _edges(text: str) -> tuple[int, ...]:
    return tuple(int(edge) for edge in text.split(","))


if __name__ == "__main__":
    main()
