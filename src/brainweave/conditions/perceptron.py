"""What a voxel and its surroundings say of a missing modality, beyond products of two of them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from brainweave.part import Part

BATCH, RATE, DECAY, DROPOUT = 4096, 2e-3, 0.05, 0.1
MEMORY = 0.9  # of the running error of a lesson, per batch
FIRST, SMALLEST = 0.01, 1e-4  # where it begins, and its least: 20 and 40 dB
LEAST = 1e-3  # of a term's standard deviation
CHUNK = 2**16  # voxels at a time

Owners = Sequence[int | None]  # which image each term is of, None: of all


class Lesson(NamedTuple):
    """Voxels of one person to learn one target from.

    terms: of all images, the first ones being their own values. there: which images it has.
    """

    fold: int
    target: int
    there: Bool[Tensor, "n"]
    terms: Float[Tensor, "f v"]


class Perceptron(Part):
    """Two hidden layers between the terms of a voxel and any target, from any images.

    without: the fold whose persons had no part in it; None: all had. names: of the modalities, in
    the order of the terms and of what it is told besides: which are there, which is asked for.
    centre, deviation: of every term; one that is missing counts as its centre. weights: all of
    them, in torch's order.
    """

    without: int | None = None
    names: tuple[str, ...] = Field(min_length=2)
    width: int = Field(ge=1)
    centre: tuple[float, ...]
    deviation: tuple[float, ...]
    weights: tuple[float, ...]

    @model_validator(mode="after")
    def _weights_fit(self) -> "Perceptron":
        inputs, width = len(self.centre) + 2 * len(self.names), self.width
        needed = (inputs + width + 3) * width + 1
        if len(self.deviation) != len(self.centre) or len(self.weights) != needed:
            raise ValueError(
                f"{len(self.weights)} weights and {len(self.deviation)} deviations of a perceptron "
                f"where {needed} and {len(self.centre)} are needed; train again"
            )
        return self

    def __call__(
        self, terms: Float[Tensor, "f v"], rows: Sequence[int], images: Sequence[str], target: str
    ) -> Float[Tensor, "v"]:
        """Of voxels whose terms are at `rows` among all."""
        with torch.device("meta"):  # nothing is drawn: a guess leaves all generators as they are
            layers = _layers(len(self.centre) + 2 * len(self.names), self.width, 0.0)
        layers, values = layers.to_empty(device=terms.device), terms.new_tensor(self.weights)
        torch.nn.utils.vector_to_parameters(values, layers.parameters())
        centre, deviation = (terms.new_tensor(v)[rows] for v in (self.centre, self.deviation))
        shown = [name in images for name in self.names]
        told = terms.new_tensor([*shown, *(name == target for name in self.names)])
        made = []
        with torch.no_grad():
            for part in terms.split(CHUNK, 1):
                seen = part.new_zeros(part.shape[1], len(self.centre) + len(told))
                seen[:, rows] = ((part.T - centre) / deviation).to(seen)
                seen[:, len(self.centre) :] = told
                made.append(layers(seen)[:, 0])
        return torch.cat(made) if made else terms.new_zeros(0)


def taught(
    lessons: Sequence[Lesson],
    names: tuple[str, ...],
    owners: Owners,
    *,
    width: int,
    steps: int,
    without: int | None = None,
) -> Perceptron:
    """By `steps` batches of voxels of any lesson, each from images drawn among those that its
    person has, as many of them as few. Lessons count by the inverse of their squared error, so that
    the mean of the error in dB falls. The same lessons make the same perceptron."""
    count, dice = len(names), torch.Generator().manual_seed(0)
    terms = torch.cat([lesson.terms for lesson in lessons], 1).T.float()
    lesson = torch.cat([torch.full((x.terms.shape[1],), i) for i, x in enumerate(lessons)])
    target = torch.tensor([x.target for x in lessons])
    asked = nn.functional.one_hot(target, count).bool()
    there = torch.stack([x.there for x in lessons])
    owner = torch.tensor([count if o is None else o for o in owners])
    known = _owned(there, owner)[lesson]
    sums = known.sum(0).clamp(min=1)
    centre = (terms * known).sum(0) / sums
    deviation = (((terms - centre) * known).square().sum(0) / sums).sqrt().clamp(min=LEAST)
    wanted = terms.gather(1, target[lesson, None])[:, 0]
    error = torch.full((len(lessons),), FIRST)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        layers = _layers(terms.shape[1] + 2 * count, width, DROPOUT)
        optimiser = torch.optim.AdamW(layers.parameters(), lr=RATE, weight_decay=DECAY)
        rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
        for _ in range(steps):
            rows = torch.randint(len(terms), (BATCH,), generator=dice)
            own = lesson[rows]
            shown = _some((there & ~asked)[own], dice)
            seen = (terms[rows] - centre) / deviation * _owned(shown, owner)
            made = layers(torch.cat([seen, shown, asked[own]], 1))[:, 0]
            squared = (made - wanted[rows]).square()
            weight = 1 / error[own]
            loss = (weight / weight.mean() * squared).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rates.step()
            hits = torch.bincount(own, minlength=len(lessons))
            now = torch.zeros_like(error).index_add_(0, own, squared.detach()) / hits.clamp(min=1)
            error = torch.where(hits > 0, MEMORY * error + (1 - MEMORY) * now, error)
            error = error.clamp(min=SMALLEST)
    flat = torch.nn.utils.parameters_to_vector(layers.parameters()).detach()
    return Perceptron(
        without=without,
        names=names,
        width=width,
        centre=_short(centre),
        deviation=_short(deviation),
        weights=_short(flat),
    )


def _layers(inputs: int, width: int, dropout: float) -> nn.Sequential:
    hidden: list[nn.Module] = []
    for size in (inputs, width):
        hidden += [nn.Linear(size, width), nn.GELU(), nn.Dropout(dropout)]
    last = nn.Linear(width, 1)
    nn.init.zeros_(last.weight)
    return nn.Sequential(*hidden, last)


def _some(usable: Bool[Tensor, "b n"], dice: torch.Generator) -> Bool[Tensor, "b n"]:
    """One or more of the usable ones, every number of them as often."""
    draws = torch.rand(usable.shape, generator=dice).masked_fill(~usable, -1.0)
    rank = draws.argsort(1, descending=True).argsort(1)
    size = 1 + (torch.rand(len(usable), generator=dice) * usable.sum(1)).long()
    return usable & (rank < size[:, None])


def _owned(images: Bool[Tensor, "b n"], owner: Tensor) -> Bool[Tensor, "b f"]:
    """Which terms are known where these images are; those of none always are."""
    return torch.cat([images, torch.ones_like(images[:, :1])], 1)[:, owner]


def _short(values: Tensor) -> tuple[float, ...]:
    """Rounded so that they are short to write down."""
    return tuple(float(f"{value:.6g}") for value in values.tolist())
