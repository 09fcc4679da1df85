"""Commands that say what data hold."""

from pathlib import Path
from typing import Annotated

import typer

from brainweave.errors import OutputError

app = typer.Typer()


@app.command(epilog="Example: brainweave schema bids/ --out schema.json")
def schema(
    cohort: Annotated[str, typer.Argument(help="A CSV or TSV, a folder or a BIDS root.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON to write, and to edit.")],
    described: Annotated[
        Path | None,
        typer.Option(exists=True, help="A BIDS participants.json; found beside the cohort."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
) -> None:
    """Find out which metadata a cohort has and of what kind, as a file to correct."""
    from brainweave.data.cohort import Cohort
    from brainweave.data.inference import description, infer

    if out.exists() and not overwrite:
        raise OutputError(f"{out} exists; choose another name or allow overwriting")
    place = Path(cohort)
    found = infer(Cohort.open(place), description(place if described is None else described))
    found.save(out)
    typer.echo(str(found))
    typer.echo(f"{out}: correct it, then train a recipe with schema={out}")
