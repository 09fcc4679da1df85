"""Recipes of autoencoders: everything that decides one and its training, as one frozen value."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from brainweave.data.cache import Keep
from brainweave.data.cohort import Cohort, canonical_modality
from brainweave.data.dataset import VolumeDataset
from brainweave.data.files import sha256
from brainweave.data.grid import Grid, Shape, spelled
from brainweave.data.preprocess import Preprocess
from brainweave.errors import RecipeError
from brainweave.fitting import Fitting
from brainweave.part import Part
from brainweave.representations.autoencoders import AutoencoderConfig


class Features(Part):
    """A published network: its maps of a volume and of what comes back are to be alike.

    network: medicalnet looks at volumes, radimagenet at `slices` random slices of each plane.
    weights: the authors' file. sha256: of its content, noted before step 1. depth: of medicalnet.
    """

    network: Literal["medicalnet", "radimagenet"] = "medicalnet"
    weights: str
    sha256: str = ""
    depth: Literal[10, 18, 34, 50, 101, 152, 200] = 10
    slices: int = Field(default=4, ge=1)

    def noted(self) -> "Features":
        """With the hash of its weights. Raises RecipeError where they are not there."""
        path = Path(self.weights)
        if not path.is_file():
            raise RecipeError(
                f"training.features.weights {path} is no file; give the weights of {self.network}, "
                "or training.features=none for detail without a network"
            )
        return self.replace(sha256=sha256(path))


class Adversary(Part):
    """The patch discriminator (arXiv:1611.07004, section 3.2, in 3D).

    width: channels of the first layer, doubled by each further one up to 8 times. layers: each
    halves the edges; one answer sees 38 voxels along an axis with three of them, 18 with two.
    """

    width: int = Field(default=32, ge=1)
    layers: int = Field(default=3, ge=1, le=5)


class AutoencoderTraining(Fitting):
    """How an autoencoder is fitted: to return volumes, from latents near N(0, 1).

    patch: edges of the random patches that are shown, about voxels of the head (None: whole
    volumes). whole_from: share of the run after which whole volumes are shown, one at a time.

    The loss is the mean absolute error and these, each times its weight, each a mean, so that no
    weight depends on the size of volumes or latents:
    kl: divergence from N(0, 1), in nats per number of the latents.
    wavelet: |difference| of encoder's and decoder's wavelet coefficients, summed over the levels
        and divided by the number of voxels: as they are orthonormal, in the unit of the error.
    perceptual: |difference| of detail at three scales, or of the maps of `features`.
    adversarial: (1 - D)^2 of the discriminator's answers D to what comes back, from the share
        `adversarial_from` of the run on; its weight rises on a line over the next twentieth.
    """

    patch: Shape | None = None
    whole_from: float = Field(default=1.0, ge=0, le=1)
    kl: float = Field(default=1e-3, ge=0)
    wavelet: float = Field(default=0.1, ge=0)
    perceptual: float = Field(default=0.0, ge=0)
    features: Features | None = None
    adversarial: float = Field(default=0.0, ge=0)
    adversarial_from: float = Field(default=0.5, ge=0, lt=1)
    adversary: Adversary = Adversary()

    @model_validator(mode="after")
    def _patches_are_judged(self) -> "AutoencoderTraining":
        least = 2**self.adversary.layers
        if self.adversarial and self.patch is not None and min(self.patch) < least:
            raise ValueError(
                f"patch {self.patch} is too small for a discriminator of {self.adversary.layers} "
                f"layers: {least} voxels along every axis are needed"
            )
        return self


class AutoencoderRecipe(Part):
    """An autoencoder and its training as one value.

    targets: the modalities that it compresses; every volume of every subject is an example.
    template: the grid that most of the training cohort has; set before step 1.
    """

    name: str
    source: str = ""
    targets: tuple[str, ...] = ("t1w",)
    preprocess: Preprocess
    template: Grid | None = None
    autoencoder: AutoencoderConfig
    training: AutoencoderTraining
    licence: str = "unspecified"

    @field_validator("targets", mode="before")
    @classmethod
    def _are_canonical(cls, names: Any) -> Any:
        """As t1w,T2 on a command line, or a list."""
        listed = names.split(",") if isinstance(names, str) else names
        if not isinstance(listed, Iterable):
            return names
        return tuple(dict.fromkeys(canonical_modality(str(name)) for name in listed))

    @field_validator("targets")
    @classmethod
    def _are_some(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not all(names) or not names:
            raise ValueError("at least one modality is needed, as t1w or t1w,t2w")
        return names

    @model_validator(mode="after")
    def _shapes_divide(self) -> "AutoencoderRecipe":
        shape, patch = self.preprocess.shape, self.training.patch
        self._require_multiple("preprocess.shape", shape)
        if patch is not None:
            self._require_multiple("training.patch", patch)
            if any(small > large for small, large in zip(patch, shape, strict=True)):
                raise ValueError(f"training.patch {patch} is larger than preprocess.shape {shape}")
        if self.autoencoder.in_channels != 1:
            raise ValueError(
                f"autoencoder.in_channels is {self.autoencoder.in_channels}: training compresses "
                "volumes one by one; set it to 1"
            )
        return self

    def _require_multiple(self, name: str, shape: Shape) -> None:
        factors = self.autoencoder.factors
        nearest = tuple(-(-edge // f) * f for edge, f in zip(shape, factors, strict=True))
        if nearest != shape:
            raise ValueError(
                f"{name} {shape} must be a multiple of {spelled(factors)} in every edge; "
                f"the next that is: {nearest}"
            )

    def dataset(
        self,
        cohort: Cohort,
        *,
        cache: Path | None = None,
        training: bool = False,
        keep: Keep | None = None,
    ) -> VolumeDataset:
        """Every volume of its targets, or what is to be kept in its place; see `VolumeDataset`."""
        return VolumeDataset(
            cohort,
            self.targets,
            self.preprocess,
            read=lambda _subject, _modality: {},
            cache=cache,
            augment=self.training.augment if training else None,
            keep=keep,
        )

    def fitted(self, _volumes: VolumeDataset, template: Grid) -> "AutoencoderRecipe":
        """This recipe with what is noted before step 1. Raises RecipeError where the weights of
        `training.features` are not there."""
        features, training = self.training.features, self.training
        if features is not None:
            training = training.replace(features=features.noted())
        return self.replace(template=template, training=training)

    def unfitted(self) -> "AutoencoderRecipe":
        """This recipe without what `fitted` noted: equal for equal requests."""
        features, training = self.training.features, self.training
        if features is not None:
            training = training.replace(features=features.replace(sha256=""))
        return self.replace(template=None, training=training)
