"""Autoencoders in float64, volumes for them, and how near is equal."""

import torch
from torch import Tensor

from brainweave.representations.autoencoders import Autoencoder, AutoencoderConfig


def built(config: AutoencoderConfig) -> Autoencoder:
    torch.manual_seed(0)
    return config.build().double().eval().requires_grad_(False)


def volume(*shape: int, kind: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=kind)


def near(found: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    scale = float(expected.detach().abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * scale)
