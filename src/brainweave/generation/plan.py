"""What to generate: requests become items, each a name, a seed and condition values."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from brainweave.conditions.base import Covariate, Value, Words
from brainweave.data.cohort import canonical_covariate, canonical_modality
from brainweave.data.table import Table, missing, read_table, written
from brainweave.errors import CohortError, ConditionError
from brainweave.recipe import Recipe

_SWEEP = re.compile(r"^([^:,]+):([^:,]+):(\d+)$")
_IDS = ("id", "participant_id", "subjectid")
_SEEDS = 2**63  # there are so many, from 0 on

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One volume to make: `values` in natural units, NaN or absent where not known."""

    name: str
    seed: int
    values: Mapping[str, Value]


def from_assignments(
    recipe: Recipe, assignments: Sequence[str], *, count: int, seed: int, extrapolate: bool = False
) -> list[Item]:
    """Every combination of the assigned values for each of the seeds seed ... seed + count - 1.

    "age=70" is one value, "age=25,75" a list, "age=20:80:13" a sweep of 13 from 20 to 80; several
    assignments give their product. One seed is one head: it is shared by all combinations.
    Raises ConditionError for an unknown condition, a value that was not trained or is there twice,
    and where a model of several modalities is not told which.
    """
    asked = choices(recipe, assignments, extrapolate=extrapolate)
    combinations = [targeted(recipe, values) for values in asked]
    labels = [_label(recipe, values) for values in combinations]
    if twice := _repeated(labels):
        raise ConditionError(f"{twice.strip('_')} is asked for twice; give each value once")
    return [
        Item(f"{_label(recipe, values, target=False)}{name}", number, values)
        for values in combinations
        for name, number in seeds(count, seed)
    ]


def choices(
    recipe: Recipe, assignments: Sequence[str], *, extrapolate: bool = False
) -> list[dict[str, Value]]:
    """The values of every combination of what is assigned. Raises ConditionError."""
    words: dict[str, list[float | str]] = {}
    owners: dict[str, Covariate] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not text:
            raise ConditionError(f"{assignment!r} is no assignment; write name=value, as age=70")
        if name in words:
            raise ConditionError(f"{name} is assigned twice; write {name}=A,B for both")
        owners[name] = _told_by(recipe, name)
        words[name] = list(_words(name, text))
    rows = [dict(zip(words, row, strict=True)) for row in product(*words.values())]
    asked = [condition for condition in recipe.covariates if condition in owners.values()]
    return [
        {c.name: _wanted(recipe, c, row, extrapolate=extrapolate) for c in asked} for row in rows
    ]


def seeds(count: int, seed: int) -> list[tuple[str, int]]:
    """`count` seeds from `seed` on, with names that sort as they do. Raises ConditionError."""
    if count < 1 or not 0 <= seed <= _SEEDS - count:
        raise ConditionError(
            f"count {count} and seed {seed}: at least one volume is needed, seeds in 0 to 2^63 - 1"
        )
    width = max(4, len(str(seed + count - 1)))
    return [(f"seed-{number:0{width}d}", number) for number in range(seed, seed + count)]


def targeted(recipe: Recipe, values: Mapping[str, Value]) -> dict[str, Value]:
    """Values with the modality to make: the only one, or as told. Raises ConditionError where it is
    not told which of several."""
    told = not missing(values.get(recipe.target, (None,))[0])
    if told or all(condition.name != recipe.target for condition in recipe.covariates):
        return dict(values)
    if len(recipe.targets) > 1:
        raise ConditionError(
            f"{recipe.name} makes {', '.join(recipe.targets)}; say which, as "
            f"{recipe.target}={recipe.targets[0]}"
        )
    return {**values, recipe.target: (0.0,)}


