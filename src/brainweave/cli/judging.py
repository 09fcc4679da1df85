"""Commands that judge volumes."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

_EXAMPLE = (
    "Example: brainweave evaluate cohort.csv:split=test out/ --train cohort.csv:split=train "
    "--by sex,site --out report/"
)


@app.command(epilog=_EXAMPLE)
def evaluate(  # noqa: PLR0913 - one per option
    real: Annotated[Path, typer.Argument(help="Real volumes: a folder, a table or a BIDS root.")],
    made: Annotated[Path, typer.Argument(help="Made volumes, likewise, whoever made them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the report.")],
    train: Annotated[
        Path | None, typer.Option(help="What the maker was trained on: looks for copies.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="A brainweave model: membership by its loss.")
    ] = None,
    by: Annotated[str, typer.Option(help="Compare within: sex,age_bin,site.")] = "",
    features: Annotated[
        str, typer.Option(help="Extractors, or module:function.")
    ] = "wavelet,pca,random-cnn,regions",
    metrics: Annotated[str, typer.Option(help="Of features; all if not given.")] = "",
    weights: Annotated[
        list[str] | None, typer.Option(help="NAME=PATH, as medicalnet=resnet_50.pth.")
    ] = None,
    depth: Annotated[int, typer.Option(help="Of the MedicalNet ResNet.")] = 50,
    normalisation: Annotated[
        str, typer.Option(help="MedicalNet's input: medmetric, monai, wdm or tencent.")
    ] = "medmetric",
    priors: Annotated[
        Path | None, typer.Option(help="Anatomy: .safetensors, or a cohort with label maps.")
    ] = None,
    scheme: Annotated[str, typer.Option(help="Of the label maps: muse, freesurfer.")] = "muse",
    paired: Annotated[bool, typer.Option(help="Compare equal ids voxel by voxel too.")] = False,
    recon: Annotated[
        Path | None, typer.Option(help="Reconstructions of REAL, for --layout slides.")
    ] = None,
    modality: Annotated[str, typer.Option(help="The contrast to compare.")] = "t1w",
    spacing: Annotated[str, typer.Option(help="Resample to mm, with --shape.")] = "",
    shape: Annotated[str, typer.Option(help="Crop or pad to voxels i,j,k.")] = "",
    scale: Annotated[
        str, typer.Option(help="Intensities: auto, shared or volume (each its own).")
    ] = "auto",
    draws: Annotated[int, typer.Option(help="Of halves, for nulls and intervals.")] = 50,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
    cache: Annotated[Path | None, typer.Option(help="Where features stay between runs.")] = None,
    layout: Annotated[str, typer.Option(help="Only a table: slides, medmetric or flowlet.")] = "",
    bootstrap: Annotated[str, typer.Option(help="Of slides: volumes x draws.")] = "200x20",
) -> None:
    """Judge made volumes against real ones: alike, obedient, copies? Writes report.html."""
    options = {name: value for name, value in locals().items() if name != "model"}
    from functools import partial

    from brainweave.evaluation.command import Request, run
    from brainweave.membership import losses
    from brainweave.weights import locate

    told = None if model is None else partial(losses, locate(model))
    typer.echo(run(Request(**{**options, "weights": weights or []}), losses=told))


@app.command(epilog="Example: brainweave priors cohort.csv --out priors.safetensors")
def priors(
    cohort: Annotated[Path, typer.Argument(help="A cohort with a column of label maps.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    scheme: Annotated[str, typer.Option(help="Of the labels: muse or freesurfer.")] = "muse",
    modality: Annotated[str, typer.Option(help="The column of the label maps.")] = "labels",
) -> None:
    """Build anatomical priors from label maps, for `evaluate --priors`."""
    from brainweave.evaluation.command import write_priors

    typer.echo(write_priors(cohort, out, scheme=scheme, modality=modality))
