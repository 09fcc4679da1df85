"""How what was tuned is kept: in the model's recipe, its weights as they were."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from brainweave.data.files import write_json
from brainweave.errors import OutputError
from brainweave.model_folder import RECIPE, WEIGHTS
from brainweave.part import to_dict
from brainweave.sampling import Sampling


def require_new(out: Path | None) -> None:
    """Raises OutputError where `out` is not empty."""
    if out is not None and out.exists() and any(out.iterdir()):
        raise OutputError(f"{out} is not empty; --out needs a new folder")


def rewrite(model: Path, out: Path | None, sampling: Sampling, reports: Mapping[str, Any]) -> None:
    """The model's recipe with another sampling, in the model's folder or with its weights in
    `out`, and reports beside it: dataclasses, or lists of them, by the names of their files."""
    folder = model if out is None else out
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(model / WEIGHTS, out / WEIGHTS)
    plan = json.loads((model / RECIPE).read_text())
    plan["sampling"] = to_dict(sampling)
    write_json(folder / RECIPE, plan)
    for name, found in reports.items():
        rows = [asdict(row) for row in found] if isinstance(found, list) else asdict(found)
        write_json(folder / name, rows)
