"""What a synthetic volume says about itself."""

from collections.abc import Mapping
from typing import Any

import torch

from brainweave.data.files import digest
from brainweave.part import to_dict
from brainweave.recipe import Recipe, Sampling
from brainweave.version import VERSION

DESCRIPTION = f"SYNTHETIC brainweave {VERSION}"


def provenance(
    recipe: Recipe,
    weights: str,
    *,
    seed: int,
    conditions: Mapping[str, str | float | None],
    sampling: Sampling,
    listen: str,
    dtype: str,
) -> dict[str, Any]:
    """The JSON sidecar of a volume. `identity` is the hash of all that decides its voxels."""
    decided = {
        "model": recipe.name,
        "recipe_sha256": digest(to_dict(recipe)),
        "weights_sha256": weights,
        "seed": seed,
        "conditions": dict(conditions),
        "sampling": to_dict(sampling),
        "listen": listen,
        "dtype": dtype,
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
