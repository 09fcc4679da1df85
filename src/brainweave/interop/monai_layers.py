"""The layers of MONAI's autoencoders, and of those that descend from it, by the names of their
tensors: what each is, what they say of the network, ours of the same weights."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from brainweave.errors import CheckpointError
from brainweave.interop.checkpoints import renamed

_NAMES = (  # theirs, ours; applied in order to every name
    (r"^autoencoder\.", ""),  # in brainmint's checkpoints
    (r"(\.conv)+\.(weight|bias)$", r".\2"),  # a convolution lies inside one other, MAISI's in two
    (r"\.(postconv|deconv)\.", "."),
    (r"^quant_conv_mu\.", "to_mu."),
    (r"^quant_conv_log_sigma\.", "to_log_variance."),
    (r"^post_quant_conv\.", "from_latents."),
    (r"\.norm1\.", ".norm_in."),
    (r"\.conv1\.", ".conv_in."),
    (r"\.norm2\.", ".norm_out."),
    (r"\.conv2\.", ".conv_out."),
    (r"\.nin_shortcut\.", ".skip."),
    (r"\.attn\.", "."),
    (r"\.(out_proj|proj_attn)\.", ".out."),  # the second in MONAI GenerativeModels
)


@dataclass(frozen=True)
class Found:
    """A layer of theirs: its tensors, by the names that they have in ours."""

    tensors: dict[str, Tensor]

    @property
    def kind(self) -> str:
        if "conv_in.weight" in self.tensors:
            return "residual"
        if "qkv.weight" in self.tensors:
            return "attention"
        ranks = {1: "norm", 5: "convolution"}
        return ranks.get(self.tensors["weight"].ndim, "") if "weight" in self.tensors else ""

    @property
    def channels(self) -> tuple[int, int]:
        """In and out, of a convolution."""
        out, into = self.tensors["weight"].shape[:2]
        return into, out


def our_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under names of ours, but for the numbers of layers; wrappers' prefixes stripped.

    Raises CheckpointError for attention without its queries, keys or values.
    """
    state = renamed(weights, _our_name)
    for query in [name for name in state if ".to_q." in name]:
        parts = [query.replace(".to_q.", f".to_{part}.") for part in "qkv"]
        if missing := [part for part in parts if part not in state]:
            raise CheckpointError(f"the weights are incomplete: {missing[0]} is missing")
        state[query.replace(".to_q.", ".qkv.")] = torch.cat([state.pop(part) for part in parts])
    for weight in [name for name in state if name.endswith(".out.weight")]:
        bias = f"{weight.removesuffix('weight')}bias"
        state.setdefault(
            bias, state[weight].new_zeros(len(state[weight]))
        )  # some old ones have none
    return state


def layers_of(state: dict[str, Tensor], place: str) -> list[list[Found]]:
    """Takes the layers that are numbered at a place out of a state, stage by stage; all in one
    where stages are not numbered. Raises CheckpointError where there are none or one is missing."""
    pattern = re.compile(rf"{re.escape(place)}\.(?:(\d+)\.)??(\d+)\.(\D.*)")
    found: dict[tuple[int, int], dict[str, Tensor]] = {}
    for name in list(state):
        if match := pattern.fullmatch(name):
            at = int(match[1] or 0), int(match[2])
            found.setdefault(at, {})[match[3]] = state.pop(name)
    stages: list[list[Found]] = []
    for stage, places in groupby(sorted(found), key=lambda at: at[0]):
        numbers = [number for _, number in places]
        if stage != len(stages) or numbers != list(range(len(numbers))):
            raise CheckpointError(f"the weights are incomplete: layers of {place} are missing")
        stages.append([Found(found[stage, number]) for number in numbers])
    if not stages:
        raise CheckpointError(f"the weights have no {place}; another kind of network made them")
    return stages


def require(layers: Sequence[Found], kinds: Sequence[str]) -> None:
    """Raises CheckpointError for layers that are not of these kinds."""
    found = [layer.kind or "unknown" for layer in layers]
    if found != list(kinds):
        raise CheckpointError(
            "the weights are not those of such an autoencoder: where it has "
            f"{', '.join(kinds)} they have {', '.join(found)}"
        )


def doubling(names: Iterable[str]) -> dict[str, bool]:
    """Whether the resolution is doubled by transposed convolutions, where names tell."""
    parts = {part for name in names for part in name.split(".")}
    return {"transposed": "deconv" in parts} if parts & {"postconv", "deconv"} else {}


def told(encoder: Sequence[Found], decoder: Sequence[Found]) -> dict[str, Any]:
    """The fields of `LevelsConfig` that layers tell, in both cases without the first and last ones.

    Raises CheckpointError for a level without residual blocks.
    """
    fields, encoder_attention = _levels(encoder)
    _, decoder_attention = _levels(decoder[::-1])
    fields |= {"encoder_attention": encoder_attention, "decoder_attention": decoder_attention}
    attention = [layer.tensors for layer in (*encoder, *decoder) if layer.kind == "attention"]
    return fields | ({"attention_out": "out.weight" in attention[0]} if attention else {})


def numbered(layers: Sequence[Found], place: str) -> dict[str, Tensor]:
    """Their tensors as those of ours, in which a last norm and convolution are one layer."""
    state, number = {}, 0
    for layer in layers:
        inside = {"convolution": "conv.", "norm": "norm."}.get(layer.kind, "")
        for name, tensor in layer.tensors.items():
            state[f"{place}.{number}.{inside}{name}"] = tensor
        number += layer.kind != "norm"
    return state


def _levels(layers: Sequence[Found]) -> tuple[dict[str, Any], bool]:
    """Widths, blocks and attention of levels, the finest first; whether the last has attention
    between two more blocks."""
    levels: list[list[Found]] = [[]]
    for layer in layers:  # a convolution changes the resolution
        if layer.kind == "convolution":
            levels.append([])
        else:
            levels[-1].append(layer)
    blocks = [[layer for layer in level if layer.kind == "residual"] for level in levels]
    depths = [len(each) for each in blocks]
    attends = [len(level) - depth for level, depth in zip(levels, depths, strict=True)]
    middle = attends[-1] not in (0, depths[-1])
    if middle:
        depths[-1], attends[-1] = depths[-1] - 2, attends[-1] - 1
    if min(depths) < 1:
        raise CheckpointError("the weights have a level without residual blocks")
    fields = {
        "widths": tuple(each[-1].tensors["conv_out.weight"].shape[0] for each in blocks),
        "blocks": tuple(depths),
        "attention_levels": tuple(level for level, count in enumerate(attends) if count),
    }
    return fields, middle


def _our_name(name: str) -> str:
    for theirs, ours in _NAMES:
        name = re.sub(theirs, ours, name)
    return name
