"""Averaged weights, the ones that are kept."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def decay_at(step: int, decay: float) -> float:
    """The decay after optimiser step `step`, counted from 0: small first, so that the random
    start is soon forgotten, as in TensorFlow's moving averages."""
    return min(decay, (1 + step) / (10 + step))


def averaged(module: M) -> M:
    """A copy that follows `module` by `update`; it is never trained itself."""
    return copy.deepcopy(module).eval().requires_grad_(False)


@torch.no_grad()
def update(average: nn.Module, module: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) module; buffers are copied."""
    ours: list[Tensor] = list(average.parameters())
    theirs: list[Tensor] = list(module.parameters())
    torch._foreach_lerp_(ours, theirs, 1 - decay)
    for mine, its in zip(average.buffers(), module.buffers(), strict=True):
        mine.copy_(its)
