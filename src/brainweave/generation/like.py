"""Plans drawn from a cohort: whole rows, so that what belongs together stays together."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from brainweave.conditions.base import Value
from brainweave.data.cohort import canonical_modality
from brainweave.data.seeds import derive
from brainweave.data.table import missing, read_table
from brainweave.errors import CohortError, ConditionError
from brainweave.generation.plan import Item, choices, records, seeds, targeted
from brainweave.recipe import Recipe

COHORT, TRAIN = "cohort.csv", "train"


def located(like: str, model: Path) -> Path:
    """The table that `--like` names: a file, that of a run folder, "train" for the model's own.

    Raises ConditionError for a model without one.
    """
    own = like == TRAIN and not Path(like).exists()
    path = model if own else Path(like)
    table = path / COHORT if own or path.is_dir() else path
    if own and not table.is_file():
        raise ConditionError(
            f"{model} has no {COHORT}, which only run folders have; give --like TABLE"
        )
    return table


def from_like(
    recipe: Recipe, table: Path, assignments: Sequence[str], *, count: int, seed: int
) -> list[Item]:
    """Items with all that a row of a cohort says, each row drawn by the item's own seed.

    Where there is a column `split`, rows of another one than train are left out, as are rows that
    say nothing; what a row lacks is not known. assignments choose among rows: "sex=F", "age=60-70"
    for any age within. Which of several modalities is made is assigned, or drawn from those that
    there are images of. Raises CohortError where no row is left, ConditionError as
    `from_assignments`.
    """
    rows = [row for row in records(read_table(table)) if row.get("split", TRAIN) == TRAIN]
    asked = choices(recipe, assignments)
    try:
        found = [values for row in rows for values in _values(recipe, row, asked)]
    except ConditionError as error:
        raise CohortError(f"{table}: {error}") from None
    chosen = [values for values in found if any(_within(recipe, values, one) for one in asked)]
    if not found:
        targeted(recipe, asked[0])  # refuses where it is not said which
    if not chosen:
        so = f" with {', '.join(assignments)}" if assignments else ""
        raise CohortError(f"{table}: no row{so} has a value that {recipe.name} knows")
    return [
        Item(name, number, chosen[derive("like", number) % len(chosen)])
        for name, number in seeds(count, seed)
    ]


def _values(
    recipe: Recipe, row: Mapping[str, str], asked: Sequence[Mapping[str, Value]]
) -> Iterator[dict[str, Value]]:
    """What a row says: once for each modality that it may be made in."""
    values = {c.name: c.known(row) for c in recipe.covariates if c.name != recipe.target}
    if all(math.isnan(value[0]) for value in values.values()):
        return
    if len(recipe.targets) == 1:
        yield targeted(recipe, values)
        return
    told = {one[recipe.target] for one in asked if recipe.target in one}
    there = {canonical_modality(column) for column, text in row.items() if not missing(text)}
    for index, name in enumerate(recipe.targets):
        if (float(index),) in told or (not told and name in there):
            yield {**values, recipe.target: (float(index),)}


def _within(recipe: Recipe, values: Mapping[str, Value], asked: Mapping[str, Value]) -> bool:
    return all(recipe.condition(n).covers(wide, values[n]) for n, wide in asked.items())
