"""A case at full resolution, end to end. Run: python benchmarks/fullres.py CASE --out FOLDER

`brainweave complete` on the CPU, in a process of its own, makes one modality of CASE (a folder in
BraTS names, such as one of 240 x 240 x 155 voxels of 1 mm) from the others. Prints network calls,
arithmetic, elapsed and CPU seconds, peak memory and whether shape and affine are the inputs', next
to the arithmetic of cWDM's 1000 calls (arXiv:2411.17203), which are not run. Without --model,
networks of the recipes with random weights, which cost what trained ones do. FOLDER must be new.
Usage: fullres.py CASE [--model MODEL] [--recipes complete complete_2mm] [--target t1c]
       [--frame model] [--precision float32] | --quick, with complete_tiny on a phantom of 4 mm
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from brainweave.completion.frame import frame_of
from brainweave.cost import calls_per_volume, flops_per_call
from brainweave.data.brats import NAMINGS, from_brats
from brainweave.data.cohort import Cohort, Subject, canonical_modality
from brainweave.data.phantom import phantom
from brainweave.data.volume import Volume
from brainweave.errors import BrainweaveError
from brainweave.generator import Generator
from brainweave.model_folder import load_recipe
from brainweave.recipe import Recipe
from brainweave.recipes import build
from brainweave.recipes.cwdm import cwdm
from cost import GIB, Use, run


def main() -> None:
    """Prints one table."""
    asked = arguments()
    case = written(asked.out / "phantom") if asked.quick else asked.case
    subject = only(from_brats(case))
    target = canonical_modality(asked.target)
    inputs = linked(subject, target, asked.out / "case")
    print(f"{subject.id}: {target} from {', '.join(inputs)}; {os.cpu_count()} cores, ", end="")
    print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f} before")
    columns = ("calls", "TFLOP per call", "TFLOP", "of cWDM's", "seconds", "CPU seconds")
    print(f"\n| model | network sees | {' | '.join(columns)} | peak, GiB | shape, affine |")
    print("|---" * (len(columns) + 4) + "|")
    base = cwdm()
    all_ = calls_per_volume(base) * flops_per_call(base) / 1e12
    print(f"| cWDM | {counted(base, base.preprocess.shape, all_)} | | | | |")
    for model in [asked.model] if asked.model else random(asked, subject):
        recipe = load_recipe(model)
        frame = frame_of(list(inputs.values()), recipe.preprocess, recipe.factors, asked.frame)
        out = asked.out / f"made-{model.name}"
        used = complete(model, asked, target, out)
        like = next(iter(inputs.values()))
        print(
            f"| {recipe.name} | {counted(recipe, frame.shape, all_)} | {used.wall:.1f} "
            f"| {used.cpu:.1f} | {used.memory / GIB:.2f} | {compared(out, like)} |",
            flush=True,
        )


def complete(model: Path, asked: argparse.Namespace, target: str, out: Path) -> Use:
    """The command's use of time and memory, its start included."""
    words = ["-m", "brainweave", "complete", str(model), str(asked.out / "case")]
    words += ["--only", target, "--frame", asked.frame, "--precision", asked.precision]
    used = run([*words, "--device", "cpu", "--out", str(out)])
    if used.code:
        raise SystemExit(f"brainweave complete ended with {used.code}")
    return used


def counted(recipe: Recipe, shape: tuple[int, int, int], whole: float) -> str:
    """Cells: grid, calls, TFLOP of one and of all, and how many times less than cWDM's."""
    preprocess = recipe.preprocess.replace(shape=shape)
    each, calls = flops_per_call(recipe.replace(preprocess=preprocess)), calls_per_volume(recipe)
    total = each * calls / 1e12
    ratio = f"1 / {whole / total:,.0f}" if total < whole else "1"
    edges, spacing = " x ".join(map(str, shape)), recipe.preprocess.spacing
    at = f" of {' x '.join(f'{mm:g}' for mm in spacing)} mm" if spacing else ""
    return f"{edges}{at} | {calls} | {each / 1e12:.4g} | {total:.4g} | {ratio}"


def compared(out: Path, like: Volume) -> str:
    """Whether what was made lies on the inputs' grid."""
    (path,) = out.rglob("*.nii.gz")
    made = Volume.load(path)
    if made.shape != like.shape:
        return f"{made.shape}, inputs {like.shape}"
    off = float(np.abs(made.affine - like.affine).max())
    return f"equal, {' x '.join(map(str, made.shape))}" if off == 0 else f"affine off by {off:g}"


def random(asked: argparse.Namespace, subject: Subject) -> Iterator[Path]:
    """Models of the recipes with random weights; statistics are those of the case's middle."""
    for name in asked.recipes:
        recipe = build(name, [])
        factor = max(recipe.factors)
        edge = -(-32 // factor) * factor
        small = recipe.replace(preprocess=recipe.preprocess.replace(shape=(edge,) * 3))
        cohort = Cohort([subject])
        template = next(iter(cohort.grids(recipe.targets).values()))
        fitted = small.fitted(small.dataset(cohort), template)
        torch.manual_seed(0)
        folder = asked.out / f"random-{name}"
        Generator(fitted.replace(preprocess=recipe.preprocess)).save(folder)
        yield folder


def linked(subject: Subject, target: str, folder: Path) -> dict[str, Volume]:
    """The case without the target as links in a folder, and its volumes."""
    kept = {n: path for n, path in subject.images.items() if n not in (target, "seg")}
    folder.mkdir(parents=True)
    for path in kept.values():
        (folder / path.name).symlink_to(path.resolve())
    return {name: Volume.load(path) for name, path in kept.items()}


def only(cohort: Cohort) -> Subject:
    """The one case there is."""
    if len(cohort) != 1:
        raise SystemExit(f"{cohort.source} has {len(cohort)} cases; give the folder of one")
    return cohort[0]


def written(folder: Path) -> Path:
    """A phantom in BraTS names."""
    naming = NAMINGS[0]
    for name, volume in phantom(age=50, sex="F", seed=1, shape=(40, 48, 40), lesion=True).items():
        volume.save(folder / naming.name("Phantom_1", name))
    return folder


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--recipes", nargs="+", default=["complete", "complete_2mm"])
    parser.add_argument("--target", default="t1c")
    parser.add_argument("--frame", default="model", choices=("model", "box"))
    parser.add_argument("--precision", default="float32", choices=("float32", "bf16"))
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    if not (asked.case or asked.quick):
        parser.error("give CASE or --quick")
    if asked.out.exists():
        parser.error(f"{asked.out} is there already; give a new folder")
    if asked.quick:
        asked.recipes = ["complete_tiny"]
    return asked


if __name__ == "__main__":
    try:
        main()
    except BrainweaveError as error:
        raise SystemExit(f"error: {error}") from None
