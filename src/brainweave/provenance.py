"""What a synthetic volume says about itself: its description and the sidecar beside it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from brainweave.data.files import digest
from brainweave.data.folder import stem
from brainweave.part import to_dict
from brainweave.recipe import Recipe
from brainweave.version import VERSION

DESCRIPTION = f"SYNTHETIC brainweave {VERSION}"


def provenance(recipe: Recipe, weights: str, decided: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON sidecar of a volume. `identity` is the hash of all that decides its voxels: the
    model and `decided`, which says how it was asked for."""
    decided = {
        "model": recipe.name,
        "recipe_sha256": digest(to_dict(recipe)),
        "weights_sha256": weights,
        **decided,
    }
    return {
        "synthetic": True,
        "Description": "Made by a generative model; not a scan of a person, not for clinical use.",
        **decided,
        "identity": digest(decided),
        "licence": recipe.licence,
        "GeneratedBy": [{"Name": "brainweave", "Version": VERSION}],
        "versions": {"brainweave": VERSION, "torch": torch.__version__},
    }


def sidecar(volume: Path) -> Path:
    """Where the sidecar of a volume lies."""
    return volume.with_name(stem(volume.name) + ".json")


def facts(volume: Path) -> dict[str, Any]:
    """What a volume's sidecar says; nothing for one that is not ours."""
    try:
        found = json.loads(sidecar(volume).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) and "identity" in found else {}
