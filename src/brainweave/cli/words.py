"""What several commands read from a word of the command line."""

from brainweave.errors import RecipeError


def times(text: str | None) -> tuple[float, ...] | None:
    """Numbers between commas, None for none. Raises RecipeError for anything else."""
    if text is None:
        return None
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise RecipeError(f"--times {text}: numbers from 0 to 1 are needed, as 0,0.5") from None
