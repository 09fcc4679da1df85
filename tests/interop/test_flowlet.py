"""FlowLet's network: the numbers of its own code (see the fixture's metadata) from its weights."""

import pytest
import torch
from torch import Tensor

from brainweave.conditions.base import Signal
from brainweave.errors import CheckpointError, ConditionError, ShapeError
from brainweave.generator import Generator
from brainweave.interop.flowlet import FlowLetNetwork, network
from brainweave.interop.flowlet_config import unet_config
from brainweave.recipes.flowlet import flowlet, flowlet_base


def run(module: FlowLetNetwork, golden: dict[str, Tensor], conditions: dict) -> Tensor:
    with torch.no_grad():
        return module(golden["io.x"], golden["io.t"], conditions)


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=0, atol=1e-4)


# The network


def test_the_network_gives_the_output_of_the_original_code(golden, weights, config):
    module = network(weights, config)
    output = run(module, golden, {"Age": golden["io.condition.Age"]})
    assert close(output, golden["io.y"])


@pytest.mark.parametrize("conditions", [None, {}])
def test_without_conditions_film_and_attention_act_on_zeros(golden, weights, config, conditions):
    assert close(run(network(weights, config), golden, conditions), golden["io.y_no_conditions"])


def test_the_command_lines_configuration_means_the_same_network(golden, weights, command_line):
    output = run(network(weights, command_line), golden, {"Age": golden["io.condition.Age"]})
    assert close(output, golden["io.y"])


@pytest.mark.parametrize(
    "prefix", ["_orig_mod.", "module.", "module._orig_mod.", "flow_net.module."]
)
def test_prefixes_of_wrappers_are_stripped(golden, weights, config, prefix):
    wrapped = {prefix + name: tensor for name, tensor in weights.items()}
    output = run(network(wrapped, config), golden, {"Age": golden["io.condition.Age"]})
    assert close(output, golden["io.y"])


def test_a_condition_may_be_one_dimensional(golden, weights, config):
    output = run(network(weights, config), golden, {"Age": golden["io.condition.Age"][:, 0]})
    assert close(output, golden["io.y"])


def test_an_unknown_condition_is_refused_with_the_nearest(golden, weights, config):
    with pytest.raises(ConditionError, match="did you mean 'Age'"):
        run(network(weights, config), golden, {"age": golden["io.condition.Age"]})


def test_edges_that_the_levels_do_not_divide_are_refused(weights, config):
    with pytest.raises(ShapeError, match="multiples of 2"):
        network(weights, config)(torch.zeros(1, 8, 5, 4, 4), torch.zeros(1))


def test_several_conditions_are_found_in_the_weights(with_condition, config):
    assert network(with_condition("Sex"), config).conditions == ("Age", "Sex")


def test_one_of_two_conditions_alone_adds_what_it_would_add_as_the_only_one(
    golden, with_condition, config
):
    module = network(with_condition("Sex"), config)
    assert close(run(module, golden, {"Sex": golden["io.condition.Age"]}), golden["io.y"])


def test_without_cross_attention_no_condition_is_heard_as_in_the_original(
    golden, weights, config, deaf
):
    module = network(deaf, {**config, "use_cross_attention": False})
    whole = network(weights, config).network
    with torch.no_grad():
        silent = whole(golden["io.x"], golden["io.t"], Signal())
    assert close(run(module, golden, {"Age": golden["io.condition.Age"]}), silent)


def test_the_command_lines_switch_of_cross_attention_means_the_same(
    golden, config, command_line, deaf
):
    a = network(deaf, {**config, "use_cross_attention": False})
    b = network(deaf, {**command_line, "unet_disable_cross_attn": True})
    assert torch.equal(run(a, golden, {}), run(b, golden, {}))


def test_weights_without_any_condition_make_an_unconditional_network(golden, weights, config, deaf):
    bare = {k: v for k, v in deaf.items() if not k.startswith("condition_embedder.")}
    with torch.no_grad():
        silent = network(weights, config).network(golden["io.x"], golden["io.t"], Signal())
    assert close(run(network(bare, config), golden, {}), silent)


# Configurations


def test_attention_factors_are_levels_and_unreachable_ones_are_dropped(command_line):
    config = {**command_line, "unet_channel_mult": "1,2,3,4", "unet_attention_res": "16,8,4"}
    assert unet_config(config).attention_levels == (2, 3)


@pytest.mark.parametrize(
    ("multipliers", "factors", "recipe"),
    [("1,2,4,8", "4,8", flowlet), ("1,2,3,4", "16,8", flowlet_base)],
)
def test_the_recipes_networks_are_those_of_the_released_configurations(
    multipliers, factors, recipe
):
    released = unet_config(
        {
            "unet_model_channels": 128,
            "unet_channel_mult": multipliers,
            "unet_attention_res": factors,
            "unet_dropout": recipe().network.dropout,
            "use_checkpointing": True,
        }
    )
    assert released == recipe().network


@pytest.mark.parametrize(
    ("recipe", "count"), [(flowlet, 1_001_968_392), (flowlet_base, 356_366_088)]
)
def test_the_recipes_have_as_many_parameters_as_the_released_networks(recipe, count):
    with torch.device("meta"):
        generator = Generator(recipe())
    assert sum(parameter.numel() for parameter in generator.parameters()) == count


def test_a_width_of_heads_that_gives_one_number_of_heads_is_that_number(command_line):
    assert unet_config({**command_line, "unet_num_head_channels": 4}).heads == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_scale_shift_norm": False}, "use_scale_shift_norm"),
        ({"resblock_updown": False}, "resblock_updown"),
        ({"norm_eps": 1e-5}, "norm_eps"),
        ({"num_head_channels": 4, "attention_resolutions": [1, 2]}, "num_head_channels"),
        ({"num_heads": 3}, "heads"),
        ({"channel_mult": "1,x"}, "channel_mult"),
        ({"model_channels": None}, "model_channels"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(weights, config, change, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        network(weights, {**config, **change})
    assert "\n" not in str(caught.value)


# Weights that do not fit


def broken(weights: dict[str, Tensor], how: str) -> dict[str, Tensor]:
    if how == "missing":
        weights.pop("out.2.bias")
    elif how == "unknown":
        weights["extra.weight"] = torch.zeros(1)
    else:
        weights["out.2.bias"] = torch.zeros(3)
    return weights


@pytest.mark.parametrize(
    ("how", "message"), [("missing", "missing"), ("unknown", "unknown"), ("shape", r"\(3,\)")]
)
def test_weights_that_do_not_match_are_one_line(weights, config, how, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        network(broken(weights, how), config)
    assert "\n" not in str(caught.value)


def test_inputs_of_another_precision_are_taken(golden, weights, config):
    module = network(weights, config)
    x, t = golden["io.x"], golden["io.t"]
    with torch.no_grad():
        expected, found = module(x, t, {}), module(x.double(), t.double(), {})
    assert found.dtype == torch.float32
    assert close(found, expected)
