"""The volume itself."""

from jaxtyping import Float
from torch import Tensor

from brainweave.representations.base import Representation


class Voxel(Representation):
    """No transform: one channel at full resolution."""

    @property
    def channels(self) -> int:
        return 1

    @property
    def factors(self) -> tuple[int, int, int]:
        return 1, 1, 1

    def transform(self, prepared: Float[Tensor, "b 1 i j k"]) -> Float[Tensor, "b 1 i j k"]:
        return prepared

    def invert(self, coefficients: Float[Tensor, "b 1 i j k"]) -> Float[Tensor, "b 1 i j k"]:
        return coefficients
