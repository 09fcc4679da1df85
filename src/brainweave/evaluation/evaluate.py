"""`evaluate`: two sets of volumes in, a report out, whoever made them."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import scipy
import torch
from jaxtyping import Float

from brainweave.data.cohort import Cohort
from brainweave.data.readers import open_cohort
from brainweave.errors import CohortError, EvaluationError
from brainweave.evaluation.bench import Bench, Chapter
from brainweave.evaluation.comparison import METRICS
from brainweave.evaluation.copying import copying
from brainweave.evaluation.likeness import likeness
from brainweave.evaluation.membership import membership
from brainweave.evaluation.nulls import FEWEST
from brainweave.evaluation.obedience import obedience
from brainweave.evaluation.overview import overview
from brainweave.evaluation.paired import matched
from brainweave.evaluation.pairing import pairing
from brainweave.evaluation.report import Finding, Report
from brainweave.evaluation.scans import Scans, open_sides
from brainweave.evaluation.settings import Settings
from brainweave.evaluation.structure import REGIONS, structure
from brainweave.progress import Reporter
from brainweave.version import VERSION

Source = Cohort | Path | str
Losses = Callable[[Cohort], Float[np.ndarray, "n"]]
_CHAPTERS = (overview, likeness, structure, obedience, copying)


def evaluate(
    real: Source,
    made: Source,
    train: Source | None = None,
    *,
    settings: Settings | None = None,
    cache: Path | None = None,
    losses: Losses | None = None,
    reporter: Reporter | None = None,
) -> Report:
    """Judges made volumes against real ones: are they alike, do they obey, do they copy?

    Each source is a cohort, a folder of NIfTI, a table or a BIDS root. real: volumes that trained
    nothing. train: those that the maker was trained on; without them copies cannot be looked for.
    cache: folder that keeps features between runs. losses: of a model on the volumes of a cohort
    (`brainweave.membership.losses`), for membership inference.
    Raises CohortError, VolumeError or ShapeError for unusable volumes, EvaluationError for too few.
    """
    settings, reporter = settings or Settings(), reporter or Reporter(quiet=True)
    if losses is not None and train is None:
        raise EvaluationError("membership needs the volumes that trained the model: give --train")
    sources = {"real": real, "made": made, **({} if train is None else {"train": train})}
    bench, facts = prepare(sources, settings, cache=cache, reporter=reporter)
    chapters = [_left_out(bench), *(chapter(bench) for chapter in _CHAPTERS)]
    if losses is not None:
        chapters.append(_membership(bench, losses))
    if settings.paired:
        chapters.append(pairing(bench))
    return Report(
        title=f"{bench.made.name.capitalize()} volumes against real ones",
        findings=_unique([finding for c in chapters for finding in c.findings]),
        scores=tuple(score for c in chapters for score in c.scores),
        figures=tuple(figure for c in chapters for figure in c.figures),
        tables=tuple(table for c in chapters for table in c.tables),
        facts={**facts, **_tools(bench)},
    )


def prepare(
    sources: Mapping[str, Source], settings: Settings, *, cache: Path | None, reporter: Reporter
) -> tuple[Bench, dict[str, object]]:
    """Opens, checks and describes all sides, "real" first; and the facts that a report names."""
    if unknown := [name for name in settings.metrics or () if name not in METRICS]:
        raise EvaluationError(f"no metric {unknown[0]!r}; there are {', '.join(METRICS)}")
    cohorts = {name: _opened(name, source, settings.modality) for name, source in sources.items()}
    persons = len({subject.subject for subject in cohorts["real"]})
    if persons < FEWEST or len(cohorts["made"]) < 2:
        raise EvaluationError(
            f"{persons} real persons and {len(cohorts['made'])} made volumes: {FEWEST} real "
            "and 2 made ones are the least that can be compared, 50 of each say something"
        )
    reporter.say(f"{', '.join(f'{len(c)} {name}' for name, c in cohorts.items())}: checking")
    sides, said = open_sides(
        cohorts,
        modality=settings.modality,
        spacing=settings.spacing,
        shape=settings.shape,
        scale=settings.scale,
    )
    reporter.say(said)
    for name in ("made",) * settings.paired + ("recon",) * ("recon" in sides):
        matched(sides["real"], sides[name])
    bench = Bench.of(sides, settings, cache, reporter)
    compared = {name: _counted(scans, cohorts[name].source) for name, scans in sides.items()}
    chosen = {
        "modality": settings.modality,
        "scale": said,
        "grid": f"{sides['real'].grid.shape} voxels of {sides['real'].spacing} mm",
        "draws": settings.draws,
        "seed": settings.seed,
        "priors": "none" if settings.priors is None else settings.priors.digest[:12],
    }
    return bench, {"compared": compared, "choices": chosen}


def _opened(name: str, source: Source, modality: str) -> Cohort:
    """A cohort with an image of the modality for everybody."""
    cohort = (
        source
        if isinstance(source, Cohort)
        else open_cohort(Path(source), modality=modality, ages=False)
    )
    without = [s.id for s in cohort if modality not in s.images]
    if without:
        raise CohortError(
            f"{name}: {len(without)} of {len(cohort)} subjects of {cohort.source} have no "
            f"{modality}, the first {without[0]!r}; name another --modality or leave them out"
        )
    return cohort


def _left_out(bench: Bench) -> Chapter:
    """What was asked for and could not be computed; of regions `structure` tells."""
    told = {name: why for name, why in bench.left.items() if name != REGIONS}
    texts = [f"{name} features were left out: {why}" for name, why in told.items()]
    return Chapter(findings=[Finding("distrust", "fair", text) for text in texts])


def _tools(bench: Bench) -> dict[str, object]:
    """Whose numbers they are: extractors and versions."""
    spaces = {
        space.name: f"{space.extractor.dimension} numbers of "
        f"{json.dumps(space.extractor.preprocessing, default=str)}, SHA-256 {space.digest}"
        for space in bench.spaces
    }
    versions = {
        "brainweave": VERSION,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
    return {"features": spaces, "versions": versions}


def _counted(scans: Scans, source: str) -> str:
    persons = len(set(scans.persons))
    whose = (
        ""
        if persons == len(scans)
        else f" of {persons} {'heads' if scans.name == 'made' else 'persons'}"
    )
    return f"{len(scans)} volumes{whose}, {source}"


def _membership(bench: Bench, losses: Losses) -> Chapter:
    """Whether the model's loss tells who trained it."""
    assert bench.train is not None
    sides = bench.train, bench.real
    members, others = (losses(Cohort(side.subjects, side.name)) for side in sides)
    persons = bench.train.persons, bench.real.persons
    try:
        found = membership(members, others, persons=persons, seed=bench.settings.seed)
    except EvaluationError as error:
        text = f"Whether the model's loss tells who trained it was not tested: {error}"
        return Chapter(findings=[Finding("copy", "unknown", text)])
    area = found.scores[0]
    told = area.low is not None and area.low > 0.5
    text = (
        f"The model's loss tells training volumes from others with an area of {area.value:.2f} "
        f"[{area.low or 0:.2f}, {area.high or 0:.2f}] (chance: 0.50)."
    )
    notes = [Finding("distrust", "unknown", words) for words in found.said]
    finding = Finding("copy", "fair" if told else "good", text)
    return Chapter(findings=[finding, *notes], scores=list(found.scores))


def _unique(findings: list[Finding]) -> tuple[Finding, ...]:
    return tuple(dict.fromkeys(findings))
