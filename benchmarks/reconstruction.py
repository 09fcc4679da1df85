"""What autoencoders lose. Run: python benchmarks/reconstruction.py --out FOLDER t1=DATA brats=DATA

Trains the autoencoder of latent diffusion and ours, of one size, compression and budget (steps,
batch, patches, losses), ours with and without the wavelet loss, each on every cohort, for all its
modalities together, and returns the volumes of those who validate: by the cohort's column split,
else the share --validation of persons, the same for all.

First table: means with 95 % bootstraps over persons, metrics as in `brainweave evaluate`: PSNR of
the volume and of the head in dB of the range, SSIM, MS-SSIM, error of detail (0: none, 1: all).
Second table: each minus the first on the same volumes.

Run again, what is finished is read and what was interrupted goes on. --print prints what is there.
--quick takes phantoms of 5 mm, small networks and 6 steps.
Usage: reconstruction.py [NAME=DATA ...] --out FOLDER [--set field=value ...] [--validation 0.3]
"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from brainweave.compression import AutoencoderRecipe
from brainweave.cost import flops_per_call, parameter_count
from brainweave.data.cohort import Cohort
from brainweave.data.phantom import write_phantoms
from brainweave.errors import BrainweaveError
from brainweave.evaluation.base import bootstrap
from brainweave.model_folder import load_autoencoder_recipe
from brainweave.recipes import build
from brainweave.roundtrip import TABLE, of_run
from brainweave.training.journal import JOURNAL, read
from brainweave.training.run import train

VARIANTS = {  # recipe and assignments; the first is what the others are compared with
    "kl": ("kl_2mm", ()),
    "wavelet-flow": ("wfvae_2mm", ()),
    "wavelet-flow, no wavelet loss": ("wfvae_2mm", ("training.wavelet=0",)),
}
METRICS = ("psnr", "psnr [head]", "ssim", "ms_ssim", "high_frequency_error")
QUICK = (
    *("training.patch=[16,16,16]", "preprocess.shape=[32,40,32]", "preprocess.spacing=[5,5,5]"),
    *("autoencoder.widths={widths}", "training.validate_every=6", "steps=6"),
)
WIDTHS = {"kl_2mm": "[8,8,8]", "wfvae_2mm": "[8,8]"}
Rows = dict[str, dict[str, Any]]  # one variant's, by id and modality


def main() -> None:
    """Trains and measures as far as it is not done; prints."""
    asked = arguments()
    for name, data in asked.data if not asked.print else ():
        cohort = Cohort.open(data)
        for variant in VARIANTS:
            folder = asked.out / name / variant.replace(", ", "-").replace(" ", "-")
            train(recipe(variant, cohort, asked), cohort, folder, device=asked.device)
            of_run(folder, device=asked.device)
    print_means(asked.out)
    print_differences(asked.out)


def recipe(variant: str, cohort: Cohort, asked: argparse.Namespace) -> AutoencoderRecipe:
    """A variant's for all modalities of a cohort that are images."""
    name, own = VARIANTS[variant]
    modalities = ",".join(m for m in cohort.modalities if m not in ("seg", "labels"))
    quick = [text.format(widths=WIDTHS[name]) for text in QUICK] if asked.quick else []
    given = [f"targets={modalities}", f"training.validation={asked.validation}", *own, *quick]
    made = build(name, [*given, *asked.set])
    assert isinstance(made, AutoencoderRecipe)
    return made


def finished(out: Path) -> Iterator[tuple[str, str, Path]]:
    """Cohort, variant and folder of every run that was measured, in the order of VARIANTS."""
    order = {variant.replace(", ", "-").replace(" ", "-"): variant for variant in VARIANTS}
    for place in sorted(path for path in out.iterdir() if path.is_dir()):
        for folder, variant in order.items():
            if (place / folder / TABLE).is_file():
                yield place.name, variant, place / folder


def print_means(out: Path) -> None:
    """Every variant on every cohort, a row for each modality."""
    costs = ("M parameters", "MFLOP per voxel", "s per step")
    heads = ["cohort", "autoencoder", *costs, "modality", "n", *METRICS]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for cohort, variant, folder in finished(out):
        found = json.loads((folder / TABLE).read_text())["scores"]
        for modality, scores in found.items():
            named = {score["name"]: score for score in scores}
            shown = [cell(named[metric]) for metric in METRICS]
            cells = [cohort, variant, *costs_of(folder), modality, str(named["psnr"]["n"]), *shown]
            print(f"| {' | '.join(cells)} |")


def print_differences(out: Path) -> None:
    """Every variant minus the first on the same volumes, over all modalities."""
    first, *others = VARIANTS
    runs = {(cohort, variant): rows_of(folder) for cohort, variant, folder in finished(out)}
    print(f"\n| cohort | minus {first} | n | {' | '.join(METRICS)} |")
    print(f"{'|---' * (3 + len(METRICS))}|")
    for cohort in dict.fromkeys(name for name, _ in runs):
        for variant in others:
            if (cohort, first) in runs and (cohort, variant) in runs:
                pair = runs[cohort, first], runs[cohort, variant]
                cells = [difference(*pair, metric) for metric in METRICS]
                print(f"| {cohort} | {variant} | {len(pair[0])} | {' | '.join(cells)} |")


def difference(first: Rows, other: Rows, metric: str) -> str:
    """Its mean with a 95 % interval over persons."""
    values = np.array([other[key][metric] - row[metric] for key, row in first.items()])
    persons = [row["subject"] for row in first.values()]

    def mean(values: np.ndarray, chosen: np.ndarray) -> float:
        return float(values[chosen].mean())

    value, low, high = bootstrap(partial(mean, values), persons)
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def rows_of(folder: Path) -> Rows:
    """What was measured of every volume."""
    rows = json.loads((folder / TABLE).read_text())["rows"]
    return {f"{row['id']} {row['modality']}": row for row in rows}


def costs_of(folder: Path) -> list[str]:
    """Cells: parameters, arithmetic there and back, and the middle of the seconds per step."""
    made = load_autoencoder_recipe(folder)
    voxels = float(np.prod(made.preprocess.shape))
    seconds = [event["seconds"] for event in read(folder / JOURNAL) if event["kind"] == "train"]
    return [
        f"{parameter_count(made) / 1e6:.2f}",
        f"{flops_per_call(made) / voxels / 1e6:.3f}",
        f"{np.median(seconds):.2f}",
    ]


def cell(score: dict[str, Any]) -> str:
    spread = "" if score["low"] is None else f" [{score['low']:.3f}, {score['high']:.3f}]"
    return "inf" if score["value"] is None else f"{score['value']:.3f}{spread}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="*", help="NAME=DATA")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--set", nargs="*", default=[], help="field=value")
    parser.add_argument("--validation", type=float, default=0.3)
    parser.add_argument("--device")
    parser.add_argument("--print", action="store_true")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    asked.data = [tuple(word.partition("=")[::2]) for word in asked.data]
    if asked.quick:
        shape, names = (32, 40, 32), ("t1w", "t2w")
        asked.out.mkdir(parents=True, exist_ok=True)
        if not (heads := asked.out / "phantoms.csv").exists():
            write_phantoms(asked.out / "heads", 6, shape=shape, modalities=names)
            Cohort.open(asked.out / "heads").to_csv(heads)
        asked.data = [("phantoms", heads)]
    if not (asked.data or asked.print) or not all(data for _, data in asked.data):
        parser.error("give NAME=DATA, --print or --quick")
    return asked


if __name__ == "__main__":
    try:
        main()
    except BrainweaveError as error:
        raise SystemExit(f"error: {error}") from None
