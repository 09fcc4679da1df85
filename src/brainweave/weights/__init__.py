"""The small trained models that ship with the package, and where models are found."""

from pathlib import Path

from brainweave.errors import CheckpointError

DEFAULT = "t1_2mm"
HOME = Path(__file__).parent


def shipped() -> list[str]:
    """The names of the models in the package."""
    return sorted(path.parent.name for path in HOME.glob("*/recipe.json"))


def locate(model: str | Path | None = None) -> Path:
    """The folder of a model: a path, the name of a shipped one, or the default.

    Raises CheckpointError for what is neither.
    """
    model = DEFAULT if model is None else model
    for folder in (Path(model), HOME / str(model)):
        if (folder / "recipe.json").is_file():
            return folder
    known = ", ".join(shipped()) or "none"
    raise CheckpointError(f"{model} is no model folder (with recipe.json); shipped models: {known}")
