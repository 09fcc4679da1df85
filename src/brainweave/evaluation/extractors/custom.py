"""A function of the user's own as an extractor."""

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from brainweave.data.files import sha256
from brainweave.data.grid import Spacing
from brainweave.errors import EvaluationError
from brainweave.evaluation.extractors.base import Array, Extractor, Vector


class Custom(Extractor):
    """`package.module:function` or `file.py:function`, called as function(volume, spacing).

    The digest covers the file with the function, not what that file imports in turn.
    Raises EvaluationError where there is no such function.
    """

    dimension = 0

    def __init__(self, name: str) -> None:
        where, _, noun = name.rpartition(":")
        module = _module(where)
        found = getattr(module, noun, None)
        if not callable(found):
            raise EvaluationError(
                f"{where} has no function {noun!r}; functions there: {_functions(module)}"
            )
        source = getattr(module, "__file__", None)
        if not source or not Path(source).is_file():
            raise EvaluationError(f"{where} has no source file to hash; write the function in one")
        self.name = name
        self.function: Callable[..., Any] = found
        self.content = sha256(Path(source))
        self.preprocessing: dict[str, Any] = {"version": 1, "function": noun}

    def __call__(self, volume: Array, spacing: Spacing) -> Vector:
        """What the function returns; EvaluationError where it is not a vector of numbers."""
        returned = self.function(volume, spacing)
        try:
            vector = np.asarray(returned, dtype=np.float64)
        except (TypeError, ValueError):
            vector = np.empty(0)
        if vector.ndim != 1 or not vector.size:
            raise EvaluationError(
                f"{self.name} returned {type(returned).__name__}"
                f"{list(getattr(returned, 'shape', []))}; a vector of numbers is needed"
            )
        return vector


def _module(where: str) -> ModuleType:
    """The module of that dotted name, or of that file."""
    try:
        if not where.endswith(".py"):
            return import_module(where)
        path = Path(where).resolve(strict=True)
        name = f"_brainweave_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except (ImportError, OSError, SyntaxError, ValueError) as error:
        raise EvaluationError(
            f"{where!r} cannot be imported ({error}); give package.module:function or "
            "path/to/file.py:function"
        ) from error


def _functions(module: ModuleType) -> str:
    named = inspect.getmembers(module, inspect.isfunction)
    return ", ".join(name for name, _ in named if not name.startswith("_")) or "none"
