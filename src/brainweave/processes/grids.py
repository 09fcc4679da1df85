"""Time grids: where a sampler evaluates. Float64, so that a discrete clock reads whole numbers.

A new grid is one function that returns `steps` + 1 rising times, the last exactly 1.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.errors import RecipeError


def uniform(steps: int, first: float = 0.0) -> Float[Tensor, "n"]:
    """Even steps from `first` to 1."""
    return shifted(steps, 1.0, first)


def shifted(steps: int, shift: float, first: float = 0.0) -> Float[Tensor, "n"]:
    """More of the steps near noise for `shift` > 1, as larger volumes need
    (arXiv:2403.03206, eq. 23, with 1 - t for its t and shift for its sqrt(m / n))."""
    if steps < 1:
        raise RecipeError(f"{steps} sampling steps; give at least 1")
    if shift <= 0:
        raise RecipeError(f"time shift {shift}; give a number above 0 (1 is none)")
    if not 0 <= first < 1:
        raise RecipeError(f"first time {first}; give one from 0 up to, not including, 1")
    even = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    times = even / (even + shift * (1 - even))
    return first + (1 - first) * times if first else times
