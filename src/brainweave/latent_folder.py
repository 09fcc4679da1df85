"""A folder of latents: what `encode` writes and training reads, and whose they are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainweave.data.files import write_json
from brainweave.errors import CheckpointError
from brainweave.representations.latent import Latent

FACTS = "latents.json"


def write_facts(folder: Path, space: Latent, facts: Mapping[str, Any]) -> None:
    """Says whose latents a folder holds, and what they are like."""
    write_json(folder / FACTS, {"autoencoder_sha256": space.sha256, "keeps": space.keeps, **facts})


def require(folder: Path, space: Latent, *, needed: bool = True) -> None:
    """Raises CheckpointError where a folder holds no latents, if they are `needed`, or
    another autoencoder's."""
    path = folder / FACTS
    if not path.is_file():
        if needed:
            raise CheckpointError(
                f"{folder} has no {FACTS}; brainweave encode MODEL COHORT makes it"
            )
        return
    try:
        found = json.loads(path.read_text())
        other = found["keeps"] != space.keeps
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{path} is damaged; encode again") from None
    if other:
        raise CheckpointError(
            f"{folder} holds latents of another autoencoder "
            f"({str(found.get('autoencoder_sha256'))[:12]}, not {space.sha256[:12]}); encode the "
            "cohort with this one into a new folder"
        )
