"""The network of cWDM (arXiv:2411.17203), WDM (arXiv:2402.19043) and Fast-cWDM from its own
weights: same numbers, our modules."""

import re
from collections.abc import Mapping
from typing import Any

from jaxtyping import Float, Num
from torch import Tensor, nn

from brainweave.conditions.base import Signal
from brainweave.errors import CheckpointError, RecipeError, ShapeError
from brainweave.interop.checkpoints import fill, renamed
from brainweave.interop.flowlet_config import whole_numbers
from brainweave.interop.guided import our_name
from brainweave.networks.unet import UNetConfig

_NUMBERS = ("num_channels", "num_res_blocks", "in_channels", "out_channels", "num_groups")
_FOREIGN = {  # part of a name: what has it and has no counterpart here
    ".qkv.": "attention blocks",
    "label_emb.": "a class label",
    "out_res.": "the wavelet U-Net (--use_freq=True)",
    ".op.": "strided convolutions (--resblock_updown=False)",
}


class CwdmNetwork(nn.Module):
    """cWDM's `UNetModel` on our modules.

    forward(x [b in i j k], t [b]) -> [b out i j k], float32; x is x_t and then the coefficients of
    the conditions, t the step of the chain, 0 almost clean. Raises ShapeError for another number of
    channels and for an edge that cannot be halved as often as there are levels.
    """

    def __init__(self, config: UNetConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.network = config.build(in_channels, out_channels)

    def forward(
        self, x: Float[Tensor, "b c i j k"], t: Num[Tensor, "b"]
    ) -> Float[Tensor, "b o i j k"]:
        if x.shape[1] != self.in_channels:
            raise ShapeError(f"x has {x.shape[1]} channels; this network takes {self.in_channels}")
        factor = self.network.config.factor
        if any(edge % factor or not edge for edge in x.shape[2:]):
            raise ShapeError(f"edges {tuple(x.shape[2:])} must be multiples of {factor}")
        return self.network(x.float(), t.float(), Signal())


def network(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> CwdmNetwork:
    """cWDM's network from its own tensor names and configuration, in eval mode.

    config: what its command line calls num_channels, channel_mult ("1,2,2" or a list),
    num_res_blocks, in_channels, out_channels, additive_skips and num_groups; all but the last (32
    where not said) are read off the weights where they are missing. Other keys mean nothing here.
    Raises CheckpointError where weights and configuration do not match.
    """
    state, keywords = translate(weights), keywords_of(weights, config)
    module = CwdmNetwork(unet_config(keywords), keywords["in_channels"], keywords["out_channels"])
    fill(module, state)
    return module.eval()


def translate(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """cWDM's tensors under the names of `CwdmNetwork`, and of `Generator`.

    Raises CheckpointError for those of a variant that has no counterpart here.
    """
    state = renamed(weights, lambda name: f"network.{our_name(name)}")
    for part, what in _FOREIGN.items():
        if found := [name for name in state if part in name]:
            raise CheckpointError(
                f"the weights have {what} ({found[0].removeprefix('network.')}), which is not "
                "supported; cWDM's released settings have none"
            )
    return state


def keywords_of(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Any]:
    """What a configuration and the shapes of the weights mean as keywords of cWDM's U-Net.

    Raises CheckpointError where a norm's channels cannot be grouped as said, for weights of another
    network and for a variant that has no counterpart here.
    """
    weights = renamed(weights, str)
    found = config_in(weights)
    said = {name: value for name, value in config.items() if value not in (None, "")}
    keywords = {"resample_2d": False, **found, **said}
    for name in _NUMBERS:
        keywords[name] = whole_numbers(name, [keywords[name]])[0]
    keywords["channel_mult"] = whole_numbers("channel_mult", keywords["channel_mult"])
    for name in ("additive_skips", "resample_2d"):
        keywords[name] = _truth(name, keywords[name])
    if keywords["resample_2d"]:
        raise CheckpointError("resample_2d=True is not supported, only False is, as released")
    groups = keywords["num_groups"]
    for name, tensor in weights.items():
        is_norm = name.endswith(("in_layers.0.weight", "out_layers.0.weight"))
        if is_norm and (groups < 1 or len(tensor) % groups):
            raise CheckpointError(
                f"num_groups={groups} does not divide the {len(tensor)} channels of {name}; "
                "give the number that it was trained with"
            )
    return keywords


def config_in(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """The configuration that the shapes tell, and 32 groups, which they do not.

    Raises CheckpointError for weights of another network.
    """
    (width, seen), (made, _) = (
        _convolution(weights, "input_blocks.0.0"),
        _convolution(weights, "out.2"),
    )
    entry = _convolution(weights, "output_blocks.0.0.in_layers.2")[1]
    places = [m for name in weights if (m := re.match(r"output_blocks\.(\d+)\.(\d+)\.", name))]
    stages, doubling = ({int(m[1]) for m in places if m[2] == layer} for layer in "01")
    each = 1 + min(doubling or {len(stages) - 1})  # stages per level; the last doubles
    levels = range(1, len(stages), each)
    wide = [_convolution(weights, f"input_blocks.{n}.0.in_layers.2")[0] for n in levels]
    return {
        "num_channels": width,
        "channel_mult": [channels // width for channels in wide],
        "num_res_blocks": each - 1,
        "in_channels": seen,
        "out_channels": made,
        "additive_skips": wide[-1:] == [entry],
        "num_groups": 32,
    }


def unet_config(keywords: Mapping[str, Any]) -> UNetConfig:
    """The same network as ours. Raises CheckpointError for one that cannot be."""
    try:
        return UNetConfig(
            width=keywords["num_channels"],
            multipliers=keywords["channel_mult"],
            blocks=keywords["num_res_blocks"],
            middle_attention=False,
            groups=keywords["num_groups"],
            norm_eps=1e-5,
            condition_width=0,
            time_scale=1.0,  # the clock counts steps
            modulation="shift",
            skips="additive" if keywords["additive_skips"] else "concat",
            resample_inside=True,
        )
    except RecipeError as error:
        raise CheckpointError(f"the configuration is not one of cWDM's: {error}") from None


def _convolution(weights: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    """Its channels out and in."""
    kernel = weights.get(f"{name}.weight")
    if kernel is None or kernel.ndim != 5:
        raise CheckpointError(f"the weights are not those of cWDM's U-Net: no convolution {name}")
    return kernel.shape[0], kernel.shape[1]


def _truth(name: str, value: Any) -> bool:
    """Of true, 1 or "True", as command lines write it."""
    known = {"true": True, "1": True, "false": False, "0": False}
    if str(value).lower() not in known:
        raise CheckpointError(f"{name} is {value!r}; True or False is needed")
    return known[str(value).lower()]
