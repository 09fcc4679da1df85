"""Who trains and who validates: chosen, checked, written down."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from brainweave.conditions.covariates import Category, Scalar
from brainweave.conditions.metadata import Metadatum
from brainweave.data.check import owner
from brainweave.data.cohort import Categories, Cohort, Ranges
from brainweave.data.intensity import ZScore
from brainweave.data.table import missing
from brainweave.errors import CohortError, RecipeError
from brainweave.model_folder import Plan
from brainweave.progress import Reporter
from brainweave.recipe import Recipe
from brainweave.representations.latent import Latent
from brainweave.training.metadata import check_metadata

SPLIT, COHORT = "split.json", "cohort.csv"


class Splits(NamedTuple):
    """Who trains and who validates."""

    train: Cohort
    val: Cohort


def split(recipe: Plan, cohort: Cohort, report: Reporter) -> Splits:
    """Subjects with the target, by the cohort's column `split`, else drawn by person, with every
    part spread over age where that is known."""
    excluded = [s.id for s in cohort if s.covariates.get("qc") == "exclude"]
    if excluded:
        report.say(f"left out, as their qc is 'exclude': {', '.join(excluded)}")
    cohort = Cohort([s for s in cohort if s.id not in excluded], cohort.source)
    targets = " or ".join(recipe.targets)
    having = [s for s in cohort if set(recipe.targets) & set(s.images)]
    usable = Cohort(having, cohort.source)
    if not usable:
        found = ", ".join(cohort.modalities) or "no image"
        raise CohortError(f"{cohort.source}: nobody has a {targets}; there is {found}")
    if len(usable) < len(cohort):
        report.say(f"{len(usable)} of {len(cohort)} scans have a {targets}")
    share = recipe.training.validation
    if any(s.split for s in usable):
        others = Counter(s.split or "n/a" for s in usable if s.split not in Splits._fields)
        if others:
            listed = ", ".join(f"{name} {count}" for name, count in others.items())
            report.say(f"splits other than train and val are left alone: {listed}")
    elif share:
        by = "age" if "age" in usable.covariates else None
        usable = usable.split({"train": 1 - share, "val": share}, recipe.training.seed, by=by)
    else:
        return Splits(usable, usable[:0])
    train, val = ([s for s in usable if s.split == name] for name in Splits._fields)
    parts = Splits(Cohort(train, usable.source), Cohort(val, usable.source))
    if not parts.train:
        raise CohortError(f"{cohort.source}: nobody is in the split 'train'")
    return parts


def check(recipe: Plan, parts: Splits) -> None:
    """Every header, every covariate; see `Cohort.check`."""
    if isinstance(recipe.preprocess.intensity, ZScore):
        raise RecipeError(
            "preprocess.intensity=ZScore puts background at another value in every volume, so that "
            "generated ones would have none; use Percentiles or Fixed"
        )
    if recipe.training.patience and not parts.val:
        raise RecipeError("training.patience needs validation subjects; set training.validation")
    known = (
        [c for c in recipe.covariates if c.name != recipe.target]
        if isinstance(recipe, Recipe)
        else []
    )
    ranges = {c.name: (c.low, c.high) for c in known if isinstance(c, Scalar)}
    categories = {c.name: c.values for c in known if isinstance(c, Category)}
    for part in parts:
        if part:
            check_files(recipe, part, ranges, categories)
    check_metadata([c for c in known if isinstance(c, Metadatum)], recipe.targets[0], *parts)
    for condition in known:
        if not getattr(condition, "learned_null", True):
            _require_all(condition.name, recipe.targets[0], parts)


def check_files(
    recipe: Plan,
    cohort: Cohort,
    ranges: Ranges | None = None,
    categories: Categories | None = None,
) -> None:
    """Raises CohortError where files that the recipe's targets and conditions need are wanting."""
    if not isinstance(recipe, Recipe):
        cohort.check(recipe.targets)
        return
    cohort.check(
        recipe.targets,
        ranges=ranges,
        categories=categories,
        inputs=recipe.inputs,
        labels=recipe.labels,
        every=recipe.images is not None and recipe.images.required,
    )


def _require_all(name: str, target: str, parts: Splits) -> None:
    """Raises CohortError for a subject without a value that the model could not do without."""
    for part in parts:
        for subject in part:
            if missing(subject.covariates.get(name)):
                raise CohortError(
                    f"{part.source}: {owner(subject, target)} has no {name}, and nothing stands "
                    f"for a missing one; leave it out or give the condition learned_null=true"
                )


def tell_seen(recipe: Plan, parts: Splits, report: Reporter) -> None:
    """Says so where an autoencoder was trained on those who validate a model of its latents."""
    if not isinstance(recipe, Recipe) or not isinstance(recipe.representation, Latent):
        return
    run = recipe.representation.weights.parent
    if not (run / SPLIT).is_file():
        return  # imported, or packed
    trained = set(json.loads((run / SPLIT).read_text())["train"])
    if seen := [s.id for s in parts.val if s.id in trained]:
        report.say(
            f"{len(seen)} of {len(parts.val)} who validate trained the autoencoder, so validation "
            f"looks better than it is; data={run / COHORT} has the autoencoder's split"
        )


def require_same(folder: Path, parts: Splits, *, begun: bool) -> None:
    """Raises CohortError where a run that began had other subjects."""
    if not begun:
        return
    path = folder / SPLIT
    before = json.loads(path.read_text()) if path.is_file() else {}
    for name, ids in ids_of(parts).items():
        if before.get(name) != ids:
            odd = sorted(set(before.get(name, [])) ^ set(ids))
            raise CohortError(
                f"{path}: the run began with other subjects in {name!r}"
                + (f" ({len(odd)} differ, such as {odd[0]!r})" if odd else " or another order")
                + "; give the same cohort or a new folder"
            )


def listed(parts: Splits) -> Cohort:
    """Everybody with the part they were in."""
    named = zip(Splits._fields, parts, strict=True)
    return Cohort([replace(s, split=name) for name, part in named for s in part], "run")


def ids_of(parts: Splits) -> dict[str, list[str]]:
    return {name: [s.id for s in part] for name, part in parts._asdict().items()}
