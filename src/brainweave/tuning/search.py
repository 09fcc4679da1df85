"""The search for a time grid: from one trajectory by dynamic programming, then point by point.

Nothing here knows a model: `cost` of a grid is any function, and points come from a list.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.processes.paths import ProbabilityPath

Times = tuple[float, ...]  # where steps begin; the last ends at 1
Cost = Callable[[Times], float]

REACH = (1, -1, 3, -3, 8, -8)  # places in the list that a point may move at once
SNR = 8.0  # |log(alpha / sigma)| up to which places are spread


def places(path: ProbabilityPath, first: float, count: int) -> list[float]:
    """Times to choose from, `first` the first: half even in t, half even in log(alpha / sigma)."""
    fine = torch.linspace(first, 1, 4001, dtype=torch.float64)[1:-1]
    c = path.coefficients(fine)
    ratio = (c.alpha / c.sigma).log()
    ratio = ratio if ratio.dim() == 1 else ratio.mean(1)
    low, high = max(float(ratio[0]), -SNR), min(float(ratio[-1]), SNR)
    wanted = torch.linspace(low, high, count // 2, dtype=torch.float64)
    by_ratio = fine[torch.searchsorted(ratio.contiguous(), wanted).clamp(max=len(fine) - 1)]
    by_time = torch.linspace(first, 1, count // 2 + 2, dtype=torch.float64)[1:-1]
    found = sorted({round(float(t), 5) for t in torch.cat([by_ratio, by_time])})
    return [first, *(t for t in found if first + 1e-4 < t < 1 - 1e-4)]


def cheapest(costs: Float[Tensor, "n n"], steps: int) -> list[int]:
    """Where `steps` jumps from place 0 to the last place begin, so that their costs add up to the
    least; costs[i, j] is that of a jump from i to j > i."""
    count = len(costs)
    best = torch.full((steps + 1, count), torch.inf, dtype=torch.float64)
    came = torch.zeros(steps + 1, count, dtype=torch.long)
    best[0, 0] = 0
    allowed = torch.ones(count, count, dtype=torch.bool).triu(1)
    jumps = torch.where(allowed, costs.double(), torch.inf)
    for step in range(1, steps + 1):
        best[step], came[step] = (best[step - 1][:, None] + jumps).min(dim=0)
    at, stops = count - 1, []
    for step in range(steps, 0, -1):
        at = int(came[step, at])
        stops.append(at)
    return stops[::-1]


def refined(start: Sequence[int], choice: Sequence[float], cost: Cost) -> tuple[list[int], float]:
    """Moves one point at a time, the first excepted, as long as it lowers the cost."""
    grid = list(start)
    least = cost(_times(grid, choice))
    before = math.inf
    while least < before:
        before = least
        for point in range(1, len(grid)):
            for move in REACH:
                tried = [*grid[:point], grid[point] + move, *grid[point + 1 :]]
                if not _rises(tried, len(choice)):
                    continue
                value = cost(_times(tried, choice))
                if value < least:
                    grid, least = tried, value
    return grid, least


def nearest(times: Sequence[float], choice: Sequence[float]) -> list[int]:
    """The places nearest to some times, each taken once."""
    grid: list[int] = []
    for rank, time in enumerate(times):
        low = grid[-1] + 1 if grid else 0
        high = len(choice) - (len(times) - rank)
        grid.append(min(range(low, high + 1), key=lambda i: abs(choice[i] - time)))
    return grid


def _times(grid: Sequence[int], choice: Sequence[float]) -> Times:
    return tuple(choice[place] for place in grid)


def _rises(grid: Sequence[int], count: int) -> bool:
    return all(a < b for a, b in zip(grid, [*grid[1:], count], strict=True))
