"""Time grids: where a sampler evaluates. Float64, so that a discrete clock reads whole numbers.

A new grid is one function that returns `steps` + 1 rising times, the last exactly 1.
"""

from collections.abc import Sequence

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


def respaced(steps: int, chain: int = 1000) -> Float[Tensor, "n"]:
    """For DDPM(steps=chain): evenly spaced steps of its chain from the noisiest, k = chain - 1, to
    k = 0, rounded as guided diffusion's respacing does (arXiv:2102.09672, section 4).

    Every time is one that the network was trained at. One step is the noisiest.
    """
    if not 1 <= steps <= chain:
        raise RecipeError(f"{steps} sampling steps of a chain of {chain}; give 1 to {chain}")
    if steps == 1:
        return uniform(1)
    strides = torch.full((steps,), (chain - 1) / (steps - 1), dtype=torch.float64)
    strides[0] = 0.0
    kept = strides.cumsum(0).round().flip(0)
    return torch.cat([(chain - 1 - kept) / chain, kept.new_ones(1)])


def listed(times: Sequence[float], first: float = 0.0) -> Float[Tensor, "n"]:
    """These very times, such as learned ones; 1 need not be among them.

    first: none lies before it, `Process.first_time`. Raises RecipeError for times outside
    [first, 1], for none below 1 and for two less than 1e-6 apart, as they are one in float32.
    """
    grid = [*times] if times and times[-1] == 1 else [*times, 1.0]
    if len(grid) < 2 or not all(first <= time <= 1 for time in grid):
        raise RecipeError(
            f"sampling times {list(times)}; give one or more from {first:g} up to, not including, 1"
        )
    found = torch.tensor(grid, dtype=torch.float64)
    if float(found.diff().min()) < 1e-6:
        raise RecipeError(f"sampling times {list(times)} do not rise; sort them and drop repeats")
    return found
