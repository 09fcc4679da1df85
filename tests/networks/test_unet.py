"""The U-Net: its shapes, its norms, what it hears, what its switches leave unchanged."""

import pytest
import torch
from torch import Tensor, nn

from brainweave.conditions import Signal
from brainweave.errors import RecipeError
from brainweave.networks import UNet, UNetConfig
from brainweave.networks.blocks import fourier, groups_of

OURS = UNetConfig(
    width=8,
    multipliers=(1, 2),
    blocks=1,
    heads=2,
    groups=4,
    attention_levels=(0,),
    condition_width=6,
)
FLOWLETS = OURS.replace(
    post_norm=True, resample_inside=True, skip_kernel=3, time_scale=1.0, pooled_context=True
)
POSITIONS = OURS.replace(positions=2)
CWDMS = FLOWLETS.replace(
    modulation="shift", norm_eps=1e-5, skip_kernel=1, post_norm=False, blocks=2
)  # with attention, to hear tokens
ADDITIVE = CWDMS.replace(skips="additive", multipliers=(2, 1, 3))
variants = pytest.mark.parametrize(
    "config",
    [OURS, FLOWLETS, POSITIONS, CWDMS, ADDITIVE],
    ids=["ours", "flowlets", "positions", "cwdms", "additive"],
)


def built(config: UNetConfig) -> UNet:
    """A network whose zero-initialised layers speak, as after training."""
    torch.manual_seed(0)
    network = config.build(3, 3).eval()
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.2)
    return network


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 4, 8, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def clock() -> Tensor:
    return torch.tensor([0.2, 0.7])


@pytest.fixture
def signal() -> Signal:
    source = torch.Generator().manual_seed(2)
    vector, tokens = torch.randn(2, 6, generator=source), torch.randn(2, 3, 6, generator=source)
    return Signal(vector=vector, tokens=tokens)


def gradients(network: UNet, x: Tensor, clock: Tensor, signal: Signal) -> list[Tensor]:
    network(x, clock, signal).square().sum().backward()
    return [p.grad for p in network.parameters() if p.grad is not None]


@pytest.mark.parametrize(
    ("channels", "groups"), [(16, 8), (24, 12), (48, 24), (64, 32), (8, 4), (96, 32), (7, 1)]
)
def test_groups_follow_flowlets_rule(channels, groups):
    assert groups_of(channels, 32) == groups


def test_clock_features_are_cosines_then_sines_from_rate_1_down():
    features = fourier(torch.tensor([0.5]), 4)
    angles = torch.tensor([0.5, 0.5e-2])
    torch.testing.assert_close(features, torch.cat([angles.cos(), angles.sin()])[None])


def test_clock_features_of_odd_width_end_with_a_zero():
    assert fourier(torch.tensor([0.5]), 5)[0, -1] == 0


@variants
def test_the_output_has_the_inputs_edges_and_the_channels_asked_for(config, x, clock, signal):
    output = config.build(3, 5)(x, clock, signal)
    assert output.shape == (2, 5, 4, 8, 4)


@variants
def test_an_untrained_network_says_zero(config, x, clock, signal):
    assert not config.build(3, 3)(x, clock, signal).any()


@variants
def test_a_volume_does_not_depend_on_its_neighbours(config, x, clock, signal):
    network = built(config)
    alone = Signal(vector=signal.vector[1:], tokens=signal.tokens[1:])
    with torch.no_grad():
        both, one = network(x, clock, signal), network(x[1:], clock[1:], alone)
    torch.testing.assert_close(both[1:], one, rtol=1e-4, atol=1e-5)


@variants
@pytest.mark.parametrize("what", ["vector", "tokens"])
def test_every_way_of_hearing_changes_the_output(config, x, clock, signal, what):
    network = built(config)
    parts = {"vector": signal.vector, "tokens": signal.tokens}
    parts[what] = parts[what] + 1.0 * torch.arange(6)
    with torch.no_grad():
        change = network(x, clock, Signal(**parts)) - network(x, clock, signal)
    assert change.abs().amax((1, 2, 3, 4)).min() > 1e-3


@variants
def test_the_time_changes_the_output(config, x, clock, signal):
    network = built(config)
    with torch.no_grad():
        change = network(x, clock + 0.2, signal) - network(x, clock, signal)
    assert change.abs().max() > 1e-4


