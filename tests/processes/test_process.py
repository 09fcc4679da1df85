"""Processes: the algebra of estimates, the loss, and FlowLet's numbers."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from brainweave.errors import RecipeError, ShapeError
from brainweave.part import from_dict, override, to_dict
from brainweave.processes import exact
from brainweave.processes.guidance import constrained
from brainweave.processes.paths import (
    DDPM,
    ProbabilityPath,
    Rectified,
    Trigonometric,
    VariancePreserving,
    path_named,
)
from brainweave.processes.process import Process

PATHS = [Rectified(), Rectified(sigma_min=0.1), Trigonometric(), VariancePreserving(), DDPM()]
PATHS += [exact.Banded()]
PREDICTIONS = ["velocity", "data", "noise"]
FLOWS = ["rectified", "cfm", "trigonometric", "vp_diffusion"]
each_path = pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
each_prediction = pytest.mark.parametrize("prediction", PREDICTIONS)
each_flow = pytest.mark.parametrize("flow", FLOWS)


@cache
def golden() -> dict[str, Tensor]:
    return load_file(Path(__file__).parents[1] / "golden" / "flowlet_small.safetensors")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def latent(b: int = 3) -> Tensor:
    return torch.randn(b, 4, 2, 3, 2, generator=seeded(), dtype=torch.float64)


def zero(x: Tensor, clock: Tensor) -> Tensor:
    return torch.zeros_like(x)


@each_path
@each_prediction
def test_estimate_inverts_the_path(path: ProbabilityPath, prediction: str) -> None:
    process, data = Process(path=path, prediction=prediction), latent()
    t = torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)
    noise = torch.randn(data.shape, generator=seeded(1), dtype=data.dtype)
    c = path.at(t, data)
    velocity = c.d_alpha * data + c.d_sigma * noise
    output = {"velocity": velocity, "data": data, "noise": noise}[prediction]
    estimate = process.estimate(output, c.alpha * data + c.sigma * noise, t)
    torch.testing.assert_close(list(estimate), [data, noise, velocity], atol=1e-9, rtol=1e-9)


@each_path
@each_prediction
def test_loss_of_the_true_target_is_zero(path: ProbabilityPath, prediction: str) -> None:
    process, data = Process(path=path, prediction=prediction), latent()
    t, noise = process.draw(data, generator=seeded())
    c = path.at(t, data)
    velocity = c.d_alpha * data + c.d_sigma * noise
    target = {"velocity": velocity, "data": data, "noise": noise}[prediction]
    assert float(process.loss_at(lambda x, clock: target, data, t, noise).max()) == 0


@each_path
@each_prediction
def test_best_network_denoises_as_the_closed_form(path: ProbabilityPath, prediction: str) -> None:
    process, x, t = Process(path=path, prediction=prediction), latent(), torch.tensor(0.6)
    truth = exact.denoiser(path)(x, t)
    found = process.denoiser(lambda x, clock: getattr(truth, prediction))(x, t)
    torch.testing.assert_close(list(found), list(truth), atol=1e-8, rtol=1e-8)


@each_flow
def test_noisy_volume_and_target_equal_flowlets(flow: str) -> None:
    numbers, path = golden(), path_named(flow)
    data, t, x_t = numbers["flow.x1"], numbers[f"flow.{flow}.t"], numbers[f"flow.{flow}.x_t"]
    estimate = Process(path=path).estimate(numbers[f"flow.{flow}.target"], x_t, t)
    torch.testing.assert_close(estimate.data, data, atol=1e-4, rtol=0)
    c = path.at(t, data)
    noise = (x_t - c.alpha * data) / c.sigma
    target = c.d_alpha * data + c.d_sigma * noise
    torch.testing.assert_close(target, numbers[f"flow.{flow}.target"], atol=1e-4, rtol=0)


@each_flow
def test_loss_of_a_zero_prediction_equals_flowlets(flow: str) -> None:
    numbers, path = golden(), path_named(flow)
    data, t, x_t = numbers["flow.x1"], numbers[f"flow.{flow}.t"], numbers[f"flow.{flow}.x_t"]
    c = path.at(t, data)
    process = Process(path=path, channel_weights=(0.5, *[0.5 / 7] * 7))
    loss = process.loss_at(zero, data, t, (x_t - c.alpha * data) / c.sigma).mean()
    truth = numbers[f"flow.{flow}.loss_of_zero_prediction"][0]
    torch.testing.assert_close(loss, truth, atol=1e-4, rtol=0)


def test_network_sees_flowlets_noisy_volume_and_time() -> None:
    numbers, seen = golden(), []
    data, t = numbers["flow.x1"], numbers["flow.trigonometric.t"]
    c = Rectified().at(numbers["flow.rectified.t"], data)  # FlowLet drew the same noise for both
    noise = (numbers["flow.rectified.x_t"] - c.alpha * data) / c.sigma

    def network(x: Tensor, clock: Tensor) -> Tensor:
        seen.extend([x, clock])
        return x

    Process(path="trigonometric").loss_at(network, data, t, noise)
    truth = [numbers["flow.trigonometric.x_t"], t]
    torch.testing.assert_close(seen, truth, atol=1e-4, rtol=0)


def test_a_generator_makes_the_loss_reproducible() -> None:
    losses = [Process().loss(zero, latent(), generator=seeded(s)) for s in (5, 5, 6)]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])


def test_a_generator_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    Process(times="stratified").loss(zero, latent(), generator=seeded())
    assert torch.equal(torch.get_rng_state(), before)


def test_loss_is_the_loss_at_the_draw() -> None:
    process, data = Process(path="vp", prediction="noise"), latent()
    t, noise = process.draw(data, generator=seeded(3))
    torch.testing.assert_close(
        process.loss(zero, data, generator=seeded(3)), process.loss_at(zero, data, t, noise)
    )


def test_channel_weights_weigh_channel_means() -> None:
    data, weights = latent(), (1.0, 0.0, 2.0, 0.5)
    t, noise = Process().draw(data, generator=seeded())
    each = (data - noise).square().mean((2, 3, 4))
    loss = Process(channel_weights=weights).loss_at(zero, data, t, noise)
    torch.testing.assert_close(loss, (each * torch.tensor(weights)).sum(1))


def test_loss_without_weights_is_the_mean_square() -> None:
    data = latent()
    t, noise = Process().draw(data, generator=seeded())
    loss = Process().loss_at(zero, data, t, noise)
    torch.testing.assert_close(loss, (data - noise).square().mean((1, 2, 3, 4)))


def test_an_absolute_error_is_that_of_every_number() -> None:
    data = latent()
    t, noise = Process().draw(data, generator=seeded())
    loss = Process(error="absolute").loss_at(zero, data, t, noise)
    torch.testing.assert_close(loss, (data - noise).abs().mean((1, 2, 3, 4)))


def test_weights_for_other_channels_are_refused() -> None:
    with pytest.raises(ShapeError, match="3 channel_weights for 4 channels"):
        Process(channel_weights=(1.0, 1.0, 1.0)).loss(zero, latent())


@each_path
@each_prediction
def test_velocity_weighting_measures_the_implied_velocity(
    path: ProbabilityPath, prediction: str
) -> None:
    data, t = latent(), torch.tensor([0.2, 0.5, 0.7], dtype=torch.float64)
    process = Process(path=path, prediction=prediction, weighting="velocity", weight_limit=1e6)
    noise = torch.randn(data.shape, generator=seeded(1), dtype=data.dtype)
    c = path.at(t, data)
    estimate = process.estimate(data.cos(), c.alpha * data + c.sigma * noise, t)
    error = estimate.velocity - (c.d_alpha * data + c.d_sigma * noise)
    loss = process.loss_at(lambda x, clock: data.cos(), data, t, noise)
    torch.testing.assert_close(loss, error.square().mean((1, 2, 3, 4)))


def test_velocity_weighting_stops_at_its_limit() -> None:
    data, t = latent(), torch.tensor([0.5, 0.9, 0.999999], dtype=torch.float64)
    plain = Process(prediction="data").loss_at(zero, data, t, data)
    process = Process(prediction="data", weighting="velocity", weight_limit=4.0)
    factors = (process.loss_at(zero, data, t, data) / plain).sqrt()
    torch.testing.assert_close(factors, torch.tensor([2.0, 4.0, 4.0], dtype=torch.float64))


def test_loss_is_float32_while_the_network_runs_in_autocast() -> None:
    seen = []

    def network(x: Tensor, clock: Tensor) -> Tensor:
        seen.append(torch.nn.functional.linear(x, torch.eye(2)))
        return seen[0]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = Process().loss(network, latent().bfloat16(), generator=seeded())
    assert (loss.dtype, seen[0].dtype) == (torch.float32, torch.bfloat16)


def test_estimate_is_float32_for_a_bfloat16_output() -> None:
    x = latent().float()
    assert {f.dtype for f in Process().estimate(x.bfloat16(), x, 0.5)} == {torch.float32}


def test_clock_of_a_bfloat16_volume_is_float32() -> None:
    seen = []

    def network(x: Tensor, clock: Tensor) -> Tensor:
        seen.append(clock)
        return x

    t = torch.tensor(1 - 778 / 1000, dtype=torch.float64)
    Process(path="ddpm", prediction="noise").denoiser(network)(latent().bfloat16(), t)
    assert torch.equal(seen[0], torch.full((3,), 777.0))


def test_constrained_estimate_stays_on_the_path() -> None:
    x, t = latent(), torch.tensor(0.4)
    path = Trigonometric()
    denoise = Process(path=path, prediction="data").denoiser(lambda x, clock: 3 * x)
    within = constrained(denoise, path, lambda data: data.clamp(-1, 1))
    data, noise, velocity = within(x, t)
    c = path.at(t, x)
    assert float(data.abs().max()) == 1
    torch.testing.assert_close(c.alpha * data + c.sigma * noise, x)
    torch.testing.assert_close(c.d_alpha * data + c.d_sigma * noise, velocity)


@pytest.mark.parametrize(
    ("path", "prediction", "first"),
    [
        ("rectified", "noise", 1e-3),
        ("trigonometric", "noise", 1e-3),
        ("vp", "noise", 0.0),
        ("ddpm", "noise", 0.0),
        ("rectified", "velocity", 0.0),
        ("vp", "velocity", 0.0),
        ("trigonometric", "data", 0.0),
        (exact.Banded(), "velocity", 1e-3),
    ],
)
def test_sampling_starts_where_the_output_determines_the_data(
    path: str | ProbabilityPath, prediction: str, first: float
) -> None:
    assert Process(path=path, prediction=prediction).first_time == first


def test_stratified_times_fill_every_stratum() -> None:
    t, _ = Process(times="stratified").draw(torch.zeros(64, 1, 1), generator=seeded())
    assert torch.equal((t * 64).floor().sort().values, torch.arange(64, dtype=torch.float64))


def test_first_stratified_time_is_uniform() -> None:
    process, generator = Process(times="stratified"), seeded()
    first = torch.stack(
        [process.draw(torch.zeros(4, 1, 1), generator=generator)[0][0] for _ in range(2000)]
    )
    quantiles = first.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
    torch.testing.assert_close(
        quantiles, quantiles.new_tensor([0.25, 0.5, 0.75]), atol=0.05, rtol=0
    )


def test_logit_normal_times_have_a_normal_logit() -> None:
    process = Process(times="logit-normal", times_mean=0.5, times_sd=0.7)
    t, _ = process.draw(torch.zeros(20_000, 1, 1), generator=seeded())
    moments = torch.stack([t.logit().mean(), t.logit().std()])
    torch.testing.assert_close(moments, moments.new_tensor([0.5, 0.7]), atol=0.02, rtol=0)


def test_path_may_be_named() -> None:
    assert Process(path="trigonometric").path == Trigonometric()


def test_path_may_be_overridden_by_name() -> None:
    assert override(Process(), "path=vp_diffusion").path == VariancePreserving()


def test_unknown_path_name_is_refused_with_a_hint() -> None:
    with pytest.raises(RecipeError, match="did you mean 'ddpm'"):
        Process(path="dpm")


def test_a_number_is_no_path() -> None:
    with pytest.raises(RecipeError, match="needs a path"):
        Process(path=3)


def test_process_survives_json() -> None:
    process = Process(path=DDPM(steps=10), prediction="data", channel_weights=(0.5, 0.1))
    assert from_dict(json.loads(json.dumps(to_dict(process)))) == process
