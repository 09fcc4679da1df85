"""A completion as a user words it: which model, which cases, how; checked, then made."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainweave.completion import check
from brainweave.completion.cases import Case, cases, find, require_apart
from brainweave.completion.job import Completing, Job
from brainweave.completion.matching import Histogram
from brainweave.completion.summary import require_own, summarise
from brainweave.completion.then import Then
from brainweave.data.check import refuse
from brainweave.data.cohort import canonical_modality
from brainweave.data.tensors import content_hash
from brainweave.device import usable
from brainweave.errors import OutputError, RecipeError
from brainweave.generator import Generator
from brainweave.model_folder import WEIGHTS, load_recipe
from brainweave.progress import Reporter
from brainweave.recipe import Recipe
from brainweave.weights import locate

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Completion:
    """All that `brainweave complete` can be told; see its --help."""

    model: str | Path
    input: Path
    out: Path
    steps: int | None = None
    sampler: str | None = None
    times: Sequence[float] | None = None
    samples: int = 1
    seed: int = 0
    match: Sequence[str] = ()
    with_inputs: bool = False
    only: Sequence[str] = ()
    frame: str = "model"
    dtype: str = "int16"
    device: str | None = None
    memory: int = 0
    precision: str = "float32"
    then: str | None = None


def complete(request: Completion) -> list[Path]:
    """Makes what cases lack and is not yet there; returns the paths of all that is made.

    Raises RecipeError, CheckpointError, CohortError, VolumeError or OutputError before anything is
    written: all cases are looked at first. Raises OutputError at the end where `then` failed.
    """
    model = locate(request.model)
    recipe = load_recipe(model)
    if not recipe.inputs:
        raise RecipeError(
            f"{request.model} makes volumes from nothing; brainweave generate is for it"
        )
    options = _options(request, recipe)
    then = None if request.then is None else Then.parse(request.then)
    cohort, layout = find(request.input)
    found = cases(cohort, layout, recipe, request.only)
    refuse(str(request.input), check.in_headers(found, recipe))
    require_apart(request.out, request.input, found)
    require_own(request.out)
    likes = _likes(request.match, sorted({name for case in found for name in case.missing}))
    generator = Generator.load(model, usable(request.device), memory=request.memory)
    job = Job(generator, content_hash(model / WEIGHTS), found, request.out, options, likes)
    _tell(job, found)
    reporter = Reporter()
    try:
        _check(job, request.input, reporter)
        failed = _run(job, then, reporter)
    finally:
        reporter.stop()
    made = [output.path for case in job.cases for output in job.outputs(case)]
    if made:
        reporter.say(f"{request.out}: {len(made)} volumes of {len(job.cases)} cases")
    if failed:
        raise OutputError(
            f"--then {request.then}: failed for {len(failed)} of {len(job.cases)} cases, "
            f"{', '.join(f'{case} ({why})' for case, why in failed.items())}; "
            "the same command runs these again"
        )
    return made


def _options(request: Completion, recipe: Recipe) -> Completing:
    """Raises RecipeError for an option that is unknown or out of range."""
    sampling = recipe.sampling.told(
        steps=request.steps, sampler=request.sampler, times=request.times
    )
    recipe.replace(sampling=sampling)  # some go with some sources only
    return Completing(
        sampling=sampling,
        samples=request.samples,
        seed=request.seed,
        frame=request.frame,
        dtype=request.dtype,
        precision=request.precision,
        with_inputs=request.with_inputs,
    )


def _likes(match: Sequence[str], targets: Sequence[str]) -> dict[str, Histogram]:
    """The histogram of every modality that `match` names a volume for, as VOLUME or t1c=VOLUME."""
    likes: dict[str, Histogram] = {}
    for word in match:
        name, equals, path = str(word).partition("=")
        target = canonical_modality(name)
        if not equals or target not in targets:
            if len(targets) > 1:
                raise RecipeError(
                    f"--match {word}: {', '.join(targets)} are made; say whose it is, as "
                    f"{targets[0]}={path or word}"
                )
            target, path = (targets or [""])[0], str(word)
        if target in likes:
            raise RecipeError(f"--match {word}: {target} has a volume to match already")
        likes[target] = Histogram.of(Path(path))
    return likes


def _tell(job: Job, found: Sequence[Case]) -> None:
    """A line each on arithmetic that is not as asked, cases that lack nothing and volumes that
    are there already."""
    if job.precision != job.options.precision:
        _log.info("this CPU only imitates bf16: computing in float32, which is faster here")
    whole = [case.id for case in found if not case.missing]
    if whole:
        more = f" and {len(whole) - 5} more" if len(whole) > 5 else ""
        _log.info(
            "%d of %d cases lack nothing: %s%s", len(whole), len(found), ", ".join(whole[:5]), more
        )
    there = [case for case in job.cases if not job.left[case.id]]
    if there:
        _log.info("%d of %d cases are completed already", len(there), len(job.cases))


def _check(job: Job, source: Path, reporter: Reporter) -> None:
    """Looks at the voxels of all cases that something is left of."""
    left = [case for case in job.cases if job.left[case.id]]
    maps = job.recipe.labels
    intensities = {
        name: job.recipe.preprocess.of(name).intensity
        for name in job.recipe.inputs
        if name not in maps
    }
    reporter.start("checking cases", len(left))
    refuse(str(source), check.in_voxels(left, intensities, reporter.advance))


def _run(job: Job, then: Then | None, reporter: Reporter) -> Mapping[str, str]:
    """Completes case by case, with `then` after each; why that failed, by case."""
    failed: dict[str, str] = {}
    fresh = any(job.left.values())
    reporter.start("completing", job.steps)
    for case in job.cases:
        job.make(case, reporter.advance)
        if then is not None and not then.done(job, case) and (why := then.run(job, case)):
            failed[case.id] = why
    reporter.stop()
    if job.cases:
        summarise(job, fresh=fresh)
    return failed
