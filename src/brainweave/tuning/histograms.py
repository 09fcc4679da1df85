"""`brainweave tone`: a tone curve, found on volumes that a model draws and kept in the model."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from brainweave.data.cohort import Cohort
from brainweave.data.dataset import Batch, VolumeDataset
from brainweave.data.seeds import derive
from brainweave.device import usable
from brainweave.errors import RecipeError
from brainweave.generator import Generator
from brainweave.progress import Reporter
from brainweave.toning import Curve, distance, histogram, matching, toned
from brainweave.training.subjects import check_files, split
from brainweave.tuning.objective import spread
from brainweave.tuning.writing import require_new, rewrite

REPORT = "tone.json"


@dataclass(frozen=True)
class Toned:
    """A curve, from how many drawn and real volumes it was found, and how far their intensities
    are apart on average, as a share of the range, without it and with it."""

    made: int
    real: int
    before: float
    after: float
    curve: Curve


def tone(
    model: Path,
    cohort: Cohort,
    *,
    out: Path | None = None,
    volumes: int = 24,
    seed: int = 0,
    device: str | None = None,
    reporter: Reporter | None = None,
) -> Toned:
    """Finds the curve by which the intensities of `volumes` drawn ones are together distributed as
    those of the cohort, and writes it into the model's recipe.

    Conditions are those of subjects spread evenly over those whom training on the cohort takes, by
    its column "split" or as drawn by the recipe: what a model is judged by later stays unseen. out:
    a new folder for the model with its curve; None: it is written into `model`.

    Raises RecipeError for a model that hears images or makes several contrasts, CohortError for
    unusable volumes, OutputError where `out` is not empty.
    """
    reporter = reporter or Reporter()
    require_new(out)
    generator = Generator.load(model, usable(device))
    recipe = generator.recipe
    if recipe.inputs or len(recipe.targets) > 1:
        raise RecipeError(
            f"{model} makes {', '.join(recipe.targets)} from "
            f"{', '.join(recipe.inputs) or 'noise'}; a tone curve is for a model that makes one "
            "contrast from noise"
        )
    if volumes < 1:
        raise RecipeError(f"--volumes {volumes}: at least 1 is needed")
    trained = split(recipe, cohort, reporter).train
    check_files(recipe, trained)
    dataset = recipe.dataset(trained).in_voxels()
    low, high = recipe.preprocess.intensity.range
    real = histogram((x - low) / (high - low) for x in dataset.made())
    chosen = spread(dataset, volumes)
    reporter.start("drawing volumes", len(chosen))
    drawn = [(x - low) / (high - low) for x in _drawn(generator, dataset, chosen, seed, reporter)]
    reporter.stop()
    made = histogram(drawn)
    curve = matching(made, real)
    after = distance(histogram(toned(x, curve) for x in drawn), real)
    found = Toned(len(chosen), len(dataset), distance(made, real), after, curve)
    rewrite(model, out, recipe.sampling.replace(tone=curve), {REPORT: found})
    return found


def _drawn(
    generator: Generator, dataset: VolumeDataset, chosen: list[int], seed: int, reporter: Reporter
) -> Iterator[Tensor]:
    """Volumes as the model makes them without a curve."""
    device = next(generator.parameters()).device
    sampling = generator.recipe.sampling.replace(tone=())
    for index in chosen:
        values = Batch.of([dataset[index, 0]]).to(device).values
        yield generator.sample(values, [derive("tone", seed, index)], sampling).cpu()
        reporter.advance()
