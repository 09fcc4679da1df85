"""FlowLet's network (arXiv:2601.05212) from its own weights: same numbers, our modules."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from brainweave.conditions.base import Signal
from brainweave.conditions.covariates import Scalar
from brainweave.errors import ConditionError, ShapeError
from brainweave.interop.checkpoints import fill, renamed
from brainweave.interop.flowlet_config import keywords_of, unet_config
from brainweave.interop.guided import our_name
from brainweave.networks.unet import UNetConfig
from brainweave.part import hint

_NAMES = (  # what FlowLet added to guided diffusion's names; applied in order to every key
    (r"\.cond_emb_layers\.1\.", ".film."),
    (r"\.norm_seq\.", ".norm_self."),
    (r"\.to_q\.", ".attention.query."),
    (r"\.to_k\.", ".attention.key."),
    (r"\.to_v\.", ".attention.value."),
    (r"\.proj_self_attn_out\.", ".attention.out."),
    (r"\.to_q_cross\.", ".cross.query."),
    (r"\.proj_cross_attn_out\.", ".cross.out."),
)
_EMBEDDER = re.compile(r"^condition_embedder\.embedders\.(.+)\.([02])\.(weight|bias)$")
_KEY_VALUE = re.compile(r"^(.+)\.to_kv_cross\.weight$")
_DEAF = (".film.", "condition_embedder.")  # there, but never used, without cross-attention


class FlowLetNetwork(nn.Module):
    """FlowLet's `ConditionalUNet` on our modules.

    forward(x [b 8 i j k], t [b] in [0, 1], conditions {name: [b 1] in [0, 1]}) -> velocity. An
    absent condition adds nothing to the sum of embeddings; where all are absent, FiLM and
    cross-attention act on the vector of zeros. A network built without cross-attention
    (`config.condition_width` = 0) hears no condition, by FiLM either, as in the released code.
    Raises ConditionError for a condition that the network was not trained with, ShapeError for an
    edge that its levels do not divide, where the released code would blur its skips.
    """

    def __init__(
        self, config: UNetConfig, conditions: tuple[str, ...], channels: tuple[int, int] = (8, 8)
    ) -> None:
        super().__init__()
        self.conditions = conditions
        self.network = config.build(*channels)
        width = config.condition_width
        scalars = [Scalar(name=name, low=0, high=1, learned_null=False) for name in conditions]
        self.embedders = nn.ModuleDict({s.name: s.embedder(width) for s in scalars if width})

    def forward(
        self,
        x: Float[Tensor, "b c i j k"],
        t: Float[Tensor, "b"],
        conditions: Mapping[str, Tensor] | None = None,
    ) -> Float[Tensor, "b o i j k"]:
        x, t, given = x.float(), t.float(), dict(conditions or {})
        for name in given:
            if name not in self.conditions:
                raise ConditionError(f"no condition {name!r}{hint(name, self.conditions)}")
        factor = self.network.config.factor
        if any(edge % factor for edge in x.shape[2:]):
            raise ShapeError(f"edges {tuple(x.shape[2:])} must be multiples of {factor}")
        signal = Signal()
        for name, embedder in self.embedders.items():
            keep = torch.full((len(x),), name in given, device=x.device)
            value = given.get(name, torch.zeros(len(x))).to(x).reshape(len(x), 1)
            signal = signal + embedder(value, keep)
        return self.network(x, t, signal.pooled())


def network(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> FlowLetNetwork:
    """FlowLet's network from its own tensor names and configuration, in eval mode.

    config: keywords of its U-Net (`model_channels`) or of its command line
    (`unet_model_channels`). Raises CheckpointError where weights and configuration do not match.
    """
    names = conditions_in(weights)
    settings = unet_config(config, hears=bool(names))
    keywords = keywords_of(config)
    channels = keywords["in_channels"], keywords["out_channels"]
    module = FlowLetNetwork(settings, names, channels)
    fill(module, translate(weights, hears=settings.condition_width > 0))
    return module.eval()


def conditions_in(weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The names of the conditions that the weights embed, in their order there."""
    found = (_EMBEDDER.match(name) for name in renamed(weights, str))
    return tuple(dict.fromkeys(match[1] for match in found if match))


def translate(
    weights: Mapping[str, Tensor], *, hears: bool, rename: Callable[[str], str] = str
) -> dict[str, Tensor]:
    """FlowLet's tensors under the names of `FlowLetNetwork`, and of `Generator`.

    hears: False leaves out what an unconditional network has but never uses. rename: of conditions.
    """
    state: dict[str, Tensor] = {}
    for name, tensor in renamed(weights, our_name).items():
        for pattern, ours in _NAMES:
            name = re.sub(pattern, ours, name)
        if not hears and any(part in name for part in _DEAF):
            continue
        if match := _EMBEDDER.match(name):
            state[f"embedders.{rename(match[1])}.layers.{match[2]}.{match[3]}"] = tensor
        elif match := _KEY_VALUE.match(name):
            key, value = tensor.chunk(2)
            state[f"network.{match[1]}.cross.key.weight"] = key
            state[f"network.{match[1]}.cross.value.weight"] = value
        else:
            state[f"network.{name}"] = tensor
    return state
