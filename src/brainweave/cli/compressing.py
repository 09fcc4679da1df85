"""Commands around autoencoders."""

from pathlib import Path
from typing import Annotated

import typer

from brainweave.cli import words

app = typer.Typer()
Model = Annotated[Path, typer.Argument(help="The folder of an autoencoder.")]
Data = Annotated[Path, typer.Argument(help="A cohort; cohort.csv:split=val is a part of one.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; found by itself.")]


@app.command(epilog="Example: brainweave encode runs/wfvae cohort.csv --out latents/")
def encode(
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the latents.")],
    shape: Annotated[
        str | None, typer.Option(help="Voxels of volumes, as 80,96,80; default: the autoencoder's.")
    ] = None,
    device: Device = None,
    memory: words.Memory = 0,
) -> None:
    """Keep a cohort's latents for training: train ... autoencoder=MODEL latents=OUT."""
    from brainweave.data.cohort import Cohort
    from brainweave.latents import encode

    edges = None if shape is None else words.edges(shape)
    encode(model, Cohort.open(data), out, shape=edges, device=device, memory=words.bytes_of(memory))
    typer.echo(f"{out}: brainweave train wfdm_plus autoencoder={model} latents={out} ... uses it")


@app.command(epilog="Example: brainweave doctor runs/wfvae cohort.csv:split=val --out report/")
def doctor(
    model: Model,
    data: Data,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for doctor.json and doctor.png.")
    ] = None,
    device: Device = None,
    memory: words.Memory = 0,
) -> None:
    """Say whether the latents of an autoencoder are fit to be modelled."""
    from brainweave.data.cohort import Cohort
    from brainweave.latents import doctor

    typer.echo(
        str(doctor(model, Cohort.open(data), out, device=device, memory=words.bytes_of(memory)))
    )
