"""MAISI's autoencoder (arXiv:2409.11169), MONAI's AutoencoderKlMaisi, from its own weights: same
numbers, our modules."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from brainweave.errors import CheckpointError
from brainweave.interop.autoencoder_kl import OF_MAISI, interpolating
from brainweave.representations.autoencoders import AutoencoderKL


def autoencoder(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> AutoencoderKL:
    """MAISI's autoencoder from its own tensor names and configuration, in eval mode.

    config: keywords of the class, of which the weights do not tell norm_num_groups (32 if not
    said), norm_eps (1e-6) and use_convtranspose (false). In how many parts its code convolves
    (num_splits) means nothing here: slabs are exact. Raises CheckpointError where weights and
    configuration do not match.
    """
    if not any(OF_MAISI.search(name) for name in weights):
        raise CheckpointError(
            "the weights are not those of MAISI's autoencoder (encoder.blocks.0.conv.conv.weight "
            "is missing); import those of MONAI's AutoencoderKL as monai"
        )
    return interpolating(weights, config, "trilinear")
