"""What lies beside completed volumes: a table, a picture, and for BIDS what the data set is."""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from brainweave.completion.cases import Case
from brainweave.completion.job import Job
from brainweave.data.files import atomic, write_json
from brainweave.data.folder import is_nifti
from brainweave.data.montage import sheet
from brainweave.data.table import write_table
from brainweave.data.volume import Volume
from brainweave.errors import OutputError
from brainweave.provenance import facts
from brainweave.version import VERSION

TABLE, PICTURE, DATASET = "completed.tsv", "montage.png", "dataset_description.json"
COLUMNS = ("participant_id", "modality", "kind", "draw", "file", "made_from", "seed", "synthetic")
_SHOWN = 12  # cases on the montage


def require_own(folder: Path) -> None:
    """Raises OutputError where the summary of something else would be overwritten."""
    table = folder / TABLE
    ours = table.exists() and table.read_text(errors="replace").startswith("\t".join(COLUMNS))
    for path in (table, folder / PICTURE):
        if path.exists() and not ours:
            raise OutputError(f"{path} is not brainweave's; choose another --out")
    dataset = folder / DATASET
    if dataset.exists() and '"brainweave"' not in dataset.read_text(errors="replace"):
        raise OutputError(f"{dataset} is not brainweave's; choose another --out")


def summarise(job: Job, *, fresh: bool) -> None:
    """completed.tsv over all of ours in the folder by now; montage.png over the first cases of the
    job where `fresh` volumes came or there is none."""
    write_table(job.folder / TABLE, COLUMNS, _rows(job.folder))
    if any(case.layout == "bids" for case in job.cases):
        write_json(job.folder / DATASET, _dataset(job))
    if fresh or not (job.folder / PICTURE).exists():
        _montage(job)


def _rows(folder: Path) -> Iterator[list[str]]:
    for path in sorted(folder.rglob("*")):
        if not is_nifti(path.name) or "case" not in (known := facts(path)):
            continue
        draw = "n/a" if known["draw"] is None else str(known["draw"])
        yield [
            known["case"],
            known["modality"],
            known["kind"],
            draw,
            path.relative_to(folder).as_posix(),
            ",".join(known["inputs"]),
            str(known["seed"]),
            "1",
        ]


def _dataset(job: Job) -> dict[str, object]:
    """Of a BIDS derivative, as its specification asks."""
    maker = {
        "Name": "brainweave",
        "Version": VERSION,
        "Description": f"complete {job.recipe.name}, weights {job.weights[:12]}",
    }
    return {
        "Name": "SYNTHETIC: missing contrasts completed by brainweave",
        "BIDSVersion": "1.9.0",
        "DatasetType": "derivative",
        "License": job.recipe.licence,
        "GeneratedBy": [maker],
    }


def _montage(job: Job) -> None:
    """A row per case, what it had and what was made; one case in memory at a time."""
    rows = [_row(job, case) for case in job.cases[:_SHOWN]]
    width, height = max(row.width for row in rows), sum(row.height for row in rows)
    picture = Image.new("L", (width, height), 0)
    top = 0
    for row in rows:
        picture.paste(row, (0, top))
        top += row.height
    with atomic(job.folder / PICTURE) as temporary:
        picture.save(temporary, format="PNG")


def _row(job: Job, case: Case) -> Image.Image:
    images = {name: path for name, path in case.images.items() if name not in job.recipe.labels}
    first = [output for output in job.outputs(case) if output.draw in (1, None)]
    made = {f"{o.modality}{'' if o.draw else ' std'} SYNTHETIC": o.path for o in first}
    shown = {**images, **made}
    volumes = [Volume.load(path) for path in shown.values()]
    return sheet(volumes, labels=list(shown), title=case.id, columns=len(shown))
