"""MONAI's AutoencoderKL from its own weights: same numbers, our modules."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from brainweave.errors import CheckpointError, RecipeError
from brainweave.interop.checkpoints import fill
from brainweave.interop.monai_config import fields_of
from brainweave.interop.monai_layers import (
    doubling,
    layers_of,
    numbered,
    our_names,
    require,
    told,
)
from brainweave.representations.autoencoders import AutoencoderKL, AutoencoderKLConfig

OF_MAISI = re.compile(r"(^|\.)encoder\.blocks\.0\.conv\.conv\.weight$")
_SIDES = ("encoder", "decoder")


def autoencoder(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> AutoencoderKL:
    """MONAI's AutoencoderKL from its own tensor names and configuration, in eval mode.

    The weights may be those of MONAI or of MONAI GenerativeModels. config: keywords of the class,
    of which the weights do not tell norm_num_groups (32 if not said), norm_eps (1e-6) and, those of
    GenerativeModels, use_convtranspose (false). Raises CheckpointError where the two do not match.
    """
    if any(OF_MAISI.search(name) for name in weights):
        raise CheckpointError(
            "the weights are those of MAISI's autoencoder, which interpolates otherwise; "
            "import them as maisi"
        )
    return interpolating(weights, config, "nearest")


def interpolating(
    weights: Mapping[str, Tensor], config: Mapping[str, Any], how: str
) -> AutoencoderKL:
    """The same of MONAI's or MAISI's; how: by which interpolation the resolution is doubled."""
    state = our_names(weights)
    (encoder,), (decoder,) = (layers_of(state, f"{side}.blocks") for side in _SIDES)
    for layers in (encoder, decoder):
        require([*layers[:1], *layers[-2:]], ("convolution", "norm", "convolution"))
    found = {
        "in_channels": encoder[0].channels[0],
        "out_channels": decoder[-1].channels[1],
        "latent_channels": encoder[-1].channels[1],
        **told(encoder[1:-2], decoder[1:-2]),
        **doubling(weights),
    }
    fields = fields_of(config, found)
    if fields.pop("transposed"):
        how = "transposed_2" if found.get("transposed") else "transposed_3"
    try:
        module = AutoencoderKLConfig(**fields, upsample=how).build()
    except RecipeError as error:
        raise CheckpointError(f"the configuration does not fit the weights: {error}") from None
    fill(module, {**state, **numbered(encoder, "encoder"), **numbered(decoder, "decoder")})
    return module.eval()
