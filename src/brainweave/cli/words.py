"""What several commands read from a word of the command line."""

from collections.abc import Sequence
from typing import Annotated

import typer

from brainweave.errors import RecipeError

Memory = Annotated[
    float, typer.Option(min=0, help="GiB that an autoencoder's pass may take; 0: no bound.")
]


def bytes_of(memory: float) -> int:
    """Of so many GiB."""
    return int(memory * 2**30)


def times(text: str | None) -> tuple[float, ...] | None:
    """Numbers between commas, None for none. Raises RecipeError for anything else."""
    if text is None:
        return None
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise RecipeError(f"--times {text}: numbers from 0 to 1 are needed, as 0,0.5") from None


def guidance(texts: Sequence[str]) -> tuple[float | None, dict[str, float] | None]:
    """Of "1.5" and "age=2" the scale of all and those of single conditions, None for none. Raises
    RecipeError for anything else or the same twice."""
    scales: dict[str, float] = {}
    for text in texts:
        name, _, scale = text.rpartition("=")
        if name in scales:
            raise RecipeError(f"--guidance of {name or 'all'} is given twice; give it once")
        try:
            scales[name] = float(scale)
        except ValueError:
            raise RecipeError(f"--guidance {text}: a number is needed, as 1.5 or age=1.5") from None
    return scales.pop("", None), scales or None


def edges(text: str) -> tuple[int, int, int]:
    """Three whole numbers between commas."""
    numbers = text.split(",")
    if len(numbers) != 3 or not all(number.strip().isdecimal() for number in numbers):
        raise RecipeError(f"--shape {text}: three whole numbers are needed, as 80,96,80")
    i, j, k = (int(number) for number in numbers)
    return i, j, k
