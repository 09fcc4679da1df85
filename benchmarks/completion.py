"""Missing modalities by cross-validation. Run: python benchmarks/completion.py DATA --out FOLDER

Trains the recipe on the cases of all folds but one (the i-th case in order of ids is held out in
fold i mod folds), makes every target of the held-out cases from every subset of the other
modalities as the recipe samples, and measures it beside the floors of floors.py, PSNR (peak 1) and
SSIM in the brain (any modality > 0) and in the tumour (seg > 0).

Scale: the upper end of the model's range stands for the 99.5th percentile of the target's voxels
> 0, by which the truth is divided. This convention is all that is used of the target; recipes with
another upper end are refused. Intervals are 95 % bootstraps over cases.

FOLDER gets a run, a JSON of all scores and a picture (real images | target | completed) per fold;
run again, finished folds are read. --print prints the tables of what is there. --quick takes
phantoms of 5 mm and 10 steps.
Usage: completion.py DATA [--recipe complete_2mm] [field=value ...] [--folds 5] [--only-folds 0,1]
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainweave.cost import calls_per_volume, parameter_count
from brainweave.data.cohort import Cohort
from brainweave.data.dataset import Item
from brainweave.data.files import digest, write_json
from brainweave.data.grid import Grid
from brainweave.data.intensity import Percentiles
from brainweave.data.montage import montage
from brainweave.data.seeds import derive
from brainweave.data.tensors import content_hash
from brainweave.data.volume import Volume, read_grid
from brainweave.errors import BrainweaveError
from brainweave.generator import Generator
from brainweave.model_folder import WEIGHTS
from brainweave.part import to_dict
from brainweave.progress import Reporter
from brainweave.recipe import Recipe
from brainweave.recipes import build
from brainweave.training.journal import JOURNAL, read
from brainweave.training.run import train
from floors import (
    FLOORS,
    PERCENTILE,
    Row,
    Scaled,
    by_count,
    by_target,
    floors,
    fold,
    least,
    phantoms,
    scored,
    subsets,
    table,
)

METHODS = (*FLOORS, "model")


def main() -> None:
    """Trains, completes and measures as far as it is not done; prints."""
    asked = arguments()
    if not asked.print:
        recipe = build(asked.recipe, asked.assignments)
        recipe = quick(recipe) if asked.quick else recipe
        require(recipe)
        cohort = phantoms(asked.out / "phantoms", 3) if asked.quick else Cohort.open(asked.data)
        for number in asked.only_folds or range(asked.folds):
            measure(recipe, cohort, number, asked)
    found = [json.loads(path.read_text()) for path in sorted(asked.out.glob("fold-*.json"))]
    facts = [each["facts"] for each in found]
    if len({each["plan"] for each in facts}) != 1:
        raise SystemExit(f"{asked.out}: no fold is finished, or they are of several recipes")
    show(facts, [row for each in found for row in each["rows"]])


def require(recipe: Recipe) -> None:
    """Ends where the scale of what is made is another, or it is made from nothing."""
    intensity = recipe.preprocess.intensity
    if not isinstance(intensity, Percentiles) or (
        (intensity.foreground, intensity.upper) != (True, PERCENTILE)
    ):
        raise SystemExit(
            f"recipe {recipe.name}: volumes are compared in units of the {PERCENTILE}th percentile "
            f"of their voxels > 0; set preprocess.intensity.upper={PERCENTILE}, foreground=true"
        )
    if recipe.images is None:
        raise SystemExit(f"recipe {recipe.name} makes volumes from nothing; it needs Images")


def quick(recipe: Recipe) -> Recipe:
    """The recipe on a small grid for a few steps."""
    preprocess = recipe.preprocess.replace(shape=(32, 40, 32), spacing=(5.0, 5.0, 5.0))
    training = recipe.training.replace(steps=10, epochs=None)
    return recipe.replace(preprocess=preprocess, training=training)


def measure(recipe: Recipe, cohort: Cohort, number: int, asked: argparse.Namespace) -> None:
    """Writes what the held-out cases of a fold score, if it is not written."""
    folder = asked.out / f"fold-{number}"
    result, plan = folder.with_suffix(".json"), digest([to_dict(recipe.unfitted()), asked.folds])
    if result.exists() and (folder / WEIGHTS).exists():
        facts = json.loads(result.read_text())["facts"]
        if (facts["plan"], facts["weights"]) == (plan, content_hash(folder / WEIGHTS)):
            return
    rest, held = fold(cohort, number, asked.folds)
    names = tuple(dict.fromkeys((*recipe.targets, *recipe.images.modalities)))
    known, cases = ([Scaled.load(case, names) for case in side] for side in (rest, held))
    generator = train(recipe, rest, folder, device=asked.device)
    rows, seconds = completed(generator, held, cases, folder.with_suffix(".png"))
    steps = [event for event in read(folder / JOURNAL) if event["kind"] == "train"]
    pace = float(np.mean([event["seconds"] for event in steps]))
    facts = {
        "plan": plan,
        "weights": content_hash(folder / WEIGHTS),
        "recipe": recipe.name,
        "steps": steps[-1]["step"],
        "parameters": parameter_count(recipe),
        "calls": calls_per_volume(recipe),
        "minutes": pace * steps[-1]["step"] / 60,
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        "device": next(generator.parameters()).device.type,
        "cases": len(cases),
    }
    write_json(result, {"facts": facts, "rows": floors(known, cases, recipe.targets) + rows})


def completed(
    generator: Generator, held: Cohort, cases: Sequence[Scaled], picture: Path
) -> tuple[list[Row], float]:
    """The model's rows, and seconds per volume; draws the first case."""
    recipe, by_id = generator.recipe, {case.id: case for case in cases}
    dataset, reporter = recipe.dataset(held), Reporter()
    reporter.start("completing", len(dataset))
    rows: list[Row] = []
    seconds: list[float] = []
    tiles: dict[str, list[Volume]] = {}
    for index, (subject, target) in enumerate(dataset.volumes):
        item, case, grid = dataset[index, 0], by_id[subject.id], read_grid(subject.images[target])
        for inputs in inputs_of(recipe, target):
            began = time.perf_counter()
            made = complete(generator, item, target, inputs, grid)
            seconds.append(time.perf_counter() - began)
            rows.append(scored(case, target, inputs, METHODS[-1], made.data.numpy()))
            if case is cases[0]:
                tiles.setdefault(target, [*shown(case, inputs, target, grid), made])
        reporter.advance()
    reporter.stop()
    draw(tiles, recipe, cases[0].id, picture)
    return rows, float(np.mean(seconds))


