"""From volumes to batches, in an order that can be resumed.

Order and seeds are functions of (seed, step, rank) alone, so that neither the number of workers nor
a restart changes a batch.
"""

import signal
from collections.abc import Iterable, Iterator
from functools import lru_cache

import torch
from torch.utils.data import DataLoader, Sampler

from brainweave.data.balance import weighted_order, weights
from brainweave.data.dataset import Batch, Key, VolumeDataset
from brainweave.data.seeds import derive, generator
from brainweave.errors import RecipeError


class Schedule(Sampler[list[Key]]):
    """Which subjects, with which seeds, make the batch of every step from `start` up to `steps`.

    Epochs are permutations laid end to end, so that every batch is full whatever the cohort's size;
    step s of all ranks together takes the positions from s * batch * world on. weights: how often
    each is drawn per epoch instead, see `balance`.
    """

    def __init__(  # noqa: PLR0913 - what a batch depends on
        self,
        count: int,
        *,
        batch: int,
        seed: int,
        start: int,
        steps: int,
        rank: int,
        world: int,
        weights: tuple[float, ...] | None = None,
    ) -> None:
        if count < 1 or batch < 1 or not 0 <= rank < world or not 0 <= start <= steps:
            raise RecipeError(
                f"no batches of {batch} from {count} subjects for rank {rank} of {world}, steps "
                f"{start} to {steps}; need counts of 1 or more, rank < world, 0 <= start <= steps"
            )
        self.count, self.batch, self.seed, self.weights = count, batch, seed, weights
        self.start, self.steps, self.rank, self.world = start, steps, rank, world

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[list[Key]]:
        for step in range(self.start, self.steps):
            first = (step * self.world + self.rank) * self.batch
            yield [self._key(position) for position in range(first, first + self.batch)]

    def _key(self, position: int) -> Key:
        epoch, place = divmod(position, self.count)
        if self.weights is not None:  # one may come twice, augmented in two ways
            index = weighted_order(self.weights, self.seed, epoch)[place]
            return index, derive("augment", self.seed, epoch, index, place)
        index = _permutation(self.count, self.seed, epoch)[place]
        return index, derive("augment", self.seed, epoch, index)


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> list[int]:
    order: list[int] = torch.randperm(count, generator=generator("order", seed, epoch)).tolist()
    return order


def loader(  # noqa: PLR0913 - seed, step, rank, world: what a batch depends on
    dataset: VolumeDataset,
    *,
    batch: int,
    seed: int,
    steps: int,
    start: int = 0,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    balance: float = 0.0,
) -> Iterable[Batch]:
    """The batches of steps `start` up to `steps` (not included) of a run, for one rank of `world`.

    A pure function of (seed, step, rank): starting at 5 gives what a whole run gives from step 5,
    and the ranks' batches in order are one process's batch of world * batch. batch: per rank.
    balance: the power by which rare modalities are drawn more often.
    """
    kinds = [modality for _, modality in dataset.volumes]
    schedule = Schedule(
        len(dataset),
        batch=batch,
        seed=seed,
        start=start,
        steps=steps,
        rank=rank,
        world=world,
        weights=weights(kinds, balance) if balance else None,
    )
    return DataLoader(
        dataset,
        batch_sampler=schedule,
        collate_fn=Batch.of,
        num_workers=workers,
        worker_init_fn=_outlive_signals,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        generator=generator("loader", seed),  # else each pass draws from the global generator
    )


def _outlive_signals(_worker: int) -> None:
    """A batch system signals every process; workers end when the run that they serve ends."""
    for name in ("SIGTERM", "SIGINT", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
