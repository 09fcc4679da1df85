"""cWDM's network from its weights: as its own code (golden) and as its equations (other sizes)."""

import plain_cwdm
import pytest
import torch
from plain_cwdm import Weights

from brainweave import lean
from brainweave.errors import CheckpointError, ShapeError
from brainweave.interop.cwdm import network

CONFIG = {
    "num_channels": 8,
    "channel_mult": [1, 2],
    "num_res_blocks": 1,
    "in_channels": 16,
    "num_groups": 4,
    "additive_skips": False,
}


def of(**changes) -> dict:
    return {**CONFIG, **changes}


CONFIGS = [
    of(),
    of(additive_skips=True),
    of(channel_mult=[1], num_res_blocks=2),
    of(channel_mult=[1, 2, 2], num_res_blocks=3, in_channels=32),
    of(channel_mult=[1, 1, 2, 3, 4], num_res_blocks=1, in_channels=8),
    of(channel_mult=[1, 2, 2, 4, 4], num_res_blocks=2, additive_skips=True, num_groups=8),
    of(channel_mult=[2, 1, 3], num_res_blocks=2, additive_skips=True, in_channels=32),
]


def edges(config: dict) -> tuple[int, int, int]:
    factor = 2 ** (len(config["channel_mult"]) - 1)
    return factor, 2 * factor, factor


@pytest.fixture
def weights() -> Weights:
    return plain_cwdm.weights_of(CONFIG)


# The network


def test_the_network_gives_the_output_of_the_original_code(released):
    with torch.no_grad():
        output = network(released.weights, released.config)(released["io.x"], released["io.t"])
    torch.testing.assert_close(output, released["io.y"], rtol=0, atol=1e-5)


def test_slab_by_slab_it_gives_the_same(released, monkeypatch):
    monkeypatch.setattr(lean, "SLAB", 1)
    with torch.no_grad():
        output = network(released.weights, released.config)(released["io.x"], released["io.t"])
    torch.testing.assert_close(output, released["io.y"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_network_is_its_equations_at_any_size(config):
    weights = plain_cwdm.weights_of(config)
    source = torch.Generator().manual_seed(1)
    x = torch.randn(2, config["in_channels"], *edges(config), generator=source)
    t = torch.tensor([3, 870])
    with torch.no_grad():
        expected, output = plain_cwdm.output(weights, config, x, t), network(weights, config)(x, t)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_all_but_the_groups_may_be_left_to_the_weights(config):
    weights = plain_cwdm.weights_of(config)
    assert (
        network(weights, {"num_groups": config["num_groups"]}).network.config
        == network(weights, config).network.config
    )


@pytest.mark.parametrize(
    "written",
    [
        {"channel_mult": "1,2", "num_groups": "4", "additive_skips": "False"},
        {"channel_mult": "", "num_groups": 4, "additive_skips": None, "resample_2d": "False"},
        {"channel_mult": (1, 2), "num_groups": 4, "lr": 1e-5, "contr": "t1n", "num_heads": 1},
    ],
)
def test_a_configuration_may_be_written_as_command_lines_do(weights, written):
    expected = network(weights, CONFIG).network.config
    assert network(weights, written).network.config == expected


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_stripped(weights, prefix):
    wrapped = {prefix + name: tensor for name, tensor in weights.items()}
    assert (
        network(wrapped, CONFIG).state_dict().keys() == network(weights, CONFIG).state_dict().keys()
    )


def test_the_network_is_in_eval_mode_and_takes_other_precisions(weights):
    module = network(weights, CONFIG)
    x, t = torch.randn(1, 16, 2, 4, 2), torch.tensor([5])
    with torch.no_grad():
        assert torch.equal(module(x.double(), t.int()), module(x.double().float(), t.double()))
    assert not module.training


# What does not fit


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 16, 3, 4, 4), r"\(3, 4, 4\) must be multiples of 2"),
        ((1, 16, 0, 4, 4), "multiples of 2"),
        ((1, 8, 4, 4, 4), "8 channels; this network takes 16"),
    ],
)
def test_an_impossible_input_is_refused(weights, shape, message):
    with pytest.raises(ShapeError, match=message):
        network(weights, CONFIG)(torch.zeros(shape), torch.zeros(1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_channels": 16}, "in the file and"),
        ({"channel_mult": [1, 2, 2]}, "are missing"),
        ({"channel_mult": [1, 3]}, "in the file and"),
        ({"channel_mult": "1,x"}, "channel_mult is '1,x'"),
        ({"num_res_blocks": 2}, "are missing"),
        ({"num_res_blocks": 0}, "blocks"),
        ({"in_channels": 32}, "in the file and"),
        ({"out_channels": 16}, "in the file and"),
        ({"additive_skips": True}, "in the file and"),
        ({"additive_skips": "perhaps"}, "additive_skips is 'perhaps'"),
        ({"num_groups": 3}, "num_groups=3 does not divide the 8 channels of input_blocks.1.0"),
        ({"num_groups": 0}, "num_groups=0"),
        ({"resample_2d": True}, "resample_2d"),
    ],
)
def test_a_configuration_of_other_weights_is_refused_in_one_line(weights, change, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        network(weights, of(**change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("middle_block.1.qkv.weight", "attention blocks"),
        ("label_emb.weight", "class label"),
        ("out_res.0.0.in_layers.0.weight", "wavelet U-Net"),
        ("input_blocks.2.0.op.weight", "strided"),
        ("extra.weight", "1 are unknown, such as network.extra"),
    ],
)
def test_weights_of_a_variant_without_counterpart_are_refused(weights, name, message):
    with pytest.raises(CheckpointError, match=message):
        network({**weights, name: torch.zeros(8)}, CONFIG)


@pytest.mark.parametrize(
    "name", ["input_blocks.0.0.weight", "output_blocks.0.0.in_layers.2.weight"]
)
def test_weights_of_another_network_are_refused(weights, name):
    del weights[name]
    with pytest.raises(CheckpointError, match="not those of cWDM's U-Net"):
        network(weights, CONFIG)
