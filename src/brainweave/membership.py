"""The loss of a model on volumes one by one: what membership inference looks at."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.data.cohort import Cohort
from brainweave.data.dataset import Batch
from brainweave.data.seeds import derive
from brainweave.generator import Generator
from brainweave.progress import Reporter
from brainweave.training.subjects import check_files


@torch.no_grad()
def losses(
    model: Path,
    cohort: Cohort,
    *,
    times: int = 10,
    draws: int = 4,
    seed: int = 0,
    device: str | None = None,
    reporter: Reporter | None = None,
) -> Float[np.ndarray, "n"]:
    """The mean loss of every subject's volume over the middles of `times` parts of its times, each
    with `draws` noises, every condition heard, preprocessed as in training.

    Noise depends on (seed, time, draw) alone and is the same for all volumes: what it adds to a
    loss is then alike for members and others, and the order of the cohort does not matter.
    Raises CheckpointError for no model, CohortError or VolumeError for unusable subjects.
    """
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    generator = Generator.load(Path(model), where)
    recipe, reporter = generator.recipe, reporter or Reporter(quiet=True)
    check_files(recipe, cohort)
    volumes = recipe.dataset(cohort)
    middles = (torch.arange(times, dtype=torch.float64) + 0.5) / times
    clocks = recipe.process.training_times(middles)
    noises = [_noise(recipe.latent_shape, draws, seed, index).to(where) for index in range(times)]
    reporter.start("losses", len(volumes))
    found: dict[str, list[float]] = {}
    for index in range(len(volumes)):
        batch = Batch.of([volumes[index, 0]]).to(where)
        total = 0.0
        for t, noise in zip(clocks, noises, strict=True):
            each = generator.loss_at(
                batch.volume.expand(draws, *batch.volume.shape[1:]),
                {name: v.expand(draws, *v.shape[1:]) for name, v in batch.values.items()},
                t.expand(draws).to(where),
                noise,
            )
            total += float(each.double().mean())
        found.setdefault(batch.ids[0], []).append(total / times)
        reporter.advance()
    reporter.stop()
    return np.array([np.mean(found[s.id]) for s in cohort])


def _noise(shape: tuple[int, int, int, int], draws: int, seed: int, index: int) -> Tensor:
    """The noises of a time."""
    source = torch.Generator().manual_seed(derive("membership", seed, index))
    draw = partial(torch.randn, shape, generator=source)
    return torch.stack([draw() for _ in range(draws)])
