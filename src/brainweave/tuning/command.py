"""`brainweave tune`: time grids for few steps, found on a few volumes and kept in the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from brainweave.data.cohort import Cohort
from brainweave.device import usable
from brainweave.errors import RecipeError
from brainweave.generator import Generator
from brainweave.processes import grids
from brainweave.progress import Reporter
from brainweave.sampling import Sampling
from brainweave.training.subjects import check_files
from brainweave.tuning.objective import Objective
from brainweave.tuning.search import cheapest, nearest, places, refined
from brainweave.tuning.writing import require_new, rewrite

REPORT = "tuning.json"
GAIN = 0.01  # dB that another grid than the even one must bring
SHIFTS = (0.25, 0.5, 2.0, 4.0)


@dataclass(frozen=True)
class Tuned:
    """Of one number of steps: PSNR in dB on even times, as the model had it before, and tuned."""

    steps: int
    even: float
    before: float
    tuned: float
    times: tuple[float, ...]


def tune(  # noqa: PLR0913 - one per option
    model: Path,
    cohort: Cohort,
    steps: Sequence[int],
    *,
    out: Path | None = None,
    volumes: int = 4,
    teacher: int = 100,
    count: int = 32,
    seed: int = 0,
    device: str | None = None,
    reporter: Reporter | None = None,
) -> list[Tuned]:
    """Finds a grid for each number of `steps` and writes them into the model's recipe.

    A grid is found on `volumes` of the cohort among `count` times: first the cheapest way along one
    trajectory through all of them, by dynamic programming as in arXiv:2405.11326, and even and
    shifted grids; the best of these is then moved point by point under the error itself: with 2 to
    10 points that is cheaper than gradients through the sampler and needs none. The first time
    stays. out: a new folder for the model with its grids; None: they are written into `model`.
    Held to real volumes where the model hears images, else to its own of `teacher` steps.

    Raises RecipeError for impossible numbers, CohortError for unusable volumes, OutputError where
    `out` is not empty.
    """
    _require(steps, volumes, teacher, count)
    require_new(out)
    reporter = reporter or Reporter()
    generator = Generator.load(model, usable(device))
    recipe = generator.recipe
    named = cohort.select(split="val") if any(s.split == "val" for s in cohort) else cohort
    check_files(recipe, named)
    objective = Objective(generator, recipe.dataset(named), volumes, teacher, seed)
    first = recipe.process.first_time
    choice = places(recipe.process.path, first, count)
    reporter.start("tuning", len(steps))
    costs = objective.jumps(choice)
    found: list[Tuned] = []
    for number in steps:
        even = tuple(grids.uniform(number, first)[:-1].tolist())
        starts = [cheapest(costs, number), nearest(even, choice)]
        starts += [nearest(grids.shifted(number, s, first)[:-1].tolist(), choice) for s in SHIFTS]
        tried = [(objective.cost(tuple(choice[i] for i in start)), start) for start in starts]
        best, least = refined(min(tried)[1], choice, objective.cost)
        before = recipe.sampling.replace(steps=number).times(recipe.process)[:-1].tolist()
        plain = objective.psnr(even)
        times = tuple(choice[i] for i in best) if -least > plain + GAIN else even
        score = max(-least, plain)
        found.append(Tuned(number, plain, objective.psnr(tuple(before)), score, times))
        reporter.advance(f"{number} steps: {plain:.2f} to {score:.2f} dB")
    reporter.stop()
    rewrite(model, out, _with(recipe.sampling, found), {REPORT: found})
    return found


def _with(sampling: Sampling, found: Sequence[Tuned]) -> Sampling:
    """The grids that were found beside those of other numbers of steps."""
    new = {len(tuned.times): tuned.times for tuned in found}
    kept = {len(times): times for times in sampling.grids}
    ours = tuple(times for _, times in sorted({**kept, **new}.items()))
    return sampling.replace(grids=ours)


def _require(steps: Sequence[int], volumes: int, teacher: int, count: int) -> None:
    if not steps or min(steps) < 1 or len(set(steps)) < len(steps):
        raise RecipeError(f"--steps {','.join(map(str, steps))}: different numbers from 1 on")
    if count < 2 * max(steps):
        raise RecipeError(f"--count {count}: at least twice the largest of --steps, {max(steps)}")
    if volumes < 1 or teacher < 2:
        raise RecipeError(f"--volumes {volumes} --teacher {teacher}: at least 1 and 2 are needed")
