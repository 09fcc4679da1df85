"""Fixtures of other people's code: weights, what it made of its inputs, its configuration."""

import json
import re
from collections.abc import Callable

import pytest
from released import CONDITIONAL, GOLDEN, Released
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

FIXTURE = GOLDEN / "flowlet_small.safetensors"
CROSS = re.compile(r"\.(norm_context|to_q_cross|to_kv_cross|proj_cross_attn_out)\.")
Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def golden() -> Weights:
    return load_file(FIXTURE)


@pytest.fixture(scope="module")
def config() -> dict:
    """Keywords of the U-Net's class."""
    with safe_open(FIXTURE, framework="pt") as file:
        return json.loads(file.metadata()["config"])


@pytest.fixture
def command_line() -> dict:
    """The same network as FlowLet's config.json says it."""
    return {
        "unet_model_channels": 8,
        "unet_channel_mult": "1,2",
        "unet_attention_res": "16,2",
        "unet_num_res_blocks": 1,
        "unet_dropout": 0.05,
        "condition_embedding_dim": 16,
        "unet_num_heads": 2,
        "unet_num_head_channels": -1,
        "unet_norm_num_groups": 32,
        "use_checkpointing": True,
        "use_xformers": True,
        "unet_disable_cross_attn": False,
        "condition_vars": ["Age"],
        "model_input_size": [8, 16, 8],
        "num_flow_steps": 5,
    }


@pytest.fixture
def weights(golden: Weights) -> Weights:
    names = [name for name in golden if name.startswith("weights.")]
    return {name.removeprefix("weights."): golden[name].clone() for name in names}


@pytest.fixture
def deaf(weights: Weights) -> Weights:
    """The weights of a network without cross-attention."""
    return {name: tensor for name, tensor in weights.items() if not CROSS.search(name)}


@pytest.fixture
def with_condition(weights: Weights) -> Callable[[str], Weights]:
    """The weights with a further condition of that name, embedded like Age."""

    def added(name: str) -> Weights:
        age = {key: tensor.clone() for key, tensor in weights.items() if ".Age." in key}
        return {**weights, **{key.replace("Age", name): age[key] for key in age}}

    return added


@pytest.fixture(scope="module", params=CONDITIONAL)
def conditional(request: pytest.FixtureRequest) -> Released:
    """Of a network that sees three images."""
    return Released.read(request.param)


@pytest.fixture(scope="module", params=[*CONDITIONAL, "wdm_small"])
def released(request: pytest.FixtureRequest) -> Released:
    """Of any of them."""
    return Released.read(request.param)
