"""A request as a user words it: which model, which conditions, how; checked, then made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from brainweave.conditions.hiding import Listen
from brainweave.data.tensors import content_hash
from brainweave.device import usable
from brainweave.errors import ConditionError, RecipeError
from brainweave.generation.job import DTYPES, Job, Options
from brainweave.generation.like import from_like, located
from brainweave.generation.plan import Item, from_assignments, from_cohort
from brainweave.generator import Generator
from brainweave.model_folder import WEIGHTS, load_recipe
from brainweave.part import hint
from brainweave.progress import Reporter
from brainweave.recipe import Recipe
from brainweave.weights import locate


@dataclass(frozen=True)
class Request:
    """All that `brainweave generate` can be told; see its --help."""

    words: list[str] | None = None
    out: Path = Path("out")
    count: int = 1
    seed: int = 0
    cohort: Path | None = None
    like: str | None = None
    steps: int | None = None
    times: Sequence[float] | None = None
    sampler: str | None = None
    guidance: float | None = None
    guidance_by: Mapping[str, float] | None = None
    listen: str = "both"
    extrapolate: bool = False
    batch: int = 1
    dtype: str = "int16"
    shard: str = "1/1"
    device: str | None = None
    memory: int = 0


def generate(request: Request) -> list[Path]:
    """Makes what is asked for and not yet there; returns the paths of all its volumes.

    Raises ConditionError, RecipeError, CheckpointError, CohortError or OutputError before anything
    is written; see `Job`, `from_assignments`, `from_cohort` and `from_like`.
    """
    words = list(request.words or [])
    model = locate(words.pop(0) if words and "=" not in words[0] else None)
    recipe = load_recipe(model)
    items, options = _items(request, model, recipe, words), _options(request, recipe)
    generator = Generator.load(model, usable(request.device), memory=request.memory)
    job = Job(generator, content_hash(model / WEIGHTS), items, request.out, options)
    reporter = Reporter()
    try:
        paths = job.run(_progress(reporter))
    finally:
        reporter.stop()
    reporter.say(f"{request.out}: {len(paths)} volumes, montage.png, participants.tsv")
    return paths


def _items(request: Request, model: Path, recipe: Recipe, assignments: list[str]) -> list[Item]:
    wide, count, seed = request.extrapolate, request.count, request.seed
    if request.like is not None and request.cohort is not None:
        raise ConditionError("--like draws rows, --cohort takes all of them; give one of the two")
    if request.like is not None:
        table = located(request.like, model)
        return from_like(recipe, table, assignments, count=count, seed=seed)
    if request.cohort is None:
        return from_assignments(recipe, assignments, count=count, seed=seed, extrapolate=wide)
    if assignments or request.count != 1:
        odd = assignments[0] if assignments else f"--count {request.count}"
        raise ConditionError(f"--cohort says what to make, a volume per row; leave {odd} out")
    return from_cohort(recipe, request.cohort, seed=request.seed, extrapolate=wide)


def _options(request: Request, recipe: Recipe) -> Options:
    sampling = recipe.sampling.told(
        steps=request.steps,
        sampler=request.sampler,
        guidance=request.guidance,
        guidance_by=request.guidance_by,
        times=request.times,
    )
    sampling.times(recipe.process)  # refuses what goes with other processes only
    knows_null = recipe.training.drop_conditions > 0 or not recipe.conditions
    single = sampling.guidance_by or {}
    for name in single:
        recipe.condition(name)  # refuses what there is not
    odd = [scale for scale in (sampling.guidance, *single.values()) if scale not in (0, 1)]
    if odd and not knows_null:
        raise RecipeError(
            f"guidance {odd[0]:g}: {recipe.name} was trained with every condition heard "
            "(training.drop_conditions=0), so it has no null to guide away from; use --guidance 1"
        )
    index, slash, of = request.shard.partition("/")
    if not (slash and index.isdecimal() and of.isdecimal()):
        raise RecipeError(f"--shard {request.shard}: i/n is needed, as 1/4")
    if request.batch < 1:
        raise RecipeError(f"--batch {request.batch}: at least 1 is needed")
    return Options(
        sampling=sampling,
        listen=_one_of(request.listen, get_args(Listen), "--listen"),
        batch=request.batch,
        dtype=_one_of(request.dtype, DTYPES, "--dtype"),
        shard=(int(index), int(of)),
    )


def _one_of(word: str, known: tuple[str, ...], option: str) -> Any:
    if word not in known:
        raise RecipeError(f"{option} {word} is unknown{hint(word, known)}")
    return word


def _progress(reporter: Reporter) -> Callable[[int, int], None]:
    """Sampler steps on the reporter's bar."""
    begun = False

    def step(done: int, total: int) -> None:
        nonlocal begun
        if not begun:
            reporter.start("sampling", total)
            begun = True
        reporter.advance(to=done)

    return step