def from_cohort(recipe: Recipe, table: Path, *, seed: int, extrapolate: bool = False) -> list[Item]:
    """One item per row of a CSV or TSV: its id, its covariates, its `seed` or seed + row.

    Columns that are no condition are ignored; a condition without a column is not known, which is
    said. `id`, `participant_id`, `SubjectID` or the row's number names the volume.
    Raises CohortError for an unreadable table, one without any condition of the model, ids that
    repeat or impossible seeds; ConditionError as above.
    """
    rows = records(read_table(table))
    columns = list(rows[0]) if rows else []
    absent = [c.name for c in recipe.covariates if not set(c.sources) & set(columns)]
    if rows and absent and len(absent) == len(recipe.covariates):
        raise CohortError(
            f"{table} has no column {' or '.join(absent)}, only {', '.join(columns)}; "
            "name the model's conditions (n/a is a value)"
        )
    if absent:
        _log.warning("%s has no column %s: not known", table, ", ".join(absent))
    items = []
    for index, row in enumerate(rows):
        name = next((row[c] for c in _IDS if not missing(row.get(c))), f"row-{index + 1:05d}")
        try:
            values = {
                condition.name: _wanted(recipe, condition, row, extrapolate=extrapolate)
                for condition in recipe.covariates
                if set(condition.sources) & set(row)
            }
            own = _seed(row.get("seed"), seed + index)
            items.append(Item(_safe(name), own, targeted(recipe, values)))
        except (ConditionError, CohortError) as error:
            raise type(error)(f"{table}: row {index + 1} ({name}): {error}") from None
    if twice := _repeated([item.name for item in items]):
        raise CohortError(f"{table}: id {twice!r} stands more than once; ids name the files")
    if not items:
        raise CohortError(f"{table} has no rows; one row per volume is needed")
    return items


def records(table: Table) -> list[dict[str, str]]:
    """A table's rows by canonical names of columns. Raises CohortError where two are the same."""
    columns = [canonical_covariate(column) for column in table.columns]
    if twice := _repeated(columns):
        raise CohortError(f"{table.path}: two columns mean {twice!r}; leave one out")
    return [dict(zip(columns, row, strict=True)) for row in table.rows]


def describe(recipe: Recipe, item: Item) -> dict[str, str | float | None]:
    """What was asked for, every condition of the model named, None where not known."""
    return {c.name: c.show(item.values.get(c.name, c.absent)) for c in recipe.covariates}


def _wanted(recipe: Recipe, condition: Covariate, words: Words, *, extrapolate: bool) -> Value:
    """What words say of a condition; the modality to make under any of its names."""
    if condition.name == recipe.target:
        modality = canonical_modality(written(words.get(condition.name)))
        if modality in recipe.targets:
            return (float(recipe.targets.index(modality)),)
    return condition.wanted(words, extrapolate=extrapolate)


def _told_by(recipe: Recipe, name: str) -> Covariate:
    """The condition that a name tells. Raises ConditionError with the nearest known one."""
    found = next((c for c in recipe.covariates if name in c.sources), None)
    return found or recipe.condition(name)


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


def _seed(text: str | None, default: int) -> int:
    """A row's own seed, or the default where it has none."""
    own = str(default) if missing(text) else str(text)
    if not own.isdecimal() or int(own) >= _SEEDS:
        raise CohortError(f"seed {own!r} is no whole number from 0 to 2^63 - 1")
    return int(own)


def _repeated(names: Sequence[str]) -> str | None:
    """The first name that stands twice, as file systems see it: whatever the case."""
    seen = set()
    for name in names:
        if name.casefold() in seen:
            return name
        seen.add(name.casefold())
    return None


def _label(recipe: Recipe, values: Mapping[str, Value], *, target: bool = True) -> str:
    """Of a file; where it has the modality in its ending, that is left out."""
    named = [c for c in recipe.covariates if c.name in values]
    shown = ((c, c.show(values[c.name])) for c in named if target or c.name != recipe.target)
    return "".join(f"{_safe(c.name)}-{_word(value)}_" for c, value in shown)


def _word(value: str | float | None) -> str:
    if value is None:
        return "na"
    if isinstance(value, float):
        return _safe(f"{round(value, 4):g}")
    return _safe(value.replace(">", "over-").replace("<", "under-").replace(";", "-"))


def _safe(text: str) -> str:
    """A file name's part: letters, digits, dot, dash, underscore."""
    return re.sub(r"[^\w.\-]+", "", text.replace(" ", "-")).lstrip(".") or "x"
