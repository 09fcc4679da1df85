"""Quality against network calls. Run: python benchmarks/schedules.py DATA --out FOLDER

One small network per schedule, trained equally long at 4 mm to make any modality from the other
three, from Gaussian noise with data prediction: DDPM's linear path (cWDM's, arXiv:2411.17203) and
straight lines, each as it is, with bands moved to one SNR by half and wholly (FrequencyAdaptive),
and with whitened bands (of one energy already, so that FrequencyAdaptive is without effect). All
are trained on the squared error of voxels. Held-out cases are drawn by DDIM (eta 0) at uniform
times and at times that `tune` found on two training cases; beyond 100 calls one modality per case.
PSNR (peak 1) inside the brain (any modality > 0); intervals are 95 % bootstraps over cases; squared
error by kind of Haar band at 5 calls in 1e-4 per coefficient.
FOLDER gets a run and a JSON of all scores per schedule and fold; run again, finished ones are read.
--print prints the tables of what is there; --quick takes phantoms of 10 mm and a few steps.
Usage: schedules.py DATA [--steps-of-training 1500] [--folds 3] [--only-folds 0] [--only NAME ...]
"""

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from brainweave import (
    DDPM,
    Augment,
    Category,
    Cohort,
    FrequencyAdaptive,
    Generator,
    Haar,
    Images,
    Percentiles,
    Preprocess,
    Recipe,
    Rectified,
    Sampling,
    train,
    tune,
)
from brainweave.cost import parameter_count
from brainweave.data.brats import IMAGES
from brainweave.data.dataset import Batch, VolumeDataset
from brainweave.data.files import digest, write_json
from brainweave.data.seeds import derive
from brainweave.errors import BrainweaveError
from brainweave.part import to_dict
from brainweave.processes.paths import ProbabilityPath
from brainweave.progress import Reporter
from brainweave.recipes.cwdm import cwdm
from brainweave.representations.haar import SUBBANDS
from floors import Quadratic, Scaled, fold, header, interval, phantoms, psnr

CALLS = (1, 2, 3, 5, 10, 25, 100, 1000)
TUNED = (2, 3, 5)  # with one call there is nothing to choose; 10 takes three times as long
FEW, MANY = 5, 100  # calls that are compared
GRIDS = ("uniform", "tuned")
CASES = 2  # to tune on
TUNING = {"volumes": 5}  # of 8: all modalities are among them
KINDS = ("LLL", "one H", "two H", "HHH")
WEIGHTS = (9 / 16, *[1 / 16] * 7)  # cWDM divides LLL by 3: errors of voxels again

Row = dict[str, Any]  # schedule, grid, case, target, calls, psnr, bands


class Schedule(NamedTuple):
    path: ProbabilityPath
    whiten: bool = False


PATHS: dict[str, ProbabilityPath] = {"DDPM": DDPM(), "rectified": Rectified()}
SCHEDULES = {
    name: schedule
    for base, path in PATHS.items()
    for name, schedule in (
        (base, Schedule(path)),
        (f"{base}, adaptive 0.5", Schedule(FrequencyAdaptive(path=path, strength=0.5))),
        (f"{base}, adaptive 1", Schedule(FrequencyAdaptive(path=path))),
        (f"{base}, whitened", Schedule(path, whiten=True)),
    )
}


def main() -> None:
    """Trains, tunes and draws as far as it is not done; prints."""
    asked = arguments()
    if not asked.print:
        cohort = phantoms(asked.out / "phantoms", 4) if asked.quick else Cohort.open(asked.data)
        cohort.check(IMAGES[0], inputs=IMAGES, every=True)
        for number, name in product(asked.only_folds or range(asked.folds), asked.only):
            measure(name, cohort, number, asked)
    found = [json.loads(path.read_text()) for path in sorted(asked.out.glob("*/fold-*.json"))]
    if not found:
        raise SystemExit(f"{asked.out}: no fold is finished")
    show([each["facts"] for each in found], [row for each in found for row in each["rows"]])


