"""Where samplers start in tests, and the noise that they draw."""

import torch
from torch import Tensor


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def start() -> Tensor:
    return torch.randn(2, 4, 5, generator=seeded(), dtype=torch.float64)


def drawing(seed: int):
    generator = seeded(seed)
    return lambda like: torch.randn(like.shape, generator=generator, dtype=like.dtype)
