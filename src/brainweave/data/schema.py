"""A schema: what each column of a cohort holds, inferred once and then edited by hand.

`infer` in `data.inference` makes one; `conditions_from` in `conditions.schema` makes conditions of
it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from brainweave.data.files import write_json
from brainweave.data.table import aligned, written
from brainweave.errors import CohortError, RecipeError
from brainweave.part import Part, from_dict, to_dict

Kind = Literal["continuous", "ordinal", "choice", "binary", "set", "ignored"]


class Column(Part):
    """A field of metadata: its name in the model and how the words of its columns are read.

    kind: "continuous" from low to high in `unit` (log: on a logarithmic scale), "ordinal" with
    `values` from the lowest, "choice" of one and "set" of several of `values`, "binary" for yes or
    no, "ignored" for what the model does not hear. columns: of the cohort that tell it beside
    the one of its name. aliases: other words for its values; one for n/a is not known.
    nuisance, hide: see `Metadatum`. known, missing, unknown: scans of the cohort it was inferred
    from; unknown are words that mean nothing to it. note: what was taken for granted.
    """

    name: str
    kind: Kind
    description: str = ""
    unit: str = ""
    low: float | None = None
    high: float | None = None
    log: bool = False
    values: tuple[str, ...] = ()
    aliases: Mapping[str, str] = Field(default={})
    columns: tuple[str, ...] = ()
    nuisance: bool = False
    hide: float | None = Field(default=None, ge=0, lt=1)
    known: int = 0
    missing: int = 0
    unknown: int = 0
    note: str = ""

    @property
    def span(self) -> str:
        """Its values in a few words."""
        if self.kind == "continuous":
            return f"{written(self.low)} to {written(self.high)} {self.unit}".rstrip()
        return "yes, no" if self.kind == "binary" else ", ".join(self.values)


class Schema(Part):
    """All columns of a cohort; `str` of it is a table for people. source: where it is from."""

    source: str = ""
    columns: tuple[Column, ...] = ()

    @field_validator("columns")
    @classmethod
    def _differ(cls, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        names = [column.name for column in columns]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two columns are named {twice[0]!r}; rename one")
        return columns

    @classmethod
    def open(cls, path: Path | str) -> "Schema":
        """A schema from its JSON. Raises CohortError for a file that is none."""
        try:
            found = from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise CohortError(f"{path}: not readable as a schema: {reason}") from None
        except RecipeError as error:
            raise CohortError(f"{path}: {error}") from None
        if not isinstance(found, Schema):
            raise CohortError(f'{path} holds no schema; it must begin with "part": "Schema"')
        return found

    def save(self, path: Path) -> None:
        """Writes the JSON that `open` reads."""
        write_json(path, to_dict(self))

    def __str__(self) -> str:
        head = ("field", "kind", "known", "missing", "unknown", "values", "noted")
        rows = [
            (c.name, _kind(c), *map(str, (c.known, c.missing, c.unknown)), _short(c.span), c.note)
            for c in self.columns
        ]
        return aligned([head, *rows])


def _kind(column: Column) -> str:
    return f"{column.kind}, nuisance" if column.nuisance else column.kind


def _short(text: str, most: int = 48) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
