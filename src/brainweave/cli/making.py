"""Commands that make volumes, models and tables."""

from pathlib import Path
from typing import Annotated

import typer

from brainweave.cli import words as words_of
from brainweave.errors import OutputError, RecipeError

app = typer.Typer()
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder or file to write.")]


@app.command(
    epilog="Example: brainweave train t1_2mm data=cohort.csv out=runs/t1 training.steps=4000"
)
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, a .py, .json or .yaml file.")],
    assignments: Annotated[
        list[str],
        typer.Argument(help="data=COHORT out=FOLDER [start=MODEL], then key=value for any field."),
    ],
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; found by itself.")] = None,
    wandb: Annotated[str | None, typer.Option(help="Weights & Biases project (an extra).")] = None,
) -> None:
    """Train a recipe on a cohort; the same command again resumes exactly."""
    from brainweave.data.cohort import Cohort
    from brainweave.generator import Generator
    from brainweave.recipes import build
    from brainweave.roundtrip import of_run
    from brainweave.training.run import train
    from brainweave.weights import locate

    places, rest = _take(assignments, "data", "out", may=("latents", "start"))
    made = train(
        build(recipe, rest),
        Cohort.open(Path(places["data"])),
        Path(places["out"]),
        latents=Path(places["latents"]) if "latents" in places else None,
        start=locate(places["start"]) if "start" in places else None,
        device=device,
        wandb=wandb,
    )
    if isinstance(made, Generator):
        use = "complete {0} CASES" if made.recipe.images else "generate {0}"
        typer.echo(f"brainweave {use.format(places['out'])} --out FOLDER makes volumes with it")
    else:
        typer.echo(of_run(Path(places["out"]), device=device))
        typer.echo(f"brainweave doctor {places['out']} COHORT says whether its latents are sound")


@app.command(epilog="Example: brainweave generate age=20:80:4 sex=F --count 2 --seed 1 --out out/")
def generate(  # noqa: PLR0913 - one per option
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL] [NAME=VALUE]...",
            help="A model (default: the shipped one), then conditions: age=70, 25,75 or 20:80:13.",
        ),
    ] = None,
    out: Out = Path("out"),
    count: Annotated[int, typer.Option(help="Volumes per combination of conditions.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the first; a seed names a head.")] = 0,
    cohort: Annotated[Path | None, typer.Option(help="A CSV or TSV: one volume per row.")] = None,
    like: Annotated[
        str | None,
        typer.Option(help="Draw rows of a TABLE, a RUN's cohort, or train: the model's."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Sampler steps.")] = None,
    times: Annotated[
        str | None, typer.Option(help="Where the steps begin, as 0,0.5: two steps.")
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help="euler, heun, ddim, ancestral, dpmpp_2m, reference.")
    ] = None,
    guidance: Annotated[
        list[str] | None,
        typer.Option(help="Classifier-free guidance, 1 is none; of one condition: age=1.5."),
    ] = None,
    listen: Annotated[str, typer.Option(help="both, film, attention or none.")] = "both",
    extrapolate: Annotated[
        bool, typer.Option(help="Allow values outside the trained range.")
    ] = False,
    batch: Annotated[int, typer.Option(help="Volumes at a time; changes no volume.")] = 1,
    dtype: Annotated[str, typer.Option(help="int16 (with slope) or float32.")] = "int16",
    shard: Annotated[str, typer.Option(help="i/n: this process makes every n-th volume.")] = "1/1",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; found by itself.")] = None,
    memory: words_of.Memory = 0,
) -> None:
    """Make volumes, with a sidecar each; run again and only what is missing is made."""
    request = locals()
    from brainweave.generation.command import Request, generate

    scale, scales = words_of.guidance(guidance or [])
    given = {"times": words_of.times(times), "guidance": scale, "guidance_by": scales}
    generate(Request(**{**request, **given, "memory": words_of.bytes_of(memory)}))


@app.command(epilog="Example: brainweave recipes flowlet flowlet_plus")
def recipes(
    names: Annotated[
        list[str] | None, typer.Argument(help="None to list, one to print, two to compare.")
    ] = None,
) -> None:
    """List the recipes, print one, or print the difference of two."""
    from brainweave.inspection import compare, inspect, listing
    from brainweave.recipes import build

    match [build(name, []) for name in names or []]:
        case []:
            typer.echo(listing())
        case [one]:
            typer.echo(str(inspect(one)))
        case [a, b]:
            typer.echo(compare(a, b))
        case _:
            raise RecipeError("at most two recipes can be compared")