def inputs_of(recipe: Recipe, target: str) -> list[tuple[str, ...]]:
    """What a target is made from, the whole first."""
    others = tuple(name for name in recipe.images.modalities if name != target)
    return [others] if recipe.images.required else subsets(others)


def complete(
    generator: Generator, item: Item, target: str, inputs: Sequence[str], grid: Grid
) -> Volume:
    """A target on its case's grid, 1 at the upper end of the model's range."""
    hidden = {name for name in generator.recipe.images.modalities if name not in inputs}
    values = {
        name: torch.full_like(value, torch.nan)[None] if name in hidden else value[None]
        for name, value in item.values.items()
    }
    x = generator.sample(values, [derive("completion", item.id, target, *inputs)])
    preprocess = generator.recipe.preprocess
    return preprocess.restore(x[0].float().cpu(), preprocess.place(grid))


def shown(case: Scaled, inputs: Sequence[str], target: str, grid: Grid) -> Iterator[Volume]:
    """The real volumes of a row of the picture."""
    for name in (*inputs, target):
        yield Volume(torch.from_numpy(case.images[name]), grid.matrix)


def draw(tiles: dict[str, list[Volume]], recipe: Recipe, title: str, picture: Path) -> None:
    """A row per target: what it was made from, the truth, what was made."""
    labels = [
        label
        for target in tiles
        for label in (*inputs_of(recipe, target)[0], f"{target} real", f"{target} SYNTHETIC")
    ]
    volumes = [volume for row in tiles.values() for volume in row]
    columns = len(volumes) // len(tiles)
    montage(volumes, picture, labels=labels, title=title, window=(0, 1), columns=columns)


def show(facts: list[dict[str, Any]], rows: list[Row]) -> None:
    """Both tables, the hardest subset, the budget."""
    first = facts[0]
    print(
        f"{first['recipe']}: {first['steps']} steps, {first['parameters']:,} parameters, "
        f"{first['calls']} network calls and "
        f"{np.mean([f['seconds'] for f in facts]):.1f} s per volume, "
        f"{np.mean([f['minutes'] for f in facts]):.1f} minutes of training per fold, "
        f"{first['device']}, {first['threads']} threads; "
        f"{sum(f['cases'] for f in facts)} cases in {len(facts)} folds"
    )
    table("3 -> 1", by_target(rows), METHODS)
    table("inputs", by_count(rows), METHODS)
    least(rows, METHODS)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", metavar="DATA, field=value")
    parser.add_argument("--recipe", default="complete_2mm")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only-folds", type=lambda text: [int(f) for f in text.split(",")])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device")
    parser.add_argument("--print", action="store_true")
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_intermixed_args()
    free = asked.print or asked.quick
    if not (free or asked.words):
        parser.error("give DATA, --quick or --print")
    asked.data, asked.assignments = (
        (None, asked.words) if free else (asked.words[0], asked.words[1:])
    )
    return asked


if __name__ == "__main__":
    try:
        main()
    except BrainweaveError as error:
        raise SystemExit(f"error: {error}") from None
