"""The validation loss: averaged weights, the same subjects, times and noise every time."""

import torch
from torch import Tensor

from brainweave.data.dataset import Batch, VolumeDataset
from brainweave.data.seeds import derive
from brainweave.generator import Generator
from brainweave.training.engine import Engine

SUBJECTS = 64  # at most
TIMES = 4  # of every volume, one in each quarter of [0, 1], or at 0 as often as in training


def repeated(value: Tensor) -> Tensor:
    """The one row of `value`, once for every time."""
    return value.expand(TIMES, *value.shape[1:])


@torch.no_grad()
def validation_loss(generator: Generator, dataset: VolumeDataset, engine: Engine) -> float:
    """The mean of `Generator.loss_at` over subjects and fixed times, every condition heard.

    Subjects are shared out over the processes. At most 64 are used, evenly over the dataset.
    """
    count = min(len(dataset), SUBJECTS)
    chosen = [index * len(dataset) // count for index in range(count)]
    total = torch.zeros(1, dtype=torch.float64)
    for index in chosen[engine.rank :: engine.world]:
        batch = Batch.of([dataset[index, 0]]).to(engine.device)
        t, noise = _draw(generator, index)
        with engine.autocast():
            losses = generator.loss_at(
                repeated(batch.volume),
                {name: repeated(value) for name, value in batch.values.items()},
                t.to(engine.device),
                noise.to(engine.device),
            )
        total += losses.double().sum().cpu()
    return float(engine.sum(total.float().to(engine.device)).item()) / (count * TIMES)


def _draw(generator: Generator, index: int) -> tuple[Tensor, Tensor]:
    """Times and noise of a subject, the same in every run with this seed."""
    recipe = generator.recipe
    source = torch.Generator().manual_seed(derive("validation", recipe.training.seed, index))
    start = torch.rand(1, generator=source, dtype=torch.float64)
    times = (torch.arange(TIMES, dtype=torch.float64) + start) / TIMES
    times[: round(TIMES * recipe.process.at_start)] = 0
    noise = torch.randn(TIMES, *recipe.latent_shape, generator=source)
    return recipe.process.path.training_times(times), noise