@app.command(epilog="Example: brainweave inspect runs/t1")
def inspect(
    model: Annotated[
        str | None, typer.Argument(help="A model folder; default: the shipped one.")
    ] = None,
) -> None:
    """Print a model's recipe, conditions, size, cost and licence."""
    from brainweave.inspection import inspect
    from brainweave.weights import locate

    typer.echo(str(inspect(locate(model))))


@app.command(
    "import",
    epilog="Example: brainweave import flowlet fmw_best.pth --config config.json --out model",
)
def import_(  # noqa: PLR0913 - one per option
    kind: Annotated[
        str, typer.Argument(help="flowlet, cwdm, fast-cwdm, wdm, maisi, monai, wfvae.")
    ],
    checkpoint: Annotated[Path, typer.Argument(help="The other code's checkpoint.")],
    out: Out,
    target: Annotated[
        str | None,
        typer.Option(help="What it makes or compresses, such as t1n (cwdm, autoencoders)."),
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="sampled or direct (fast-cwdm); default: by the file name.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Time steps of its training (fast-cwdm); likewise.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Its settings as JSON; default: config.json beside it (flowlet)."),
    ] = None,
    ranges: Annotated[
        Path | None, typer.Option(help="condition_ranges.json; default: likewise (flowlet).")
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help="A NIfTI file whose grid outputs get (flowlet, wdm).")
    ] = None,
    licence: Annotated[str, typer.Option(help="Of the weights, to note it.")] = "unspecified",
) -> None:
    """Turn another code's weights into a model folder."""
    request = locals()
    from brainweave.interop import import_model

    import_model(**request)
    typer.echo(f"{out}: brainweave inspect {out} shows it")


@app.command(epilog="Example: brainweave catalog bids/ more.csv --out cohort.csv")
def catalog(
    inputs: Annotated[list[Path], typer.Argument(help="Folders, BIDS roots, CSV or TSV files.")],
    out: Out,
    oasis3: Annotated[
        Path | None, typer.Option(help="OASIS-3 clinical table: normal visits.")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="Only this contrast, such as t1w.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing table.")] = False,
) -> None:
    """Write one cohort table for scans in folders, BIDS data sets and tables."""
    from brainweave.data.catalog import catalog

    cohort = catalog(inputs, out, oasis3=oasis3, modality=modality, overwrite=overwrite)
    typer.echo(f"{out}: {len(cohort)} scans of {len({s.subject for s in cohort})} persons")


@app.command(epilog="Example: brainweave phantom heads/ --count 20")
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    count: Annotated[int, typer.Option(help="Heads.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the cohort.")] = 0,
    shape: Annotated[str, typer.Option(help="Voxels, i,j,k.")] = "80,96,80",
    spacing: Annotated[float | None, typer.Option(help="Voxel edge in mm; the head fits.")] = None,
    modalities: Annotated[str, typer.Option(help="Of t1w,t1c,t2w,flair,seg.")] = "t1w",
) -> None:
    """Write analytic heads of known age and sex with a cohort table: data without data."""
    from brainweave.data.phantom import write_phantoms

    edges = words_of.edges(shape)
    table = write_phantoms(
        out, count, seed=seed, shape=edges, spacing=spacing, modalities=tuple(modalities.split(","))
    )
    typer.echo(f"{table}: {count} heads")


@app.command(epilog="Example: brainweave pack runs/t1 --out model --half")
def pack(
    run: Annotated[Path, typer.Argument(help="A run or model folder.")],
    out: Out,
    half: Annotated[bool, typer.Option(help="Store float16: half the size.")] = False,
) -> None:
    """Copy what generation needs out of a run folder, to share it."""
    from brainweave.generator import Generator

    if out.exists() and any(out.iterdir()):
        raise OutputError(f"{out} is not empty; --out needs a new folder")
    content = Generator.load(run).save(out, half=half)
    typer.echo(f"{out}: recipe.json and weights.safetensors, content {content[:12]}")


def _take(
    assignments: list[str], *names: str, may: tuple[str, ...] = ()
) -> tuple[dict[str, str], list[str]]:
    """The named assignments, and the rest. Raises RecipeError for one that is not there, unless it
    `may` be."""
    pairs = [assignment.partition("=") for assignment in assignments]
    every = (*names, *may)
    taken = {name: text for name, equals, text in pairs if equals and name in every}
    for name in every:
        if [first for first, _, _ in pairs].count(name) > 1:
            raise RecipeError(f"{name}=... is given twice; give it once")
        if name in names and not taken.get(name):
            raise RecipeError(f"{name}=... is needed, as data=cohort.csv out=runs/first")
    return taken, [
        a for a, (name, _, _) in zip(assignments, pairs, strict=True) if name not in every
    ]
