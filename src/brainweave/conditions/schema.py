"""From a schema to the conditions that a recipe takes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from brainweave.conditions.choices import Binary, Choice, Ordinal, SetOf
from brainweave.conditions.continuous import Continuous
from brainweave.conditions.metadata import Metadatum
from brainweave.data.schema import Column, Kind, Schema

_KINDS: dict[Kind, tuple[Callable[..., Metadatum], tuple[str, ...]]] = {
    "continuous": (Continuous, ("unit", "low", "high", "log")),
    "ordinal": (Ordinal, ("values",)),
    "choice": (Choice, ("values",)),
    "set": (SetOf, ("values",)),
    "binary": (Binary, ()),
}
_SHARED = ("name", "columns", "aliases", "hide", "nuisance")


def conditions_from(schema: Schema | Path | str, *, tokens: int = 1) -> tuple[Metadatum, ...]:
    """A condition per column that is not ignored, in the schema's order, each of so many tokens.

    schema: or the path of one. Raises RecipeError for a column without what its kind needs.
    """
    schema = schema if isinstance(schema, Schema) else Schema.open(schema)
    heard = [column for column in schema.columns if column.kind != "ignored"]
    return tuple(_condition(column, tokens) for column in heard)


def _condition(column: Column, tokens: int) -> Metadatum:
    part, own = _KINDS[column.kind]
    fields: dict[str, Any] = {name: getattr(column, name) for name in (*_SHARED, *own)}
    return part(**fields, tokens=tokens)
