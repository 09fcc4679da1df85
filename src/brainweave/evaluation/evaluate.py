"""`evaluate`: two sets of volumes in, a report out, whoever made them."""

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
from brainweave.evaluation.copying import copying
from brainweave.evaluation.likeness import likeness
from brainweave.evaluation.maturity import maturity
from brainweave.evaluation.membership import membership
from brainweave.evaluation.obedience import obedience
from brainweave.evaluation.overview import overview
from brainweave.evaluation.pairing import pairing
from brainweave.evaluation.report import Finding, Report
from brainweave.evaluation.scans import Scans, open_sides
from brainweave.evaluation.settings import Settings
from brainweave.evaluation.structure import structure
from brainweave.progress import Reporter
from brainweave.version import VERSION

Source = Cohort | Path | str
Losses = Callable[[Cohort], Float[np.ndarray, "n"]]
_FEWEST = 4  # real volumes without which there is no null


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
    sources = {"real": real, "made": made, **({} if train is None else {"train": train})}
    bench, facts = prepare(sources, settings, cache=cache, reporter=reporter)
    chapters = [overview(bench), likeness(bench), structure(bench)]
    chapters += [maturity(bench), obedience(bench)]
    chapters.append(copying(bench))
    if losses is not None:
        chapters.append(_membership(bench, losses))
    if settings.paired:
        chapters.append(pairing(bench))
    spaces = {
        space.name: f"{space.extractor.dimension} numbers, {space.digest[:12]}"
        for space in bench.spaces
    }
    versions = {
        "brainweave": VERSION,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
    return Report(
        title=f"{bench.made.name.capitalize()} volumes against real ones",
        findings=_unique([finding for c in chapters for finding in c.findings]),
        scores=tuple(score for c in chapters for score in c.scores),
        figures=tuple(figure for c in chapters for figure in c.figures),
        tables=tuple(table for c in chapters for table in c.tables),
        facts={**facts, "features": spaces, "versions": versions},
    )


def prepare(
    sources: Mapping[str, Source], settings: Settings, *, cache: Path | None, reporter: Reporter
) -> tuple[Bench, dict[str, object]]:
    """Opens, checks and describes all sides, "real" first; and the facts that a report names."""
    cohorts = {name: _opened(name, source, settings.modality) for name, source in sources.items()}
    if len(cohorts["real"]) < _FEWEST or len(cohorts["made"]) < 2:
        raise EvaluationError(
            f"{len(cohorts['real'])} real and {len(cohorts['made'])} made volumes: {_FEWEST} real "
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
    if bench.train is None:
        raise EvaluationError("membership needs the volumes that trained the model: give --train")
    found = membership(
        losses(Cohort(bench.train.subjects, "train")),
        losses(Cohort(bench.real.subjects, "real")),
        persons=(bench.train.persons, bench.real.persons),
        seed=bench.settings.seed,
    )
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
