"""A folder of latents: what `encode` writes and training reads, and whose they are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainweave.data.files import write_json
from brainweave.data.preprocess import Preprocess
from brainweave.errors import CheckpointError
from brainweave.part import to_dict
from brainweave.representations.latent import Latent

FACTS = "latents.json"


def write_facts(
    folder: Path, space: Latent, preprocess: Preprocess, facts: Mapping[str, Any]
) -> None:
    """Says whose latents a folder holds, of which volumes, and what they are like."""
    whose = {"autoencoder_sha256": space.sha256, "keeps": space.keeps}
    write_json(folder / FACTS, {**whose, "preprocess": to_dict(preprocess), **facts})


def require(folder: Path, space: Latent, preprocess: Preprocess, *, needed: bool = True) -> None:
    """Raises CheckpointError where a folder holds no latents, if they are `needed`, or another
    autoencoder's, or those of volumes that were made ready in another way."""
    path = folder / FACTS
    if not path.is_file():
        if needed:
            raise CheckpointError(
                f"{folder} has no {FACTS}; brainweave encode MODEL COHORT makes it"
            )
        return
    try:
        found = json.loads(path.read_text())
        other, before = found["keeps"] != space.keeps, found["preprocess"]
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{path} is damaged; encode again") from None
    if other:
        raise CheckpointError(
            f"{folder} holds latents of another autoencoder "
            f"({str(found.get('autoencoder_sha256'))[:12]}, not {space.sha256[:12]}); encode the "
            "cohort with this one into a new folder"
        )
    if before != json.loads(json.dumps(to_dict(preprocess))):
        shape = ",".join(map(str, preprocess.shape))
        raise CheckpointError(
            f"{folder} holds latents of volumes of {before.get('shape')} voxels, or of other "
            f"intensities; encode into a new folder, with --shape {shape}"
        )
