"""Volumes of the same subject: its other images, a label map."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field, field_validator
from torch import Tensor, nn

from brainweave.conditions.base import Condition, Encode, Signal
from brainweave.conditions.guess import Guess
from brainweave.conditions.regression import Regression
from brainweave.data.cohort import canonical_modality
from brainweave.errors import ConditionError

Volumes = Mapping[str, Tensor]  # by modality, [b _ i j k]; there may be other values beside


class Images(Condition):
    """Whichever of the other images there are, as planes beside x_t.

    Every image gives its coefficients, zero where it is missing, and a plane that says whether it
    is there. required: all must be there and no such planes are made, as in cWDM
    (arXiv:2411.17203). keep: in training an image is kept with this probability, one always, so
    that one network learns every subset; without effect where all are required. regression: an
    informed source then starts from its guess instead of the mean of the images; see `Guess`.
    """

    name: str = "images"
    modalities: tuple[str, ...] = Field(min_length=1)
    required: bool = False
    keep: Annotated[float, Field(gt=0, le=1)] = 1.0
    regression: Regression | None = None

    @field_validator("modalities")
    @classmethod
    def _are_canonical(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        canonical = tuple(canonical_modality(name) for name in names)
        if len(set(canonical)) < len(canonical):
            raise ValueError("two of them are the same modality")
        return canonical

    @property
    def images(self) -> tuple[str, ...]:
        return self.modalities

    def planes(self, channels: int) -> int:
        return len(self.modalities) * (channels if self.required else channels + 1)

    def embedder(self, width: int, encode: Encode) -> nn.Module:
        return ImagesEmbedder(self, encode)

    def guess(self, targets: Sequence[str]) -> Guess | None:
        """What its regression is to find, yet unfitted."""
        found = self.regression
        return None if found is None else Guess(found, targets, self.modalities)

    def mean(self, values: Volumes, low: float) -> Float[Tensor, "b _ i j k"]:
        """Of those that are there, as the representation prepares them; `low`, the lowest
        intensity, where none is."""
        return torch.stack([values[name] for name in self.modalities]).nanmean(0).nan_to_num(low)

    def require(self, values: Volumes, *, one: bool) -> None:
        """Raises ConditionError where an image that is `required`, or `one` of all, is missing."""
        there = available(values, self.modalities)
        if self.required and not there.all():
            raise ConditionError(f"the model needs all of {', '.join(self.modalities)}")
        if one and not there.any(1).all():
            raise ConditionError(f"the model needs one or more of {', '.join(self.modalities)}")

    def thinned(self, values: Volumes, generator: torch.Generator | None) -> dict[str, Tensor]:
        """`values` with a random subset of the images that are there, never none of them."""
        there = available(values, self.modalities)
        if self.required or self.keep == 1:
            return dict(values)
        device = there.device if generator is None else generator.device
        draws = torch.rand(there.shape, generator=generator, device=device).to(there.device)
        draws = torch.where(there, draws, torch.inf)
        kept = (draws < self.keep) | (draws == draws.amin(1, keepdim=True))
        shown = dict(values)
        for name, keep in zip(self.modalities, (kept & there).T, strict=True):
            shown[name] = torch.where(keep[:, None, None, None, None], values[name], torch.nan)
        return shown


class Mask(Condition):
    """A label map as planes beside x_t: the coefficients of one 0/1 volume per label, and a plane
    that says whether there is a map. name: its modality. labels: values of its voxels."""

    name: str = "seg"
    labels: tuple[int, ...] = Field(min_length=1)

    @property
    def images(self) -> tuple[str, ...]:
        return (canonical_modality(self.name),)

    def planes(self, channels: int) -> int:
        return len(self.labels) * channels + 1

    def embedder(self, width: int, encode: Encode) -> nn.Module:
        return MaskEmbedder(self, encode)


class ImagesEmbedder(nn.Module):
    """(volumes by modality, keep) -> planes; a missing or hidden image is zero."""

    def __init__(self, condition: Images, encode: Encode) -> None:
        super().__init__()
        self.condition, self.encode = condition, encode

    def forward(self, values: Volumes, keep: Bool[Tensor, "b"]) -> Signal:
        names = self.condition.modalities
        there = available(values, names) & keep[:, None]
        planes = [coefficients(values[name], self.encode) for name in names]
        planes = [
            torch.where(seen[:, None, None, None, None], plane, 0.0)
            for plane, seen in zip(planes, there.T, strict=True)
        ]
        if not self.condition.required:
            planes += [_spread(there, planes[0])]
        return Signal(planes=torch.cat(planes, dim=1))


class MaskEmbedder(nn.Module):
    """(label map by its modality, keep) -> planes."""

    def __init__(self, condition: Mask, encode: Encode) -> None:
        super().__init__()
        self.condition, self.encode = condition, encode

    def forward(self, values: Volumes, keep: Bool[Tensor, "b"]) -> Signal:
        labels = values[self.condition.images[0]]
        there = available(values, self.condition.images) & keep[:, None]
        layers = [self.encode((labels.round() == label).float()) for label in self.condition.labels]
        planes = [torch.where(there[:, :, None, None, None], layer, 0.0) for layer in layers]
        return Signal(planes=torch.cat([*planes, _spread(there, planes[0])], dim=1))


def available(values: Volumes, names: tuple[str, ...]) -> Bool[Tensor, "b n"]:
    """Which volumes are there: those without NaN."""
    return torch.stack([~values[name].isnan().flatten(1).any(1) for name in names], dim=1)


def coefficients(volume: Float[Tensor, "b _ i j k"], encode: Encode) -> Float[Tensor, "b c _ _ _"]:
    """Of volumes, zero where one is missing."""
    there = ~volume.isnan().flatten(1).any(1)[:, None, None, None, None]
    return torch.where(there, encode(volume.nan_to_num(0.0)), 0.0)


def _spread(there: Bool[Tensor, "b n"], like: Tensor) -> Tensor:
    """0 or 1 per volume and column, in every voxel."""
    return there.to(like)[:, :, None, None, None].expand(-1, -1, *like.shape[2:])
