"""Importers by name. A new one is a function like `import_flowlet` and one entry in `IMPORTERS`."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from brainweave.errors import CheckpointError
from brainweave.generator import Generator
from brainweave.interop.autoencoder_import import import_autoencoder
from brainweave.interop.cwdm_import import import_cwdm, import_fast_cwdm, import_wdm
from brainweave.interop.flowlet_import import import_flowlet
from brainweave.part import hint
from brainweave.representations.autoencoders import Autoencoder

IMPORTERS: dict[str, Callable[..., Generator | Autoencoder]] = {
    "cwdm": import_cwdm,
    "fast-cwdm": import_fast_cwdm,
    "flowlet": import_flowlet,
    "maisi": partial(import_autoencoder, "maisi"),
    "monai": partial(import_autoencoder, "monai"),
    "wdm": import_wdm,
    "wfvae": partial(import_autoencoder, "wfvae"),
}


def import_model(
    kind: str, checkpoint: Path, *, out: Path, **options: Any
) -> Generator | Autoencoder:
    """A model or autoencoder folder from another code's checkpoint.

    options: what the importer of that `kind` takes; those that are None are left out. Raises
    CheckpointError for an unknown kind and for an option that it does not take.
    """
    if kind not in IMPORTERS:
        raise CheckpointError(f"no importer is called {kind!r}{hint(kind, IMPORTERS)}")
    known = inspect.signature(IMPORTERS[kind]).parameters
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in known:
            raise CheckpointError(f"--{name} means nothing to the importer {kind}; leave it out")
    return IMPORTERS[kind](checkpoint, out=out, **given)
