"""Random patches of volumes, about their heads."""

import torch
from jaxtyping import Float
from torch import Tensor

from brainweave.data.grid import Shape


def patches(
    volumes: Float[Tensor, "b 1 i j k"],
    shape: Shape,
    random: torch.Generator,
    *,
    background: float,
) -> Float[Tensor, "b 1 _ _ _"]:
    """One patch of each volume, about a voxel above `background` that `random` draws on the CPU,
    moved inside where it would reach beyond the volume; any voxel where none is above."""
    return torch.stack([_patch(volume, shape, random, background) for volume in volumes])


def _patch(
    volume: Float[Tensor, "1 i j k"], shape: Shape, random: torch.Generator, background: float
) -> Float[Tensor, "1 _ _ _"]:
    inside = (volume[0] > background).flatten().nonzero()[:, 0]
    count = len(inside) or volume.numel()
    drawn = int(torch.randint(count, (1,), generator=random))
    place = int(inside[drawn]) if len(inside) else drawn
    for axis, size in reversed(list(enumerate(shape, start=1))):
        edge = volume.shape[axis]
        place, centre = divmod(place, edge)
        volume = volume.narrow(axis, min(max(centre - size // 2, 0), edge - size), size)
    return volume
