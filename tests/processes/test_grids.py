"""Time grids: their ends, their equations, and what a network is told at them."""

import pytest
import torch

from brainweave.errors import RecipeError
from brainweave.processes import grids
from brainweave.processes.paths import DDPM


@pytest.mark.parametrize("first", [0.0, 1e-3])
@pytest.mark.parametrize("steps", [1, 3, 10, 997])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_steps_add_up_to_the_end(steps: int, first: float, shift: float) -> None:
    times = grids.shifted(steps, shift, first)
    assert len(times) == steps + 1
    assert (float(times[0]), float(times[-1])) == (first, 1.0)
    assert abs(float(times.diff().sum()) + first - 1) < 1e-6
    assert float(times.diff().min()) > 0


def test_shift_of_one_is_uniform() -> None:
    torch.testing.assert_close(grids.shifted(10, 1.0), torch.linspace(0, 1, 11).double())


def test_shift_follows_its_equation() -> None:
    noise_time = torch.linspace(1, 0, 11, dtype=torch.float64)
    shifted = 3 * noise_time / (1 + 2 * noise_time)  # arXiv:2403.03206, eq. 23
    torch.testing.assert_close(grids.shifted(10, 3.0), 1 - shifted)


@pytest.mark.parametrize(("steps", "shift", "first"), [(0, 1.0, 0.0), (5, 0.0, 0.0), (5, 1.0, 1.0)])
def test_impossible_grid_is_refused(steps: int, shift: float, first: float) -> None:
    with pytest.raises(RecipeError):
        grids.shifted(steps, shift, first)


@pytest.mark.parametrize(
    ("steps", "first", "last"), [(1, 999, 999), (2, 999, 499), (5, 999, 199), (10, 999, 99)]
)
def test_uniform_steps_of_a_chain_stop_before_its_end(steps: int, first: int, last: int) -> None:
    clock = DDPM().clock(grids.uniform(steps)[:-1])
    torch.testing.assert_close(clock[[0, -1]], clock.new_tensor([first, last]))


def test_respaced_steps_are_guided_diffusions() -> None:
    for steps in range(2, 1001):
        place, kept = 0.0, []
        for _ in range(steps):  # summed up and rounded
            kept.append(round(place))
            place += 999 / (steps - 1)
        clock = DDPM().clock(grids.respaced(steps)[:-1])
        torch.testing.assert_close(clock, clock.new_tensor(kept[::-1]), atol=1e-9, rtol=0)


def test_one_respaced_step_is_the_noisiest() -> None:
    assert torch.equal(grids.respaced(1), grids.uniform(1))


def test_all_steps_of_a_chain_respaced_are_uniform() -> None:
    torch.testing.assert_close(grids.respaced(50, 50), grids.uniform(50))


@pytest.mark.parametrize(("steps", "chain"), [(0, 1000), (51, 50)])
def test_impossible_respacing_is_refused(steps: int, chain: int) -> None:
    with pytest.raises(RecipeError, match=f"{steps} sampling steps of a chain of {chain}"):
        grids.respaced(steps, chain)


@pytest.mark.parametrize("times", [(0.0, 0.3, 0.9), (0.0, 0.3, 0.9, 1.0)])
def test_listed_times_are_kept_and_end_at_one(times: tuple[float, ...]) -> None:
    assert grids.listed(times).tolist() == [0.0, 0.3, 0.9, 1.0]


@pytest.mark.parametrize(
    ("times", "first"),
    [
        ((), 0.0),
        ((1.0,), 0.0),
        ((0.5, 0.2), 0.0),
        ((0.5, 0.5), 0.0),
        ((0.2, 1.0, 0.5), 0.0),
        ((0.5, 1 - 1e-9), 0.0),
        ((-0.1, 0.5), 0.0),
        ((0.5, 1.1), 0.0),
        ((0.0, 0.5), 1e-3),
        ((float("nan"), 0.5), 0.0),
    ],
)
def test_impossible_list_is_refused(times: tuple[float, ...], first: float) -> None:
    with pytest.raises(RecipeError, match="sampling times"):
        grids.listed(times, first)