def test_without_cross_attention_tokens_are_not_heard(x, clock, signal):
    network = built(OURS.replace(cross_attention=False))
    with torch.no_grad():
        with_tokens = network(x, clock, signal)
        without = network(x, clock, Signal(vector=signal.vector))
    assert torch.equal(with_tokens, without)


def test_planes_are_concatenated_to_the_input(x, clock, signal):
    planes = Signal(vector=signal.vector, tokens=signal.tokens, planes=x[:, 2:])
    network = built(OURS)
    with torch.no_grad():
        assert torch.equal(network(x[:, :2], clock, planes), network(x, clock, signal))


def test_the_gain_multiplies_x_t_and_not_the_planes(x, clock, signal):
    planes = Signal(vector=signal.vector, tokens=signal.tokens, planes=x[:, :2])
    network = OURS.replace(gain=True, positions=1).build(5, 3)
    nn.init.constant_(network.head.bias, 2.0)  # an untrained head says its bias only
    with torch.no_grad():
        torch.testing.assert_close(network(x, clock, planes), 2 + 2 * x)


def test_with_additive_skips_a_stage_has_the_width_of_the_next_skip():
    network = ADDITIVE.build(3, 3)
    skips = [8] + [stage[0].conv_in.out_channels for stage in network.encoder[1:]]
    widths = [stage[0].conv_in.out_channels for stage in network.decoder]
    assert widths == [*skips[-2::-1], 8]


def test_without_attention_in_the_middle_no_token_is_heard(x, clock, signal):
    config = OURS.replace(middle_attention=False, attention_levels=(), heads=3)
    network = built(config)
    with torch.no_grad():
        without = network(x, clock, Signal(vector=signal.vector))
        assert torch.equal(network(x, clock, signal), without)
    assert not config.attends


def test_positions_tell_voxels_apart(clock, signal):
    network = built(POSITIONS)
    with torch.no_grad():
        output = network(torch.zeros(2, 3, 8, 8, 8), clock, signal)
    middle = output[:, :, 3:5, 3:5, 3:5].flatten(2)
    assert middle.std(2).min() > 1e-4


@variants
def test_checkpointing_changes_no_output(config, x, clock, signal):
    plain, saving = built(config), built(config.replace(checkpointing=True))
    assert torch.equal(plain(x, clock, signal), saving(x, clock, signal))


@variants
def test_checkpointing_changes_no_gradient(config, x, clock, signal):
    plain = gradients(built(config), x, clock, signal)
    saving = gradients(built(config.replace(checkpointing=True)), x, clock, signal)
    for a, b in zip(plain, saving, strict=True):
        torch.testing.assert_close(a, b)


@variants
def test_gradients_reach_every_parameter(config, x, clock, signal):
    network = built(config)
    assert len(gradients(network, x, clock, signal)) == len(list(network.parameters()))


@variants
def test_bf16_autocast_is_finite_and_near_float32(config, x, clock, signal):
    network = built(config)
    with torch.no_grad():
        exact = network(x, clock, signal)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network(x, clock, signal).float()
    assert (rough - exact).norm() / exact.norm() < 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "3 heads do not divide the 8 channels of level 0"),
        ({"attention_levels": (2,)}, "attention level 2 of 2 levels"),
        (
            {"attention_levels": (1,), "skips": "additive", "multipliers": (1, 3), "heads": 3},
            "3 heads do not divide the 8 channels of level 0",
        ),
        ({"skip_kernel": 2}, "odd"),
        ({"multipliers": ()}, "multipliers"),
        ({"blocks": 0}, "blocks"),
        ({"widht": 8}, "did you mean 'width'"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused_at_once(change, message):
    values = {name: getattr(OURS, name) for name in OURS.fields()}
    with pytest.raises(RecipeError, match=message):
        UNetConfig(**{**values, **change})


def test_the_factor_is_two_per_halving():
    assert UNetConfig(width=8, multipliers=(1, 1, 1, 1)).factor == 8


def test_it_attends_only_where_there_is_something_to_attend_to():
    assert (OURS.attends, OURS.replace(condition_width=0).attends) == (True, False)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_time_features_keep_the_precision_of_the_clock(kind):
    clock = torch.tensor([1000 / 3], dtype=kind)
    features = fourier(clock, 4)
    assert features.dtype == kind
    expected = torch.tensor([1.0, 0.01], dtype=kind) * clock
    torch.testing.assert_close(features[0], torch.cat([expected.cos(), expected.sin()]))
