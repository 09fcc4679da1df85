"""The command that completes cases."""

from pathlib import Path
from typing import Annotated

import typer

from brainweave.cli import words

app = typer.Typer()


@app.command(epilog="Example: brainweave complete runs/complete_2mm cases/ --out completed/")
def complete(  # noqa: PLR0913 - one per option
    model: Annotated[str, typer.Argument(help="A model folder, or the name of a shipped one.")],
    input: Annotated[  # noqa: A002 - its name in the help
        Path,
        typer.Argument(help="A case, a folder of cases (BraTS names), BIDS, or a table."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write; not in INPUT.")],
    steps: Annotated[int | None, typer.Option(help="Sampler steps.")] = None,
    sampler: Annotated[
        str | None, typer.Option(help="euler, heun, ddim, ancestral, dpmpp_2m and others.")
    ] = None,
    times: Annotated[
        str | None, typer.Option(help="Where the steps begin, as 0,0.5: two steps.")
    ] = None,
    samples: Annotated[
        int, typer.Option(help="Draws per volume; with several also their standard deviation.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Of all volumes, each with a seed of its own.")] = 0,
    match: Annotated[
        list[str] | None,
        typer.Option(help="Give it the histogram of this volume: VOLUME or t1c=VOLUME."),
    ] = None,
    with_inputs: Annotated[
        bool, typer.Option(help="Copy the images of a case beside what is made.")
    ] = False,
    only: Annotated[str, typer.Option(help="Make only these, as t1c,flair.")] = "",
    frame: Annotated[
        str, typer.Option(help="model (as in training) or box (the brain's, less to compute).")
    ] = "model",
    dtype: Annotated[str, typer.Option(help="int16 (with slope) or float32.")] = "int16",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; found by itself.")] = None,
    precision: Annotated[str, typer.Option(help="float32 or bf16.")] = "float32",
    memory: words.Memory = 0,
    then: Annotated[
        str | None,
        typer.Option(help='Run after each case: "segment {case}"; {input} is where it came from.'),
    ] = None,
) -> None:
    """Make the modalities that cases lack from those they have; again, and only what is missing."""
    request = locals()
    from brainweave.completion import Completion, complete

    told = {"match": tuple(match or ()), "only": tuple(filter(None, only.split(",")))}
    given = {"times": words.times(times), "memory": words.bytes_of(memory)}
    complete(Completion(**{**request, **told, **given}))
