"""brainmint's WaveletFusionAutoencoder, the compressor of WFDM (arXiv:2606.00689), from its own
weights: same numbers, our modules."""

import re
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from brainweave.errors import CheckpointError, RecipeError
from brainweave.interop.checkpoints import fill
from brainweave.interop.monai_config import fields_of
from brainweave.interop.monai_layers import (
    Found,
    doubling,
    layers_of,
    numbered,
    our_names,
    require,
    told,
)
from brainweave.representations.autoencoders import WaveletFusion, WaveletFusionConfig
from brainweave.representations.haar import haar_kernels

_FLOWS = {  # theirs, where the second wavelets flow in and out: ours
    "encoder.wavelet_transform.stage2_conv_out.": "inflow.0.conv.",
    "decoder.inv_wavelet_transform.stage2_conv_in.": "outflow.0.conv.",
}
_FILTER = re.compile(r"\.stage[12](?:_inverse)?\.(h|g|hh|gh)(_v)?(?:_conv\.weight)?$")
_FILTERS = ("h", "g", "hh", "gh")  # LLL, LLH, LHL, LHH; with _v the first letter is H
_ROUNDED = 0.3536  # what brainmint writes for 8 ** -0.5


def autoencoder(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> WaveletFusion:
    """brainmint's autoencoder from its own tensor names and configuration, in eval mode.

    config: keywords of the class, of which the weights do not tell norm_num_groups (32 if not said)
    and norm_eps (1e-6). The gain of its wavelets is read off their filters. Raises CheckpointError
    where weights and configuration do not match.
    """
    state = our_names(weights)
    gain, parts = _gain(state), _parts(state)
    fields = fields_of(config, {**_found(**parts), **doubling(weights)})
    upsample = "transposed_2" if fields.pop("transposed") else "nearest"
    try:
        module = WaveletFusionConfig(**fields, upsample=upsample, haar_gain=gain).build()
    except RecipeError as error:
        raise CheckpointError(f"the configuration does not fit the weights: {error}") from None
    for theirs, ours in _FLOWS.items():
        state = {name.replace(theirs, ours): tensor for name, tensor in state.items()}
    for place, layers in parts.items():
        state |= numbered(layers, place)
    fill(module, state)
    return module.eval()


def _parts(state: dict[str, Tensor]) -> dict[str, list[Found]]:
    """Takes the layers out of a state: those of each part of ours."""
    fine, *coarser = layers_of(state, "encoder.stages")
    *coarse, finest = layers_of(state, "decoder.stages")
    return {
        "fine_encoder": [_convolution(state, "encoder.wavelet_transform.stage1_conv_out"), *fine],
        "coarse_encoder": list(chain(*coarser)),
        "coarse_decoder": list(chain(*coarse)),
        "fine_decoder": [
            *finest,
            _convolution(state, "decoder.inv_wavelet_transform.stage1_conv_in"),
        ],
    }


def _found(
    *,
    fine_encoder: list[Found],
    coarse_encoder: list[Found],
    coarse_decoder: list[Found],
    fine_decoder: list[Found],
) -> dict[str, Any]:
    """The fields of ours that the weights tell."""
    require([fine_encoder[-1], *coarse_encoder[-2:]], ("convolution", "norm", "convolution"))
    require([*coarse_decoder[:1], *fine_decoder[-2:]], ("convolution", "norm", "convolution"))
    encoder = [*fine_encoder[1:], *coarse_encoder[:-2]]
    decoder = [*coarse_decoder[1:], *fine_decoder[:-2]]
    bands, flow = fine_encoder[0].channels
    return {
        "in_channels": bands // 8,
        "out_channels": fine_decoder[-1].channels[1] // 8,
        "latent_channels": coarse_encoder[-1].channels[1],
        "flow": flow,
        **told(encoder, decoder),
    }


def _convolution(state: dict[str, Tensor], place: str) -> Found:
    """Takes one out of a state."""
    names = [f"{place}.{part}" for part in ("weight", "bias")]
    if missing := [name for name in names if name not in state]:
        raise CheckpointError(
            f"the weights are not those of brainmint's autoencoder: {missing[0]} is missing"
        )
    weight, bias = (state.pop(name) for name in names)
    return Found({"weight": weight, "bias": bias})


def _gain(state: dict[str, Tensor]) -> float:
    """Takes the wavelets' filters out of a state: all are Haar's, times one number."""
    gains, kernels = [], haar_kernels(1).sign()
    for name in list(state):
        if match := _FILTER.search(name):
            kernel = kernels[_FILTERS.index(match[1]) + (4 if match[2] else 0)]
            gains.append(state.pop(name).double().flatten() * kernel.flatten())
    if not gains:
        return _ROUNDED
    found = torch.stack(gains)
    if float(found.max() - found.min()) > 1e-6 or float(found.min()) <= 0:
        raise CheckpointError("the weights have wavelets other than Haar's: not supported")
    return float(found.mean())
