"""Guidance: when it asks the free network, and what it makes of the two answers."""

import pytest
import torch
from torch import Tensor

from brainweave.processes import exact, grids
from brainweave.processes.guidance import guide, voxel_clip
from brainweave.processes.paths import Rectified
from brainweave.processes.process import Denoiser, Estimate
from brainweave.processes.samplers import euler


def constant(value: float) -> Denoiser:
    return lambda x, t: Estimate(*(torch.full_like(x, value * k) for k in (1, 2, 3)))


def forbidden(x: Tensor, t: Tensor) -> Estimate:
    raise AssertionError("the free denoiser was called")


X, HALF = torch.zeros(2, 3, 1), torch.tensor(0.5)


def test_guidance_extrapolates_every_field() -> None:
    guided = guide(constant(2.0), constant(1.0), 3.0)(X, HALF)
    assert [float(field.mean()) for field in guided] == [4.0, 8.0, 12.0]


def test_scale_zero_is_the_free_estimate() -> None:
    guided = guide(constant(2.0), constant(1.0), 0.0)(X, HALF)
    assert float(guided.data.mean()) == 1.0


def test_scale_one_never_calls_the_free_denoiser() -> None:
    assert float(guide(constant(2.0), forbidden, 1.0)(X, HALF).data.mean()) == 2.0


@pytest.mark.parametrize("time", [0.0, 0.29, 0.71, 1.0])
def test_outside_the_interval_the_free_denoiser_is_not_called(time: float) -> None:
    guided = guide(constant(2.0), forbidden, 3.0, (0.3, 0.7))
    assert float(guided(X, torch.tensor(time)).data.mean()) == 2.0


@pytest.mark.parametrize("time", [0.3, 0.5, 0.7])
def test_inside_the_interval_guidance_acts(time: float) -> None:
    guided = guide(constant(2.0), constant(1.0), 3.0, (0.3, 0.7))
    assert float(guided(X, torch.tensor(time, dtype=torch.float64)).data.mean()) == 4.0


def test_guidance_of_two_gaussians_moves_the_mean_beyond_the_condition() -> None:
    path, x = Rectified(), torch.randn(2, 4, 500, dtype=torch.float64)
    yes, no = exact.denoiser(path, mean=1.0), exact.denoiser(path, mean=0.0)
    y = euler(guide(yes, no, 2.0), x, grids.uniform(100), path=path)
    assert abs(float(y.mean()) - 2.0) < 0.05


def test_voxel_clip_limits_voxels_not_coefficients() -> None:
    data = torch.tensor([[[-6.0, 1.0, 6.0]]])
    clip = voxel_clip(lambda x: 2 * x, lambda x: x / 2, -1.0, 1.0)
    torch.testing.assert_close(clip(data), torch.tensor([[[-2.0, 1.0, 2.0]]]))


def counted(value: float, calls: list[float]) -> Denoiser:
    def denoise(x: Tensor, t: Tensor) -> Estimate:
        calls.append(value)
        return constant(value)(x, t)

    return denoise


def test_single_scales_compose_what_acts_independently() -> None:
    """free 1, a adds 2, b adds 3, both add 5."""
    alone = [(constant(3.0), 2.0), (constant(4.0), 0.5)]
    for scale in (0.0, 1.0, 1.7):
        guided = guide(constant(6.0), constant(1.0), scale, alone=alone)(X, HALF)
        composed = 1 + 2.0 * 2 + 0.5 * 3
        assert [float(f.mean()) for f in guided] == pytest.approx([composed * k for k in (1, 2, 3)])


def test_equal_single_scales_are_joint_guidance_and_cost_no_call() -> None:
    alone = [(forbidden, 1.5), (forbidden, 1.5)]
    joint = guide(constant(2.0), constant(1.0), 1.5)(X, HALF)
    guided = guide(constant(2.0), constant(1.0), 1.5, alone=alone)(X, HALF)
    assert all(torch.equal(a, b) for a, b in zip(guided, joint, strict=True))
    plain = guide(constant(2.0), forbidden, 1.0, alone=[(forbidden, 1.0)])(X, HALF)
    assert float(plain.data.mean()) == 2.0


def test_a_single_scale_costs_one_call_more_inside_the_interval_only() -> None:
    calls: list[float] = []
    both, free, one = (counted(value, calls) for value in (2.0, 1.0, 3.0))
    guided = guide(both, free, 1.0, (0.3, 0.7), [(one, 2.0)])
    guided(X, torch.tensor(0.1))
    assert calls == [2.0]
    guided(X, HALF)
    assert sorted(calls[1:]) == [1.0, 2.0, 3.0]
