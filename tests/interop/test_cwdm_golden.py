"""The mathematics of cWDM, WDM and Fast-cWDM: their own code's numbers (see the fixtures' metadata)
from our representation, paths, processes and posterior."""

import pytest
import torch
from released import Released
from torch import Tensor

from brainweave.interop.cwdm import network
from brainweave.processes import DDPM, Denoiser, Process, constrained, posterior, voxel_clip
from brainweave.representations import Haar

HAAR = Haar(approximation_scale=3.0)


def path_of(released: Released) -> DDPM:
    steps = released.config["steps"]
    match released.config["sample_schedule"]:
        case "sampled":
            return DDPM(steps=steps, chain=1000)
        case "direct":
            return DDPM(steps=steps, beta_first=0.1 / steps, beta_last=20 / steps)
    return DDPM(steps=steps)


def times_of(released: Released) -> Tensor:
    """The fixture's two steps of the chain as times of ours."""
    return 1 - (released["ddpm.t"].double() + 1) / released.config["steps"]


@pytest.fixture
def denoise(conditional: Released) -> Denoiser:
    """The released network at x_t and the fixture's conditions."""
    module = network(conditional.weights, conditional.config)
    process = Process(path=path_of(conditional), prediction="data")
    conditions = conditional["ddpm.cond"]
    return process.denoiser(lambda x, clock: module(torch.cat([x, conditions], dim=1), clock))


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_haar_gives_the_subbands(released):
    close(Haar().transform(released["haar.volume"]), released["haar.subbands"])


def test_the_schedule_is_the_released_one(released):
    path = path_of(released)
    grid = 1 - torch.arange(path.steps + 1, dtype=torch.float64) / path.steps
    abar = path.coefficients(grid).alpha ** 2
    torch.testing.assert_close(abar[1:], released["ddpm.alphas_cumprod"], rtol=1e-9, atol=0)
    betas = 1 - abar[1:] / abar[:-1]
    torch.testing.assert_close(betas, released["ddpm.betas"], rtol=1e-8, atol=0)


def test_the_network_is_told_the_step_that_it_was_trained_with(released):
    times = path_of(released).clock(times_of(released))
    close(times.float(), released["ddpm.t"])


def test_noised_data_are_the_same(released):
    c = path_of(released).at(times_of(released), released["ddpm.x0"])
    close(c.alpha * released["ddpm.x0"] + c.sigma * released["ddpm.noise"], released["ddpm.x_t"])


def test_the_data_that_the_network_predicts_are_the_same(conditional, denoise):
    with torch.no_grad():
        data = denoise(conditional["ddpm.x_t"], times_of(conditional)).data
    close(data, conditional["ddpm.pred_x0"])


def test_clipped_in_voxels_they_are_the_same(conditional, denoise):
    clip = voxel_clip(HAAR.encode, HAAR.decode, 0.0, 1.0)
    within = constrained(denoise, path_of(conditional), clip)
    with torch.no_grad():
        data = within(conditional["ddpm.x_t"], times_of(conditional)).data
    close(data, conditional["ddpm.pred_x0_clipped_in_voxels"])


@pytest.mark.parametrize(
    ("data", "mean"),
    [
        ("pred_x0_clipped_in_voxels", "posterior_mean"),
        ("pred_x0", "posterior_mean_unclipped"),
    ],
)
def test_the_posterior_is_the_same(conditional, data, mean):
    path, times, x_t = path_of(conditional), times_of(conditional), conditional["ddpm.x_t"]
    at, to = path.at(times, x_t), path.at(times + 1 / path.steps, x_t)
    found = posterior(at, to, x_t, conditional[f"ddpm.{data}"])
    close(found.mean, conditional[f"ddpm.{mean}"])
    close(found.large.expand_as(x_t), conditional["ddpm.posterior_variance"])
