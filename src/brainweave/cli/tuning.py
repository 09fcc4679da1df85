"""The commands that finish a trained model."""

from pathlib import Path
from typing import Annotated

import typer

from brainweave.errors import RecipeError

app = typer.Typer()


@app.command(epilog="Example: brainweave tune runs/complete brats/ --steps 1,2,5")
def tune(  # noqa: PLR0913 - one per option
    model: Annotated[Path, typer.Argument(help="A run or model folder.")],
    data: Annotated[Path, typer.Argument(help="A cohort; its split 'val' where it has one.")],
    steps: Annotated[str, typer.Option(help="Numbers of steps, each gets a grid.")] = "1,2,3,5,10",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A new folder; default: into the model.")
    ] = None,
    volumes: Annotated[int, typer.Option(help="Volumes to judge grids by.")] = 4,
    teacher: Annotated[int, typer.Option(help="Steps of what generation is held to.")] = 100,
    count: Annotated[int, typer.Option(help="Times to choose from.")] = 32,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; found by itself.")] = None,
) -> None:
    """Find where few steps should lie and keep that in the model."""
    from brainweave.data.cohort import Cohort
    from brainweave.tuning import tune

    numbers = [word.strip() for word in steps.split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise RecipeError(f"--steps {steps}: whole numbers are needed, as 1,2,5")
    found = tune(
        model,
        Cohort.open(data),
        [int(number) for number in numbers],
        out=out,
        volumes=volumes,
        teacher=teacher,
        count=count,
        seed=seed,
        device=device,
    )
    typer.echo("steps  even times  tuned   where")
    for row in found:
        where = ", ".join(f"{time:.4g}" for time in row.times)
        typer.echo(f"{row.steps:5}  {row.even:7.2f} dB  {row.tuned:.2f} dB  {where}")


@app.command(epilog="Example: brainweave tone runs/t1 cohort.csv")
def tone(
    model: Annotated[Path, typer.Argument(help="A run or model folder.")],
    data: Annotated[Path, typer.Argument(help="The cohort it was trained on.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A new folder; default: into the model.")
    ] = None,
    volumes: Annotated[int, typer.Option(help="Volumes to draw.")] = 24,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; found by itself.")] = None,
) -> None:
    """Match intensities of a model's volumes to a cohort's and keep that in the model."""
    from brainweave.data.cohort import Cohort
    from brainweave.tuning import tone

    found = tone(model, Cohort.open(data), out=out, volumes=volumes, seed=seed, device=device)
    typer.echo(
        f"{found.made} drawn and {found.real} real volumes: intensities "
        f"{found.before:.2%} of the range apart, with the curve {found.after:.2%}"
    )
