"""Quality against network calls, and against where they begin.

Run: python benchmarks/calls.py COHORT [--model M] [--calls 2,10] [--begin 0.2,0.5] [--out FOLDER]

COHORT: as for shipped.py. One volume for everybody of the validation split, each number of calls
and each time to begin at (the model's own, if not said), by even Euler steps without guidance from
the same seeds, judged against the real ones and looked through for copies of training volumes; and
how far a volume is from that of the most calls, as PSNR over its range where that one is above the
background. Run again, nothing is made twice.
"""

import argparse
from pathlib import Path

import numpy as np

from brainweave import Request, Volume, evaluate, generate, locate
from brainweave.data.table import missing
from brainweave.evaluation.priors import build_priors
from brainweave.evaluation.settings import Settings
from brainweave.model_folder import load_recipe
from brainweave.processes import grids
from brainweave.progress import Reporter
from shipped import accepted, line, listed

SEED = 2025
SHOWN = (
    *(f"{space}/frechet" for space in ("wavelet", "pca", "random-cnn", "regions")),
    "wavelet/kid",
    "random-cnn/kid",
    "appearance/sharpness",
    "appearance/grain",
    "ms_ssim diversity",
    "age r",
    "age slope corrected",
    "copies/residual P(d_train < d_test), all of train",
    "copies/nearest r mean",
)


def main() -> None:
    """Makes, judges, prints one table per score."""
    asked = arguments()
    recipe, cohort = load_recipe(locate(asked.model)), accepted(asked.cohort)
    val, train = cohort.select(split="val"), cohort.select(split="train")
    known = [s for s in val if not missing(s.covariates.get("age"))]
    table = listed(recipe, known, asked.out / "asked.csv")
    print(f"`{recipe.name}`, {len(known)} volumes each, {len(val)} real ones (validation split)\n")
    rows = {name: [] for name in SHOWN}
    settings = Settings(priors=build_priors(train, regions="muse", reporter=Reporter()))
    for begin in asked.begin or (recipe.process.first_time,):
        most = None
        for calls in sorted(asked.calls, reverse=True):
            folder = asked.out / f"{calls}-from-{begin:g}"
            request = Request(
                words=[] if asked.model is None else [asked.model], cohort=table, out=folder,
                times=grids.uniform(calls, begin)[:-1].tolist(), batch=asked.batch, seed=SEED,
                guidance=1.0, sampler="euler",
            )  # fmt: skip
            made = [Volume.load(path).data.numpy() for path in generate(request)]
            most = most or made
            report = evaluate(val, folder, train, settings=settings, cache=asked.out / "features")
            for score in report.scores:
                if score.name in rows:
                    rows[score.name].append(f"| {calls} from {begin:g} {line(score)}")
            near = [psnr(a, b) for a, b in zip(made, most, strict=True)]
            print(f"{calls} calls from {begin:g}: {np.mean(near):.1f} dB", flush=True)
    print("\n| calls | score | value | real | z | n |\n|---|---|---|---|---|---|")
    print("\n".join(row for name in SHOWN for row in rows[name]))


def psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    """Of a volume where another is above its least value, over its range, in dB."""
    low, high = float(wanted.min()), float(wanted.max())
    head = wanted > low + 0.01 * (high - low)
    error = float(np.mean((found[head].astype(float) - wanted[head]) ** 2))
    return np.inf if error == 0 else 10 * float(np.log10((high - low) ** 2 / error))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--out", type=Path, default=Path("out/calls"))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--calls", type=_numbers, default=(1, 2, 4, 6, 10, 20, 50, 100))
    parser.add_argument("--begin", type=lambda words: tuple(map(float, words.split(","))))
    return parser.parse_args()


def _numbers(words: str) -> tuple[int, ...]:
    return tuple(int(word) for word in words.split(","))


if __name__ == "__main__":
    main()
