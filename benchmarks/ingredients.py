"""What each part of `t1_2mm` is worth. Run: python benchmarks/ingredients.py COHORT [--only NAMES]

COHORT: as for shipped.py; those without an age are left out. Every variant is the recipe with one
thing changed (FlowLet's own recipe on the same grid is one of them), trained with the same network
arithmetic (--tflop, forward and backward), given a tone curve of its own, and drawn in the same
number of network calls: one volume for everybody of the validation split, judged against the real
ones and looked through for copies of training volumes. One row for each variant and seed; run
again, what is finished is read.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from brainweave import Cohort, Recipe, Request, build, evaluate, generate, tone, train
from brainweave.cost import flops_per_call
from brainweave.data.table import missing
from brainweave.errors import BrainweaveError
from brainweave.evaluation.priors import build_priors
from brainweave.evaluation.report import Report
from brainweave.evaluation.settings import Settings
from brainweave.model_folder import RECIPE
from brainweave.progress import Reporter
from shipped import SEED, accepted, listed

BRIEF = ("training.warmup=20", "training.ema=0.98", "training.save_every=100000")
CALLS = 10
VARIANTS = {
    "t1_2mm": (),
    "begin at 0": ("process.begin=0",),
    "begin at 0.2": ("process.begin=0.2",),
    "no mean head": ("process.begin=0", "atlas=none"),
    "white rest": ("atlas.reach=none",),
    "few modes": ("atlas.modes=4",),
    "one weight for each mode": ("atlas.local=none",),
    "finer channels by themselves": ("atlas.detail=none",),
    "all channels hear": ("atlas.leading=none", "atlas.detail=none"),
    "scale per voxel": ("atlas.scale=voxel",),
    "whiten 0": ("representation.whiten=0",),
    "whiten 0.5": ("representation.whiten=0.5",),
    "whiten 1": ("representation.whiten=1",),
    "one level of Haar": ("representation.levels=1", "atlas.leading=1", "network.width=32"),
    "velocity": ("process.prediction=velocity", "process.weighting=plain"),
    "data": ("process.prediction=data",),
    "noise": ("process.prediction=noise",),
    "no gain": ("network.gain=false",),
    "trigonometric path": ("process.path=Trigonometric",),
    "logit-normal times": ("process.times=logit-normal",),
    "time not scaled": ("network.time_scale=1",),
    "3x3x3 skips": ("network.skip_kernel=3",),
    "FiLM alone": ("network.cross_attention=false",),
    "no positions": ("network.positions=0",),
    "dropout": ("network.dropout=0.1",),
    "affine and elastic": ("training.augment.affine=0.5", "training.augment.elastic=0.5"),
    "no flips": ("training.augment=none",),
    "long average": ("training.ema=0.995",),
    "width 32": ("network.width=32",),
    "width 96": ("network.width=96",),
    "batch 4": ("training.batch=4",),
    "patches": (
        "network=TransformerConfig", "network.patch=2", "network.heads=4", "network.width=256",
        "network.depth=4", "network.mlp_ratio=2", "network.condition_width=128",
    ),
}  # fmt: skip
FLOWLET = (  # its recipe, on this grid and at this scale
    "preprocess.shape=[80,96,80]", "preprocess.spacing=[2,2,2]", "network.width=16",
    "network.groups=8",
    "network.attention_levels=[2]", "network.multipliers=[1,2,4]", "network.condition_width=128",
    "network.checkpointing=false", "training.batch=2", "training.lr=1e-3", "training.lr_end=1e-5",
    "training.precision=float32",
)  # fmt: skip
SHOWN = (
    *(f"{space}/frechet" for space in ("wavelet", "random-cnn", "pca", "regions")),
    "appearance/sharpness", "appearance/background", "ms_ssim diversity", "age slope corrected",
    "copies/residual P(d_train < d_test), all of train",
)  # fmt: skip


def main() -> None:
    """Trains, makes and judges as far as it is not done; prints a row for each."""
    asked = arguments()
    cohort = accepted(asked.cohort)  # FlowLet's recipe trains on known ages only
    known = [s for s in cohort if not missing(s.covariates.get("age"))]
    cohort = Cohort(known, cohort.source)
    real, trained = cohort.select(split="val"), cohort.select(split="train")
    settings = Settings(priors=build_priors(trained, regions="muse", reporter=Reporter()))
    print(f"| variant | seed | GFLOP a call | steps | {' | '.join(SHOWN)} |")
    print("|" + "---|" * (len(SHOWN) + 4), flush=True)
    for name in asked.only or ("flowlet", *VARIANTS):
        for seed in range(asked.seeds):
            recipe = recipe_of(name, seed, asked.tflop)
            folder = asked.out / f"{name.replace(' ', '-')}-{seed}"
            train(recipe, cohort, folder / "run", device=asked.device)
            if not (folder / "toned" / RECIPE).exists():
                tone(folder / "run", cohort, out=folder / "toned", volumes=8, device=asked.device)
            made = drawn(recipe, real, folder, asked)
            report = evaluate(
                real, made, trained, settings=settings, cache=asked.out / "features",
                reporter=Reporter(),
            )  # fmt: skip
            report.save(folder / "report")
            cells = (name, seed, f"{flops_per_call(recipe) / 1e9:.0f}", recipe.training.steps)
            print(f"| {' | '.join(map(str, cells))} | {' | '.join(row(report))} |", flush=True)


def recipe_of(name: str, seed: int, tflop: float) -> Recipe:
    """A variant with as many steps as its arithmetic allows: backward costs as two forward."""
    base, words = ("flowlet", FLOWLET) if name == "flowlet" else ("t1_2mm", VARIANTS[name])
    brief = [word for word in BRIEF if word.partition("=")[0] not in "".join(words)]
    recipe = build(base, ["sampling.grids=[]", *words, *brief, f"training.seed={seed}"])
    assert isinstance(recipe, Recipe)
    steps = round(tflop * 1e12 / (3 * flops_per_call(recipe) * recipe.training.batch))
    sampling = recipe.sampling.replace(steps=CALLS, guidance=1.0, grids=())
    training = recipe.training.replace(steps=steps, epochs=None, validate_every=steps)
    return recipe.replace(sampling=sampling, training=training)


def drawn(recipe: Recipe, real: Cohort, folder: Path, asked: argparse.Namespace) -> Path:
    """The folder of one volume for everybody who validates."""
    table = listed(recipe, list(real), folder / "asked.csv")
    request = Request(words=[str(folder / "toned")], cohort=table, out=folder / "made", seed=SEED)
    generate(replace(request, batch=asked.batch, device=asked.device))
    return folder / "made"


def row(report: Report) -> list[str]:
    """The cells of what is shown."""
    found = {score.name: score for score in report.scores}
    cells = []
    for name in SHOWN:
        score = found.get(name)
        if score is None:
            cells.append("-")
            continue
        span = "" if score.low is None else f" [{score.low:.3g}, {score.high:.3g}]"
        cells.append(f"{score.value:.3g}{span}")
    return cells


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--only", type=lambda words: tuple(words.split(",")))
    parser.add_argument("--tflop", type=float, default=20)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/ingredients"))
    parser.add_argument("--device")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except BrainweaveError as error:
        raise SystemExit(f"error: {error}") from None
