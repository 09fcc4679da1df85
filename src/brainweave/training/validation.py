"""What averaged weights do on the same volumes, times and noise every time."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.data.dataset import Batch, VolumeDataset
from brainweave.data.seeds import derive
from brainweave.generator import Generator
from brainweave.training.engine import Engine

VOLUMES = 64  # at most
TIMES = 4  # of every volume, one in each quarter of [0, 1], or at 0 as often as in training


@torch.no_grad()
def means(
    measure: Callable[[int, Batch], Float[Tensor, "n"]],
    dataset: VolumeDataset,
    engine: Engine,
    *,
    size: int = 1,
) -> list[float]:
    """The means of the `size` numbers that `measure` says of single volumes, each by its index, in
    the engine's precision.

    Volumes are shared out over the processes. At most 64 are used, evenly over the dataset.
    """
    count = min(len(dataset), VOLUMES)
    chosen = [index * len(dataset) // count for index in range(count)]
    total = torch.zeros(size, dtype=torch.float64)
    for index in chosen[engine.rank :: engine.world]:
        batch = Batch.of([dataset[index, 0]]).to(engine.device)
        with engine.autocast():
            total += measure(index, batch).double().cpu()
    shared: list[float] = engine.sum(total.float().to(engine.device)).tolist()
    return [value / count for value in shared]


def validation_loss(generator: Generator, dataset: VolumeDataset, engine: Engine) -> float:
    """The mean of `Generator.loss_at` over volumes and fixed times, every condition heard."""

    def loss(index: int, batch: Batch) -> Tensor:
        t, noise = _draw(generator, index)
        losses = generator.loss_at(
            _repeated(batch.volume),
            {name: _repeated(value) for name, value in batch.values.items()},
            t.to(engine.device),
            noise.to(engine.device),
        )
        return losses.double().mean()[None]

    return means(loss, dataset, engine)[0]


def _repeated(value: Tensor) -> Tensor:
    """The one row of `value`, once for every time."""
    return value.expand(TIMES, *value.shape[1:])


def _draw(generator: Generator, index: int) -> tuple[Tensor, Tensor]:
    """Times and noise of a volume, the same in every run with this seed."""
    recipe = generator.recipe
    source = torch.Generator().manual_seed(derive("validation", recipe.training.seed, index))
    start = torch.rand(1, generator=source, dtype=torch.float64)
    times = (torch.arange(TIMES, dtype=torch.float64) + start) / TIMES
    times[: round(TIMES * recipe.process.at_start)] = 0
    noise = torch.randn(TIMES, *recipe.latent_shape, generator=source)
    return recipe.process.training_times(times), noise
