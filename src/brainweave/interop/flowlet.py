"""FlowLet's weights and files (arXiv:2601.05212) as ours: same numbers, our names."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from brainweave.conditions.base import Signal
from brainweave.conditions.covariates import Scalar
from brainweave.errors import CheckpointError
from brainweave.networks.unet import UNetConfig

_NAMES = (  # FlowLet's name, ours; applied in order to every key
    (r"^time_embed\.", "time."),
    (r"^input_blocks\.", "encoder."),
    (r"^middle_block\.", "middle."),
    (r"^output_blocks\.", "decoder."),
    (r"^out\.0\.", "norm."),
    (r"^out\.2\.", "head."),
    (r"\.in_layers\.0\.", ".norm_in."),
    (r"\.in_layers\.2\.", ".conv_in."),
    (r"\.cond_emb_layers\.1\.", ".film."),
    (r"\.emb_layers\.1\.", ".time_film."),
    (r"\.out_layers\.0\.", ".norm_out."),
    (r"\.out_layers\.3\.", ".conv_out."),
    (r"\.skip_connection\.", ".skip."),
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
_PREFIX = re.compile(r"^(?:_orig_mod\.|module\.|flow_net\.)+")


class FlowLetNetwork(nn.Module):
    """FlowLet's `ConditionalUNet` on our modules.

    forward(x [b 8 i j k], t [b] in [0, 1], conditions {name: [b 1] in [0, 1]}) -> velocity. An
    absent condition adds nothing, as there; none at all switches FiLM and cross-attention off.
    """

    def __init__(self, config: UNetConfig, conditions: tuple[str, ...], channels: int = 8) -> None:
        super().__init__()
        self.network = config.build(channels, channels)
        scalars = (Scalar(name=name, low=0, high=1, learned_null=False) for name in conditions)
        self.embedders = nn.ModuleDict(
            {s.name: s.embedder(config.condition_width) for s in scalars}
        )

    def forward(
        self, x: Tensor, t: Tensor, conditions: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        signal = Signal()
        for name, value in (conditions or {}).items():
            keep = torch.ones(len(x), dtype=torch.bool, device=x.device)
            signal = signal + self.embedders[name](value.view(len(x), 1), keep)
        return self.network(x, t, signal.pooled())


def network(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> FlowLetNetwork:
    """FlowLet's network from its own tensor names and configuration.

    config: the U-Net's keyword names (`model_channels`) or the command line's (`unet_model_channels`).
    Raises CheckpointError where weights and configuration do not match.
    """
    state, conditions = translate(weights)
    module = FlowLetNetwork(unet_config(config, weights), conditions)
    missing = sorted(set(module.state_dict()) ^ set(state))
    if missing:
        raise CheckpointError(
            f"weights and config do not match: {len(missing)} tensors differ, the first is {missing[0]!r}"
        )
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        shapes = str(error).splitlines()[1:2]
        raise CheckpointError(f"weights and config do not match:{''.join(shapes)}") from None
    return module.eval()
