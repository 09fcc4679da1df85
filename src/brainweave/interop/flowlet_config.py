"""FlowLet's configurations (arXiv:2601.05212) as ours: config.json, keywords of its U-Net."""

from collections.abc import Mapping
from typing import Any

from brainweave.errors import CheckpointError, RecipeError
from brainweave.networks.unet import UNetConfig

_COMMAND_LINE = {  # FlowLet's command line and config.json: keyword of its U-Net
    "unet_model_channels": "model_channels",
    "unet_channel_mult": "channel_mult",
    "unet_attention_res": "attention_resolutions",
    "unet_num_res_blocks": "num_res_blocks",
    "unet_dropout": "dropout",
    "unet_num_heads": "num_heads",
    "unet_num_head_channels": "num_head_channels",
    "unet_norm_num_groups": "norm_num_groups",
    "use_checkpointing": "use_checkpoint",
}
_DEFAULTS: dict[str, Any] = {  # the class's
    "in_channels": 8,
    "out_channels": 8,
    "num_res_blocks": 2,
    "dropout": 0.1,
    "use_checkpoint": False,
    "num_heads": 8,
    "num_head_channels": -1,
    "use_scale_shift_norm": True,
    "resblock_updown": True,
    "condition_embedding_dim": 128,
    "use_cross_attention": True,
    "norm_num_groups": 32,
    "norm_eps": 1e-6,
}
_NEEDED = ("model_channels", "channel_mult", "attention_resolutions")
_NUMBERS = (
    "model_channels",
    "in_channels",
    "out_channels",
    "num_heads",
    "num_head_channels",
    "norm_num_groups",
)
_FIXED = {"use_scale_shift_norm": True, "resblock_updown": True, "norm_eps": 1e-6}


def keywords_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration of either style means as keywords of FlowLet's U-Net, with its defaults.

    Raises CheckpointError where the width, the levels or those with attention are not said.
    """
    keywords = dict(_DEFAULTS)
    if "unet_model_channels" in config:
        keywords["condition_embedding_dim"] = 512  # the command line's
        keywords["use_cross_attention"] = not config.get("unet_disable_cross_attn", False)
    keywords.update({_COMMAND_LINE.get(name, name): value for name, value in config.items()})
    if missing := [name for name in _NEEDED if keywords.get(name) is None]:
        raise CheckpointError(
            f"the configuration says no {missing[0]} (unet_... in config.json); "
            "give the config.json that FlowLet wrote beside the checkpoint"
        )
    for name in ("channel_mult", "attention_resolutions"):
        keywords[name] = whole_numbers(name, keywords[name])
    for name in _NUMBERS:
        keywords[name] = whole_numbers(name, [keywords[name]])[0]
    if not keywords["channel_mult"]:
        raise CheckpointError("channel_mult names no level; one number per level is needed")
    return keywords


def unet_config(config: Mapping[str, Any], *, hears: bool = True) -> UNetConfig:
    """The same network as ours.

    Attention is asked for by down-sampling factor: 4 is level 2, and a factor that is never
    reached, such as 16 of four levels, means nothing, as there. hears: whether there are conditions
    at all; without cross-attention FlowLet's FiLM is off too, so the network hears nothing.
    Raises CheckpointError for a variant that has no counterpart here.
    """
    keywords = keywords_of(config)
    for name, value in _FIXED.items():
        if keywords[name] != value:
            raise CheckpointError(f"{name}={keywords[name]} is not supported, only {value} is")
    width, multipliers = keywords["model_channels"], keywords["channel_mult"]
    factors = keywords["attention_resolutions"]
    levels = tuple(level for level in range(len(multipliers)) if 2**level in factors)
    hears = hears and bool(keywords["use_cross_attention"])
    try:
        return UNetConfig(
            width=width,
            multipliers=multipliers,
            blocks=keywords["num_res_blocks"],
            attention_levels=levels,
            heads=_heads(keywords, {width * multipliers[level] for level in (*levels, -1)}),
            groups=max(1, keywords["norm_num_groups"]),
            dropout=keywords["dropout"],
            condition_width=keywords["condition_embedding_dim"] if hears else 0,
            checkpointing=keywords["use_checkpoint"],
            pooled_context=True,
            time_scale=1.0,
            skip_kernel=3,
            post_norm=True,
            resample_inside=True,
        )
    except RecipeError as error:
        raise CheckpointError(f"the configuration is not one of FlowLet's: {error}") from None


def whole_numbers(name: str, value: Any) -> tuple[int, ...]:
    """Of "1,2,4" or [1, 2, 4]. Raises CheckpointError for anything else."""
    parts = value.split(",") if isinstance(value, str) else value
    try:
        numbers = tuple(int(part) for part in parts)
    except (TypeError, ValueError):
        numbers = ()
    if not numbers and value not in ("", [], ()):
        raise CheckpointError(f"{name} is {value!r}; whole numbers are needed, as 1,2,4")
    return numbers


def _heads(keywords: Mapping[str, Any], channels: set[int]) -> int:
    """The number of heads of every attention block; FlowLet can also fix their width."""
    heads: int = keywords["num_heads"]
    each: int = keywords["num_head_channels"]
    if each == -1:
        return heads
    found = {count // each for count in channels}
    if len(found) > 1 or any(count % each for count in channels):
        raise CheckpointError(
            f"num_head_channels={each} of {sorted(channels)} channels gives levels of different "
            "numbers of heads; only one number for all levels is supported"
        )
    return found.pop()
