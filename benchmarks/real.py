"""A model against real brains. Run: python benchmarks/real.py MODEL --data COHORT [--out FOLDER]

Makes one volume per subject of the validation split with its conditions, and a sweep of ages for
some seeds at one sex and site; judges them beside the real ones. Prints one table, writes
scores.json, val.png (real above generated, same ages) and ages.png. Run again, and what is there
is not made twice. Volumes are compared on the recipe's grid with intensities in 0..1. Intervals:
95 %, bootstrap by volume, for the sweep by seed (a seed is one head at all ages).
"""

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from brainweave import Category, Cohort, Fixed, Recipe, Request, Scalar, Volume, generate
from brainweave.data.files import write_json
from brainweave.data.montage import montage
from brainweave.data.table import write_table, written
from brainweave.data.tensors import content_hash
from brainweave.generator import WEIGHTS, load_recipe
from brainweave.progress import Reporter
from brainweave.training.run import Splits, split
from brainweave.weights import locate
from judge import age_ridge, blocks, bootstrap, histogram, line, sharpness

BLOCK, EDGE, SHOWN = 8.0, 0.05, 8  # mm; intensity of the brain's edge; columns of val.png
AGES = (20, 75, 12)

Statistic = Callable[[np.ndarray], float]  # of indices of volumes


@dataclass(frozen=True)
class Group:
    """Volumes [n i j k], their ages (NaN: not known), sites and, if drawn by seed, seeds."""

    name: str
    volumes: np.ndarray
    ages: np.ndarray
    sites: np.ndarray
    seeds: np.ndarray


@dataclass(frozen=True)
class Score:
    """One number of one group with its interval; low and high are None where there is none."""

    name: str
    group: str
    value: float
    low: float | None
    high: float | None
    n: int


def main() -> None:
    """Generates, judges, prints."""
    asked = arguments()
    model, out = locate(asked.model), asked.out
    recipe = load_recipe(model)
    parts = split(recipe, Cohort.open(asked.data), Reporter())
    train, val = real(recipe, parts.train, "real train"), real(recipe, parts.val, "real val")

    ask = Request(batch=asked.batch, device=asked.device, steps=asked.steps)
    rows = table(recipe, parts.val, out)
    twins = generate(replace(ask, words=[str(model)], cohort=rows, out=out / "val"))
    words = [str(model), f"age={AGES[0]}:{AGES[1]}:{AGES[2]}", *fixed(recipe)]
    sweep = generate(replace(ask, words=words, count=asked.count, seed=1000, out=out / "sweep"))
    made = Group("generated val", made_volumes(recipe, twins), val.ages, val.sites, val.seeds)
    ages = np.repeat(np.linspace(*AGES), asked.count)
    seeds = np.tile(np.arange(asked.count), AGES[2])
    site = np.full(len(sweep), "")
    swept = Group("generated sweep", made_volumes(recipe, sweep), ages, site, seeds)

    scores = judged(recipe, train, [val, made, swept])
    pictures(recipe, val, made, swept, out)
    write_json(out / "scores.json", [finite(asdict(s)) for s in scores])
    print(told(recipe, model, parts, asked))
    print(tabled(scores, [val.name, made.name, swept.name]))


def finite(row: dict[str, object]) -> dict[str, object]:
    """JSON has no NaN."""
    return {name: None if value != value else value for name, value in row.items()}


def judged(recipe: Recipe, train: Group, groups: list[Group]) -> list[Score]:
    """Every score of every group; what is judged against training is fitted on it alone."""
    spacing = recipe.preprocess.place(recipe.template).grid.spacing
    edge = round(BLOCK / spacing[0])
    aged = ~np.isnan(train.ages)
    judge = age_ridge(blocks(train.volumes[aged], edge), train.ages[aged])
    scores = []
    for group in groups:
        seen = judge(blocks(group.volumes, edge))
        scores += age_scores(group, seen, float(train.ages[aged].mean()))
    scores += copies(train, groups)
    for group in groups:
        scores += appearance(train, group, float(np.prod(spacing)) / 1000)
    return scores


