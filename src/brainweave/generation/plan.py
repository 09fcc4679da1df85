"""What to generate: requests become items, each a name, a seed and condition values."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from brainweave.data.cohort import canonical_covariate
from brainweave.data.table import read_table
from brainweave.errors import CohortError, ConditionError
from brainweave.recipe import Recipe

_SWEEP = re.compile(r"^([^:,]+):([^:,]+):(\d+)$")


@dataclass(frozen=True)
class Item:
    """One volume to make: `values` in natural units, NaN where not known."""

    name: str
    seed: int
    values: Mapping[str, float]


def from_assignments(
    recipe: Recipe, assignments: Sequence[str], *, count: int, seed: int, extrapolate: bool = False
) -> list[Item]:
    """Every combination of the assigned values for each of the seeds seed ... seed + count - 1.

    "age=70" is one value, "age=25,75" a list, "age=20:80:13" a sweep of 13 from 20 to 80; several
    assignments give their product. One seed is one head: it is shared by all combinations.
    Raises ConditionError for an unknown condition or a value that was not trained.
    """
    if count < 1 or seed < 0:
        raise ConditionError(
            f"count {count} and seed {seed}: at least one volume from a seed >= 0 is needed"
        )
    choices: dict[str, list[float]] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not text:
            raise ConditionError(f"{assignment!r} is no assignment; write name=value, as age=70")
        if name in choices:
            raise ConditionError(f"{name} is assigned twice; write {name}=A,B for both")
        condition = recipe.condition(name)
        choices[name] = [
            condition.parse(word, extrapolate=extrapolate) for word in _words(name, text)
        ]
    combinations = [dict(zip(choices, row, strict=True)) for row in product(*choices.values())]
    width = max(4, len(str(seed + count - 1)))
    return [
        Item(f"{_label(recipe, values)}seed-{number:0{width}d}", number, values)
        for values in combinations
        for number in range(seed, seed + count)
    ]


def from_cohort(recipe: Recipe, table: Path, *, seed: int, extrapolate: bool = False) -> list[Item]:
    """One item per row of a CSV or TSV: its id, its covariates, its `seed` or seed + row.

    Columns that are no condition are ignored; `id`, `participant_id` or the row number names it.
    Raises CohortError for an unreadable table or ids that repeat, ConditionError as above.
    """
    items = []
    for index, record in enumerate(read_table(table).records()):
        row = {canonical_covariate(column): field for column, field in record.items()}
        name = row.get("id") or row.get("participant_id") or f"row-{index + 1:05d}"
        try:
            values = {
                condition.name: condition.parse(row[condition.name], extrapolate=extrapolate)
                for condition in recipe.conditions
                if condition.name in row
            }
            own = int(row["seed"]) if row.get("seed") else seed + index
        except ConditionError as error:
            raise ConditionError(f"{table}: row {index + 1} ({name}): {error}") from None
        except ValueError:
            raise CohortError(
                f"{table}: row {index + 1} ({name}): seed {row['seed']!r} is no number"
            ) from None
        items.append(Item(_safe(name), own, values))
    names = [item.name for item in items]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise CohortError(f"{table}: id {repeated[0]!r} stands more than once; ids name the files")
    if not items:
        raise CohortError(f"{table} has no rows; one row per volume is needed")
    return items


def describe(recipe: Recipe, item: Item) -> dict[str, str | float | None]:
    """What was asked for, every condition of the model named, None where not known."""
    return {c.name: c.show(item.values.get(c.name, math.nan)) for c in recipe.conditions}


def _words(name: str, text: str) -> Iterator[str | float]:
    """The single values of "70", "25,75" or "20:80:13"."""
    if sweep := _SWEEP.match(text):
        try:
            first, last, number = float(sweep[1]), float(sweep[2]), int(sweep[3])
        except ValueError:
            raise ConditionError(
                f"{name}={text}: a sweep is first:last:number, as 20:80:13"
            ) from None
        if number < 2:
            raise ConditionError(f"{name}={text}: a sweep has at least 2 values")
        yield from (first + (last - first) * index / (number - 1) for index in range(number))
    else:
        yield from text.split(",")


def _label(recipe: Recipe, values: Mapping[str, float]) -> str:
    shown = ((c, c.show(values[c.name])) for c in recipe.conditions if c.name in values)
    return "".join(f"{_safe(c.name)}-{_word(value)}_" for c, value in shown)


def _word(value: str | float | None) -> str:
    if value is None:
        return "na"
    return f"{round(value, 4):g}" if isinstance(value, float) else _safe(value)


def _safe(text: str) -> str:
    """A file name's part: letters, digits, dot, dash, underscore."""
    return re.sub(r"[^A-Za-z0-9.\-_]+", "", text.replace(" ", "-")).lstrip(".") or "x"
