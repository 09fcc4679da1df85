"""The search for a time grid."""

from itertools import combinations, pairwise

import pytest
import torch

from brainweave.processes.frequency import FrequencyAdaptive
from brainweave.processes.paths import DDPM, ProbabilityPath, Rectified, Trigonometric
from brainweave.tuning.search import cheapest, nearest, places, refined

COSTS = torch.rand(9, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8])
def test_the_cheapest_way_is_that_of_trying_all(steps: int) -> None:
    def total(stops: tuple[int, ...]) -> float:
        ends = [*stops[1:], 8]
        return sum(float(COSTS[i, j]) for i, j in zip(stops, ends, strict=True))

    tried = [(0, *middle) for middle in combinations(range(1, 8), steps - 1)]
    assert tuple(cheapest(COSTS, steps)) == min(tried, key=total)


def test_moving_points_finds_the_best_of_a_smooth_cost() -> None:
    choice = [i / 40 for i in range(40)]

    def cost(times: tuple[float, ...]) -> float:
        return (times[1] - 0.7) ** 2 + (times[2] - 0.9) ** 2

    grid, least = refined([0, 5, 6], choice, cost)
    assert [choice[i] for i in grid] == [0.0, 0.7, 0.9]
    assert least == pytest.approx(0)


def test_moving_points_never_makes_it_worse_nor_moves_the_first() -> None:
    choice = [0.0, 0.2, 0.4, 0.6, 0.8]
    grid, least = refined([0, 2], choice, lambda times: times[1] - times[0])
    assert grid == [0, 1]
    assert least == pytest.approx(0.2)


def test_the_nearest_places_are_all_different_and_rise() -> None:
    choice = [0.0, 0.1, 0.5, 0.9]
    assert nearest([0.0, 0.08], choice) == [0, 1]
    assert nearest([0.0, 0.01, 0.02, 0.03], choice) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "path",
    [Rectified(), Trigonometric(), DDPM(), FrequencyAdaptive(offsets=(1.0, -2.0))],
    ids=lambda path: type(path).__name__,
)
def test_places_rise_from_the_first_time_and_lie_where_the_noise_goes(
    path: ProbabilityPath,
) -> None:
    found = places(path, 0.0, 32)
    assert found[0] == 0.0
    assert found[-1] < 1
    assert all(a < b for a, b in pairwise(found))
    c = path.coefficients(torch.tensor(found[1:], dtype=torch.float64))
    ratio = (c.alpha / c.sigma).log().reshape(len(found) - 1, -1).mean(1)
    assert float(ratio.diff().max()) < 2.5