def age_scores(group: Group, seen: np.ndarray, guess: float) -> list[Score]:
    """Age as the ridge sees it against age as known or asked. guess: always saying the mean."""
    known = ~np.isnan(group.ages)
    ages, seen, seeds = group.ages[known], seen[known], group.seeds[known]
    rows: list[tuple[str, Statistic]] = [
        ("age r", lambda i: line(ages[i], seen[i])[0]),
        ("age slope", lambda i: line(ages[i], seen[i])[1]),
        ("age MAE, years", lambda i: float(np.abs(seen[i] - ages[i]).mean())),
        ("age MAE of the mean guess", lambda i: float(np.abs(guess - ages[i]).mean())),
    ]
    scores = [scored(name, group.name, statistic, seeds) for name, statistic in rows]
    sites = group.sites[known]
    for site in sorted(set(sites) - {""}):
        at = np.flatnonzero(sites == site)
        error = np.abs(seen[at] - ages[at])
        scores.append(
            scored(f"age MAE, {site}", group.name, lambda i, e=error: float(e[i].mean()), seeds[at])
        )
    return scores


def copies(train: Group, groups: list[Group]) -> list[Score]:
    """Correlation with the nearest training volume or its mirror image, which training may show,
    inside the union of the training brains; the first group is real and sets the limit."""
    mask = (train.volumes > EDGE).any(0)
    shown = [standard(train.volumes[:, mask]), standard(train.volumes[:, ::-1][:, mask])]
    nearest = [
        np.maximum.reduce([(standard(g.volumes[:, mask]) @ s.T).max(1) for s in shown])
        for g in groups
    ]
    limit = float(np.percentile(nearest[0], 95))
    scores = []
    for group, near in zip(groups, nearest, strict=True):
        rows: list[tuple[str, Statistic]] = [
            ("nearest training volume r, mean", lambda i, n=near: float(n[i].mean())),
            ("share above real val's 95 %", lambda i, n=near: float((n[i] > limit).mean())),
        ]
        scores += [scored(name, group.name, statistic, group.seeds) for name, statistic in rows]
        top = float(near.max())  # resampling says nothing about a maximum
        scores.append(
            Score("nearest training volume r, max", group.name, top, None, None, len(near))
        )
    return scores


def appearance(train: Group, group: Group, millilitre: float) -> list[Score]:
    """Size, sharpness and intensities of the brain. millilitre: of one voxel."""
    sizes = np.array([(v > EDGE).sum() * millilitre for v in group.volumes])
    sharp = np.array([sharpness(v, EDGE) for v in group.volumes])
    reference = float(np.mean([sharpness(v, EDGE) for v in train.volumes]))
    usual = np.mean([histogram(v, EDGE) for v in train.volumes], axis=0)
    bins = np.stack([histogram(v, EDGE) for v in group.volumes])
    rows: list[tuple[str, Statistic]] = [
        ("brain volume, ml", lambda i: float(sizes[i].mean())),
        ("brain volume, sd, ml", lambda i: float(sizes[i].std())),
        ("sharpness / real train", lambda i: float(sharp[i].mean() / reference)),
        ("histogram overlap", lambda i: float(np.minimum(bins[i].mean(0), usual).sum())),
    ]
    return [scored(name, group.name, statistic, group.seeds) for name, statistic in rows]


def standard(rows: np.ndarray) -> np.ndarray:
    """Rows of mean 0 and norm 1: their products are correlations."""
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def scored(name: str, group: str, statistic: Statistic, seeds: np.ndarray) -> Score:
    """A statistic of indices with its interval; volumes of one seed are drawn together."""
    heads = [np.flatnonzero(seeds == seed) for seed in np.unique(seeds)]
    value, low, high = bootstrap(
        lambda drawn: statistic(np.concatenate([heads[i] for i in drawn])), len(heads)
    )
    return Score(name, group, value, low, high, len(seeds))


def real(recipe: Recipe, cohort: Cohort, name: str) -> Group:
    """The volumes of a cohort."""
    volumes = [unit(recipe, Volume.load(s.images[recipe.target])) for s in cohort]
    ages = np.array([float(s.covariates.get("age", math.nan)) for s in cohort])
    sites = np.array([str(s.covariates.get("site", "")) for s in cohort])
    return Group(name, np.stack(volumes), ages, sites, np.arange(len(cohort)))


def unit(recipe: Recipe, volume: Volume) -> np.ndarray:
    """A volume as the recipe prepares it, intensities in 0..1."""
    intensity = recipe.preprocess.intensity
    x, _ = recipe.preprocess(volume)
    return ((x[0] - intensity.low) / (intensity.high - intensity.low)).numpy()


def made_volumes(recipe: Recipe, paths: Sequence[Path]) -> np.ndarray:
    """Generated files on the recipe's grid, as they are: 0..1 already."""
    as_is = recipe.preprocess.replace(intensity=Fixed(source_low=0, source_high=1, low=0, high=1))
    return np.stack([as_is(Volume.load(path))[0][0].numpy() for path in paths])


