"""Which conditions a volume hears: in training as drawn, and what guidance compares with."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from brainweave.conditions.base import Condition, Signal

Listen = Literal["both", "film", "attention", "none"]
Keep = dict[str, Bool[Tensor, "b"]]  # by the name of a condition


def drawn(
    conditions: Sequence[Condition], share: float, count: int, generator: torch.Generator | None
) -> Keep:
    """What each of `count` volumes hears in training: a `share` of them nothing, the others each
    condition but in the share that it is hidden in, `share` where it says none. One that is never
    hidden is always heard."""
    device = generator.device if generator is not None else "cpu"
    draws = torch.rand(1 + len(conditions), count, generator=generator, device=device)
    some = draws[0] >= share
    keep = {}
    for condition, draw in zip(conditions, draws[1:], strict=True):
        hiding = condition.hiding
        keep[condition.name] = (draw >= (share if hiding is None else hiding)) & (
            some | (hiding == 0)
        )
    return keep


def heard(
    conditions: Sequence[Condition],
    count: int,
    names: Sequence[str] | None = None,
    *,
    listen: Listen = "both",
) -> Keep:
    """`count` volumes hear the conditions of these names, all where none are given, and those that
    are never hidden; listen: in which ways, "none" to hear only the latter."""
    names = [] if listen == "none" else names
    return {
        c.name: torch.full((count,), names is None or c.name in names or c.hiding == 0)
        for c in conditions
    }


def listening(signal: Signal, null: Signal, listen: Listen) -> Signal:
    """A signal of which only some ways of hearing act; the others hear the null."""
    film, attention = listen in ("both", "film"), listen in ("both", "attention")
    return Signal(
        vector=(signal if film else null).vector,
        tokens=(signal if attention else null).tokens,
        planes=(null if listen == "none" else signal).planes,
    )
