"""Importers by name. A new one is a function like `import_flowlet` and one entry in `IMPORTERS`."""

from collections.abc import Callable
from pathlib import Path

from brainweave.errors import CheckpointError
from brainweave.generator import Generator
from brainweave.interop.flowlet_import import import_flowlet
from brainweave.part import hint

IMPORTERS: dict[str, Callable[..., Generator]] = {"flowlet": import_flowlet}


def import_model(
    kind: str,
    checkpoint: Path,
    *,
    out: Path,
    config: Path | None = None,
    ranges: Path | None = None,
    template: Path | None = None,
    licence: str = "unspecified",
) -> Generator:
    """A model folder from another code's checkpoint; see the importer of that `kind`.

    Raises CheckpointError for an unknown kind.
    """
    if kind not in IMPORTERS:
        raise CheckpointError(f"no importer is called {kind!r}{hint(kind, IMPORTERS)}")
    return IMPORTERS[kind](
        checkpoint, out=out, config=config, ranges=ranges, template=template, licence=licence
    )