def recipe_of(name: str, steps: int, *, quick: bool) -> Recipe:
    """cWDM at toy size, with any modality as its target."""
    (path, whiten), base = SCHEDULES[name], cwdm()
    return base.replace(
        name=name,
        target="modality",
        preprocess=Preprocess(
            shape=(16, 24, 16) if quick else (40, 48, 40),
            spacing=(10.0, 10.0, 10.0) if quick else (4.0, 4.0, 4.0),
            intensity=Percentiles(lower=0, upper=99.5, low=0, high=1),
        ),
        representation=Haar(whiten=1.0) if whiten else base.representation,
        process=base.process.replace(path=path, channel_weights=None if whiten else WEIGHTS),
        conditions=(Category(name="modality", values=IMAGES), Images(modalities=IMAGES)),
        network=base.network.replace(
            width=16,
            multipliers=(1, 2, 2),
            blocks=1,
            groups=8,
            resample_inside=False,
            modulation="scale_shift",
            condition_width=64,
            time_scale=1.0 if name.startswith("DDPM") else 1000.0,
        ),
        training=base.training.replace(
            steps=steps, batch=4, lr=1e-3, warmup=50, grad_clip=1.0, ema=0.99, save_every=250,
            validate_every=steps, augment=Augment(flip=0.5), band_power=2.0 if whiten else 0.0,
        ),
        sampling=Sampling(sampler="ddim", eta=0.0, steps=MANY, clip=True, masked=True),
    )  # fmt: skip


def measure(name: str, cohort: Cohort, number: int, asked: argparse.Namespace) -> None:
    """Writes what a schedule scores on the held-out cases of a fold, if it is not written."""
    recipe = recipe_of(name, asked.steps_of_training, quick=asked.quick)
    folder = asked.out / name.replace(", ", "-").replace(" ", "-") / f"fold-{number}"
    result = folder.with_suffix(".json")
    tuned = folder.with_name("-".join(map(str, (folder.name, "tuned", *asked.tuned))))
    plan = digest([to_dict(recipe.unfitted()), asked.folds, asked.calls, asked.tuned])
    if result.exists() and json.loads(result.read_text())["plan"] == plan:
        return
    rest, held = fold(cohort, number, asked.folds)
    generator = train(recipe, rest, folder, device=asked.device)
    if not (tuned / "tuning.json").exists():
        shutil.rmtree(tuned, ignore_errors=True)
        tune(folder, rest[:CASES], asked.tuned, out=tuned, device=asked.device, **asked.tuning)
    better = Generator.load(tuned, next(generator.parameters()).device)
    dataset, reporter = recipe.dataset(held), Reporter()
    cases, quadratic = scaled(dataset), Quadratic(scaled(recipe.dataset(rest)), IMAGES)
    reporter.start(f"drawing by {name}", len(asked.calls))
    rows: list[Row] = []
    for calls in asked.calls:
        for grid, model in zip(GRIDS, (generator, better), strict=True):
            if grid == GRIDS[0] or calls in asked.tuned:
                rows += drawn(model, dataset, cases, calls, {"schedule": name, "grid": grid})
        reporter.advance(f"{calls} calls")
    reporter.stop()
    others = {name: tuple(n for n in IMAGES if n != name) for name in IMAGES}
    facts = {
        "steps": asked.steps_of_training,
        "parameters": parameter_count(recipe),
        "fold": number,
        "floors": [
            psnr(quadratic(case, name, others[name]), case.images[name], case.regions["brain"])
            for case in cases
            for name in IMAGES
        ],
        "energies": [spectrum(x, c.regions["brain"]) for c in cases for x in c.images.values()],
    }
    write_json(result, {"plan": plan, "facts": facts, "rows": rows})


def scaled(dataset: VolumeDataset) -> list[Scaled]:
    """Every case as the network sees it: each has all modalities, one after the other."""
    found = []
    for first in range(0, len(dataset), len(IMAGES)):
        items = [dataset[first + place, 0] for place in range(len(IMAGES))]
        images = {n: item.volume[0].numpy() for n, item in zip(IMAGES, items, strict=True)}
        brain = np.stack([x > 0 for x in images.values()]).any(0)
        found.append(Scaled(items[0].id, images, {"brain": brain}))
    return found


def drawn(
    generator: Generator, dataset: VolumeDataset, cases: Sequence[Scaled], calls: int, facts: Row
) -> list[Row]:
    """What a model scores with so many calls; its grid for them is used if it has one."""
    sampling = generator.recipe.sampling.replace(steps=calls)
    device, rows = next(generator.parameters()).device, list[Row]()
    for number, case in enumerate(cases):
        places = range(len(IMAGES)) if calls <= MANY else [number % len(IMAGES)]
        batch = Batch.of([dataset[number * len(IMAGES) + place, 0] for place in places])
        seeds = [derive("schedules", case.id, IMAGES[place]) for place in places]
        made = generator.sample(batch.to(device).values, seeds, sampling).cpu()
        for place, volume in zip(places, made[:, 0].numpy(), strict=True):
            truth, brain = case.images[IMAGES[place]], case.regions["brain"]
            row = {**facts, "case": case.id, "target": IMAGES[place], "calls": calls}
            row["psnr"] = psnr(volume, truth, brain)
            if calls == FEW:
                row["bands"] = spectrum(volume - truth, brain, centred=False)
            rows.append(row)
    return rows


