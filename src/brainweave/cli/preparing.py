"""Commands that prepare BraTS cases."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
Data = Annotated[Path, typer.Argument(help="A folder of cases in BraTS names, at any depth.")]
Out = Annotated[Path, typer.Argument(help="Folder to write; not in DATA.")]


@app.command(epilog="Example: brainweave drop validation/ pseudo_validation/ --seed 123456")
def drop(
    data: Data,
    out: Out,
    seed: Annotated[int, typer.Option(help="Of the draw; 123456 is the challenge's.")] = 123456,
    subsets: Annotated[
        str, typer.Option(help="official: one modality a case; any: some, not all.")
    ] = "official",
    with_seg: Annotated[bool, typer.Option(help="Copy label maps too.")] = False,
) -> None:
    """Copy cases without a modality drawn for each, as BraSyn does, to test completion."""
    from brainweave.data.drop import LIST, drop

    dropped = drop(data, out, seed=seed, subsets=subsets, with_seg=with_seg)
    count = sum(map(len, dropped.values()))
    typer.echo(f"{out}: {len(dropped)} cases without {count} volumes; {LIST} says which")


@app.command(
    "export-nnunet",
    epilog="Example: brainweave export-nnunet brats/ nnUNet_raw/Dataset137_BraTS",
)
def export_nnunet(
    data: Data,
    out: Out,
    labels: Annotated[
        str | None,
        typer.Option(help="2018 (4 is enhancing) or 2023 (3 is); default: what they show."),
    ] = None,
) -> None:
    """Write cases as an nnU-Net v2 data set, with the labels of its BraTS models."""
    from brainweave.data.nnunet import export

    made = export(data, out, labels=labels)
    found = f"labels of {made.labels}" if made.labels else "no enhancing tumour"
    typer.echo(f"{out}: {made.training} training cases, {made.test} without label map; {found}")
