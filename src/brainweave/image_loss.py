"""An error in voxels beside that of coefficients: inside the head, apart from its brightness."""

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from brainweave.part import Part

LEAST = 1e-6  # mean squared error under which a volume is right, of a range of 1


class ImageLoss(Part):
    """The log of a volume's mean squared error in the head, so that every volume counts alike,
    easy or hard, as in a mean of decibels.

    free: share of the error that is taken after the best factor for the made volume. How bright a
    contrast is on its scale, which a single enhancing vessel sets, cannot be seen in the others: a
    network that is held to it learns it by heart from the anatomy of few subjects. 0 is plain.
    """

    free: float = Field(default=0.8, ge=0, le=1)

    def __call__(
        self,
        made: Float[Tensor, "b 1 i j k"],
        wanted: Float[Tensor, "b 1 i j k"],
        head: Bool[Tensor, "b 1 i j k"],
    ) -> Float[Tensor, "b"]:
        """One value per volume; volumes are on a scale from 0 to 1."""
        count = head.flatten(1).sum(1).clamp(min=1)
        made, wanted = (x.float() * head for x in (made, wanted))
        with torch.no_grad():
            factor = (made * wanted).flatten(1).sum(1) / made.square().flatten(1).sum(1).clamp(
                min=LEAST
            )
        freed = made * factor[:, None, None, None, None]
        plain, free = ((x - wanted).square().flatten(1).sum(1) / count for x in (made, freed))
        return (LEAST + (1 - self.free) * plain + self.free * free).log()