def spectrum(volume: np.ndarray, brain: np.ndarray, *, centred: bool = True) -> list[float]:
    """The mean square of each kind of band in the brain; centred: of LLL about its mean."""
    inside = torch.from_numpy(np.where(brain, volume, 0).astype(np.float32))
    z = Haar(levels=1).transform(inside[None, None])[0]
    there = Haar(levels=1).transform(torch.from_numpy(brain)[None, None].float())[0, 0] > 0
    found: dict[int, list[float]] = {}
    for letters, band in zip(SUBBANDS, z[:, there].double(), strict=True):
        band = band - band.mean() if centred and letters == SUBBANDS[0] else band
        found.setdefault(letters.count("H"), []).append(float(band.square().mean()))
    return [float(np.mean(found[count])) for count in sorted(found)]


def show(facts: Sequence[Row], rows: Sequence[Row]) -> None:
    """All tables."""
    floor = float(np.mean([value for each in facts for value in each["floors"]]))
    print(
        f"{facts[0]['steps']} steps of training, {facts[0]['parameters']:,} parameters, "
        f"{len({each['fold'] for each in facts})} folds, {len({r['case'] for r in rows})} cases; "
        f"quadratic regression (floors.py): {floor:.2f} dB"
    )
    by: dict[tuple[str, str, int], dict[tuple[str, str], Row]] = {}
    for row in rows:
        where = by.setdefault((row["schedule"], row["grid"], row["calls"]), {})
        where[row["case"], row["target"]] = row
    names = [name for name in SCHEDULES if any(key[0] == name for key in by)]
    calls = sorted({key[2] for key in by})
    header("PSNR", "grid", *(f"{n} calls" for n in calls))
    for name, grid in ((n, g) for n in names for g in GRIDS):
        each = [[row["psnr"] for row in by.get((name, grid, n), {}).values()] for n in calls]
        cells = [f"{np.mean(values):.2f}" if values else "" for values in each]
        print(f"| {name} | {grid} | {' | '.join(cells)} |")
    header("PSNR of", f"{FEW} tuned - {MANY} uniform calls [95 %]")
    for name in names:
        print(f"| {name} | {gain(by, (name, 'tuned', FEW), (name, 'uniform', MANY))} |")
    pairs = [("uniform", 1), ("uniform", FEW), ("tuned", FEW), ("uniform", MANY)]
    header("gain over the plain path [95 %]", *(f"{n} {grid}" for grid, n in pairs))
    for name in names:
        if (base := name.partition(",")[0]) != name:
            cells = [gain(by, (name, *pair), (base, *pair)) for pair in pairs]
            print(f"| {name} | {' | '.join(cells)} |")
    header(f"squared error, {FEW} calls", "grid", *KINDS)
    for name, grid in ((n, g) for n in names for g in GRIDS):
        if found := by.get((name, grid, FEW)):
            print(f"| {name} | {grid} | {bands([row['bands'] for row in found.values()])} |")
    print(f"| the volumes' own variance | | {bands([e for f in facts for e in f['energies']])} |")


def gain(by: Mapping[tuple[str, str, int], Mapping[Any, Row]], a: Any, b: Any) -> str:
    """The mean of a - b over what both have drawn, in dB."""
    one, other = by.get(a, {}), by.get(b, {})
    keys = [key for key in one if key in other]
    if not keys:
        return "n/a"
    values = [one[key]["psnr"] - other[key]["psnr"] for key in keys]
    return interval(values, [case for case, _ in keys])


def bands(each: Sequence[Sequence[float]]) -> str:
    return " | ".join(f"{1e4 * value:.1f}" for value in np.mean(each, axis=0))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps-of-training", type=int, default=1500)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--only-folds", type=whole)
    names = list(SCHEDULES)
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", default=names)
    parser.add_argument("--calls", type=whole, default=CALLS)
    parser.add_argument("--tuned", type=whole, default=TUNED)
    parser.add_argument("--device")
    parser.add_argument("--print", action="store_true")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    if not (asked.data or asked.print or asked.quick):
        parser.error("give DATA, --quick or --print")
    if asked.quick:
        asked.steps_of_training, asked.folds, asked.only_folds = 10, 2, (0,)
        asked.calls, asked.tuned = (1, FEW, MANY), (FEW,)
        asked.only = names[:2]
    asked.tuning = {"volumes": 1, "count": 2 * FEW} if asked.quick else TUNING
    return asked


def whole(text: str) -> tuple[int, ...]:
    """Numbers between commas."""
    return tuple(map(int, text.split(",")))


if __name__ == "__main__":
    try:
        main()
    except BrainweaveError as error:
        raise SystemExit(f"error: {error}") from None
