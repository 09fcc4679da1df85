"""Configurations of MONAI's autoencoders, and of those that descend from it, as fields of ours."""

from collections.abc import Mapping
from typing import Any

from brainweave.errors import CheckpointError
from brainweave.interop.flowlet_config import whole_numbers

_COUNTS = {  # theirs: ours
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "latent_channels": "latent_channels",
    "wavelet_channels": "flow",
    "norm_num_groups": "groups",
}
_SWITCHES = {
    "with_encoder_nonlocal_attn": "encoder_attention",
    "with_decoder_nonlocal_attn": "decoder_attention",
    "include_fc": "attention_out",
    "use_convtranspose": "transposed",
}
_DEFAULTS = {"groups": 32, "norm_eps": 1e-6, "transposed": False}  # what weights do not tell


def fields_of(config: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What weights tell (`found`, by the names of our fields) and a configuration adds.

    Keys that do not change what the network computes mean nothing: how it saves memory, how
    attention is computed, in which parts convolutions run, how norms are rounded.
    Raises CheckpointError where the two contradict each other, for norms that cannot be grouped as
    said and for another number of dimensions.
    """
    config = {name: value for name, value in config.items() if value is not None}
    if config.get("spatial_dims", 3) != 3:
        raise CheckpointError(f"spatial_dims is {config['spatial_dims']}; only 3 is supported")
    fields = dict(_DEFAULTS)
    for name, (ours, value) in _said(config, len(found["widths"])).items():
        if value != found.get(ours, value):
            raise CheckpointError(
                f"{name} says {value} in the configuration and the weights say {found[ours]}; "
                "leave it out, or give the configuration of these weights"
            )
        fields[ours] = value
    groups = fields["groups"]
    if wrong := [width for width in found["widths"] if groups < 1 or width % groups]:
        raise CheckpointError(
            f"norm_num_groups={groups} does not divide the {wrong[0]} channels of a level; give "
            "the number that it was trained with"
        )
    return {**fields, **found}


def _said(config: Mapping[str, Any], levels: int) -> dict[str, tuple[str, Any]]:
    """Our field and its value by the name that a configuration has for it."""
    said: dict[str, tuple[str, Any]] = {}
    for name, ours in _COUNTS.items():
        if name in config:
            said[name] = ours, whole_numbers(name, [config[name]])[0]
    for name, ours in _SWITCHES.items():
        if name in config:
            said[name] = ours, _switch(name, config[name])
    for name in ("channels", "num_channels"):
        if name in config:
            said[name] = "widths", whole_numbers(name, config[name])
    if "num_res_blocks" in config:
        blocks = config["num_res_blocks"]
        each = [blocks] * levels if isinstance(blocks, int) else blocks
        said["num_res_blocks"] = "blocks", whole_numbers("num_res_blocks", each)
    if "attention_levels" in config:
        switches = [_switch("attention_levels", each) for each in config["attention_levels"]]
        attends = tuple(level for level, switch in enumerate(switches) if switch)
        said["attention_levels"] = "attention_levels", attends
    if "norm_eps" in config:
        said["norm_eps"] = "norm_eps", _number("norm_eps", config["norm_eps"])
    return said


def _switch(name: str, value: Any) -> bool:
    if value not in (True, False):
        raise CheckpointError(f"{name} is {value!r}; true or false is needed")
    return bool(value)


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise CheckpointError(f"{name} is {value!r}; a number is needed") from None
