"""Where a process lives: the coefficients of a representation, less the mean head of an atlas."""

from collections.abc import Mapping

from torch import Tensor

from brainweave.conditions.hiding import Keep
from brainweave.maps import Maps
from brainweave.representations.base import Representation, exact


class Space:
    """What a process works in: coefficients, and with an atlas what differs from their mean."""

    def __init__(
        self,
        representation: Representation,
        maps: Maps | None,
        values: Mapping[str, Tensor],
        keep: Keep,
    ) -> None:
        self.representation = representation
        self.atlas = None if maps is None else (maps(values, keep), maps.scale)

    def finish(self, prepared: Tensor) -> Tensor:
        """Of what the representation has prepared."""
        return self._less_mean(self.representation.finish(prepared))

    def encode(self, volume: Tensor) -> Tensor:
        """Of volumes."""
        return self._less_mean(self.representation.encode(volume))

    def decode(self, data: Tensor) -> Tensor:
        """Volumes."""
        if self.atlas is not None:
            mean, scale = self.atlas
            data = exact(data) * scale + mean
        return self.representation.decode(data)

    def apart(self, other: "Space") -> Tensor | None:
        """What data are more there than here; None without an atlas."""
        if self.atlas is None or other.atlas is None:
            return None
        (mean, scale), (its, _) = self.atlas, other.atlas
        return (mean - its) / scale

    def _less_mean(self, data: Tensor) -> Tensor:
        if self.atlas is None:
            return data
        mean, scale = self.atlas
        return (exact(data) - mean) / scale
