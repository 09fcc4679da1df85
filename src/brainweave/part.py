"""Parts: the frozen values that recipes are made of, their way to JSON and back, overrides.

A new part is a subclass of `Part` with annotated fields; it registers under its class name.
"""

import json
from collections.abc import Iterable
from difflib import get_close_matches
from inspect import isabstract
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from brainweave.errors import RecipeError

P = TypeVar("P", bound="Part")


class Part(BaseModel):
    """A frozen, validated value; two parts with equal fields are equal.

    Raises RecipeError for an unknown field, a wrong type or a value out of range.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    registry: ClassVar[dict[str, type["Part"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        known = Part.registry.setdefault(cls.__name__, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise RecipeError(
                f"{cls.__module__}.{cls.__qualname__}: there is a part {cls.__name__} in "
                f"{known.__module__} already; give this one another name"
            )
        Part.registry[cls.__name__] = cls

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise RecipeError(_readable(type(self), error)) from None

    def replace(self: P, **changes: Any) -> P:
        """A validated copy with some fields changed."""
        return type(self)(**{**{name: getattr(self, name) for name in self.fields()}, **changes})

    @classmethod
    def fields(cls) -> list[str]:
        """The names of the fields in order of definition."""
        return list(cls.model_fields)


def to_dict(value: Any) -> Any:
    """JSON-ready: a part becomes {"part": class name, field: value, ...}."""
    if isinstance(value, Part):
        fields = {name: to_dict(getattr(value, name)) for name in value.fields()}
        return {"part": type(value).__name__, **fields}
    if isinstance(value, dict):
        return {name: to_dict(v) for name, v in value.items()}
    return [to_dict(v) for v in value] if isinstance(value, list | tuple) else value


def from_dict(value: Any) -> Any:
    """The inverse of `to_dict`. Only registered parts are built; nothing is imported.

    Raises RecipeError for an unknown part or a field that does not validate.
    """
    if isinstance(value, list):
        return tuple(from_dict(v) for v in value)
    if not isinstance(value, dict):
        return value
    if "part" not in value:
        return {name: from_dict(v) for name, v in value.items()}
    known, name = _concrete(), str(value["part"])
    if name not in known:
        raise RecipeError(
            f"unknown part {name!r}{hint(name, known)}; a part of your own is known once the file "
            "that defines it is imported"
        )
    return known[name](**{str(k): from_dict(v) for k, v in value.items() if k != "part"})


def override(part: P, assignment: str) -> P:
    """A copy of `part` with one dotted field replaced: override(recipe, "training.lr=1e-4").

    The text is read as JSON where it is JSON, as `none`, as the name of a part, else as a string.
    Raises RecipeError for an unknown field (with the nearest known) or an invalid value.
    """
    dotted, equals, text = assignment.partition("=")
    if not equals:
        raise RecipeError(
            f"{assignment!r} is no assignment; write field=value, as training.lr=1e-4"
        )
    head, _, rest = dotted.partition(".")
    if head not in part.fields():
        raise RecipeError(f"{type(part).__name__} has no field {head!r}{hint(head, part.fields())}")
    inner = getattr(part, head)
    if not rest:
        return part.replace(**{head: parse(text)})
    if not isinstance(inner, Part):
        raise RecipeError(f"{type(part).__name__}.{head} is {inner!r}: it has no field {rest!r}")
    return part.replace(**{head: override(inner, f"{rest}={text}")})


def parse(text: str) -> Any:
    """The value that an assignment's right side means."""
    if text.lower() in ("none", "null"):
        return None
    if text in (known := _concrete()):
        return known[text]()
    try:
        return from_dict(json.loads(text))
    except json.JSONDecodeError:
        return {"true": True, "false": False}.get(text.lower(), text)


def difference(a: Any, b: Any, at: str = "") -> list[tuple[str, Any, Any]]:
    """Where two parts differ: (dotted field, value in a, value in b) per line."""
    if isinstance(a, Part) and type(a) is type(b):
        rows = (
            difference(getattr(a, n), getattr(b, n), f"{at}.{n}".lstrip(".")) for n in a.fields()
        )
        return [row for some in rows for row in some]
    return [] if a == b else [(at, a, b)]


def hint(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?' for the nearest known name, else the list of them."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}"


def _concrete() -> dict[str, type[Part]]:
    """The registered parts that can be built."""
    return {name: part for name, part in Part.registry.items() if not isabstract(part)}


def _readable(part: type[Part], error: ValidationError) -> str:
    """One line for all that is wrong with the fields of a part."""
    lines = []
    for problem in error.errors():
        field = ".".join(
            str(step) for step in problem["loc"] if not str(step).startswith("function")
        )
        if problem["type"] == "extra_forbidden":
            lines.append(f"no field {field!r}{hint(field, part.fields())}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            got = f" (got {problem['input']!r})" if problem["type"] != "missing" and field else ""
            lines.append(f"{field}: {message}{got}" if field else message)
    return f"{part.__name__}: {'; '.join(lines)}"
