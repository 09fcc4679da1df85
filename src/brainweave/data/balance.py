"""Rare kinds of volumes more often: weights by how many there are, and the order that they give."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import torch

from brainweave.data.seeds import generator


def weights(kinds: Sequence[str], power: float) -> tuple[float, ...]:
    """How often each volume is drawn per epoch, 1 on average: (volumes of its kind)^-power.

    power: 0 draws every volume as often, 1 every kind.
    """
    counts = Counter(kinds)
    raw = [counts[kind] ** -power for kind in kinds]
    return tuple(weight * len(raw) / sum(raw) for weight in raw)


def shares(kinds: Sequence[str], power: float) -> dict[str, tuple[int, float]]:
    """Of each kind, how many volumes there are and its share of those that are drawn."""
    counts = Counter(kinds).most_common()
    total = sum(count ** (1 - power) for _, count in counts)
    return {kind: (count, count ** (1 - power) / total) for kind, count in counts}


@lru_cache(maxsize=4)
def weighted_order(weights: tuple[float, ...], seed: int, epoch: int) -> list[int]:
    """As many indices as there are weights, each as often as its weight, up or down to the next
    whole number, in random order: a function of (seed, epoch) alone."""
    source = generator("balance", seed, epoch)
    shuffled = torch.randperm(len(weights), generator=source)
    ends = torch.tensor(weights, dtype=torch.float64)[shuffled].cumsum(0)
    steps = torch.arange(len(weights), dtype=torch.float64)
    points = (steps + torch.rand((), generator=source, dtype=torch.float64)) / len(weights)
    found = torch.searchsorted(ends, points * ends[-1], right=True).clamp(max=len(weights) - 1)
    order: list[int] = shuffled[found][torch.randperm(len(weights), generator=source)].tolist()
    return order