def table(recipe: Recipe, cohort: Cohort, out: Path) -> Path:
    """The validation subjects' conditions as a table to generate from."""
    path, names = out / "val.csv", [c.name for c in recipe.conditions]
    rows = [[s.id, *(written(s.covariates.get(name)) for name in names)] for s in cohort]
    write_table(path, ["id", *names], rows)
    return path


def fixed(recipe: Recipe) -> list[str]:
    """The sweep's other conditions: the first of each category, the middle of each range."""
    words = []
    for condition in recipe.conditions:
        if isinstance(condition, Category):
            words.append(f"{condition.name}={condition.values[0]}")
        elif isinstance(condition, Scalar) and condition.name != "age":
            words.append(f"{condition.name}={(condition.low + condition.high) / 2}")
    return words


def pictures(recipe: Recipe, val: Group, made: Group, swept: Group, out: Path) -> None:
    """val.png: real above, generated below, young to old. ages.png: one seed's sweep."""
    order = np.argsort(val.ages)[: int((~np.isnan(val.ages)).sum())]
    chosen = order[np.linspace(0, len(order) - 1, min(SHOWN, len(order))).round().astype(int)]
    rows = [(group, index) for group in (val, made) for index in chosen]
    picture(recipe, rows, out / "val.png", "above: real  below: SYNTHETIC, same ages", len(chosen))
    first = [(swept, index) for index in np.flatnonzero(swept.seeds == 0)]
    picture(recipe, first, out / "ages.png", "SYNTHETIC  one seed by age", len(first))


def picture(
    recipe: Recipe, rows: list[tuple[Group, int]], path: Path, title: str, columns: int
) -> None:
    affine = recipe.preprocess.place(recipe.template).grid.matrix
    volumes = [Volume(torch.from_numpy(g.volumes[index]), affine) for g, index in rows]
    labels = [f"{g.ages[index]:.0f} y, {g.name.split()[0]}" for g, index in rows]
    montage(volumes, path, labels=labels, title=title, window=(0.0, 1.0), columns=columns)


def told(recipe: Recipe, model: Path, parts: Splits, asked: argparse.Namespace) -> str:
    """What the table is about, as lines of markdown."""
    plan, sampling = recipe.training, recipe.sampling
    steps = plan.total_steps(len(parts.train))
    weights, batch = content_hash(model / WEIGHTS)[:12], plan.batch * plan.accumulate
    return f"""{recipe.name}, weights {weights}; {steps:,} steps of batch {batch}
{len(parts.train)} volumes in training, {len(parts.val)} in validation (`{asked.data.name}`)
{sampling.sampler}, {asked.steps or sampling.steps} steps, guidance {sampling.guidance:g}
sweep: age {AGES[0]} to {AGES[1]} in {AGES[2]}, {asked.count} seeds, {" ".join(fixed(recipe))}
age by ridge on {BLOCK:g} mm block means, fitted on the real training volumes
"""


def tabled(scores: list[Score], groups: list[str]) -> str:
    """One row per name, one column per group: value [low, high]."""
    sizes = {s.group: max(t.n for t in scores if t.group == s.group) for s in scores}
    lines = ["| | " + " | ".join(f"{name}, n = {sizes[name]}" for name in groups) + " |"]
    lines.append("|---" * (len(groups) + 1) + "|")
    for name in dict.fromkeys(s.name for s in scores):
        found = {s.group: s for s in scores if s.name == name}
        cells = [cell(found[group]) if group in found else "" for group in groups]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(score: Score) -> str:
    """Such as 0.82 [0.61, 0.93]."""
    digits = 0 if abs(score.value) >= 100 else 1 if abs(score.value) >= 10 else 2
    if score.low is None:
        return f"{score.value:.{digits}f}"
    return f"{score.value:.{digits}f} [{score.low:.{digits}f}, {score.high:.{digits}f}]"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="a model folder or the name of a shipped model")
    parser.add_argument("--data", type=Path, required=True, help="the cohort it was trained on")
    parser.add_argument("--out", type=Path, default=Path("runs/real"), help="folder to write")
    parser.add_argument("--count", type=int, default=8, help="seeds of the sweep")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, help="sampler steps; the recipe's")
    parser.add_argument("--device")
    return parser.parse_args()


if __name__ == "__main__":
    main()
