"""Recipes: everything that decides a model, as one frozen value."""

from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import Field, model_validator
from torch import Tensor

from brainweave.atlas import Atlas, require_modes, require_start
from brainweave.conditions.base import Condition, Covariate
from brainweave.conditions.choices import Choice
from brainweave.conditions.covariates import Category
from brainweave.conditions.images import Images, Mask
from brainweave.conditions.spacing import Spacing
from brainweave.data.cache import Keep
from brainweave.data.cohort import Cohort, Subject, canonical_modality
from brainweave.data.dataset import VolumeDataset
from brainweave.data.grid import Grid, spelled
from brainweave.data.patterns import Swap
from brainweave.data.preprocess import Preprocess
from brainweave.errors import ConditionError
from brainweave.fitting import Fitting
from brainweave.image_loss import ImageLoss
from brainweave.networks.base import NetworkConfig
from brainweave.part import Part, hint
from brainweave.processes.paths import DDPM
from brainweave.processes.process import Process
from brainweave.representations.base import Representation
from brainweave.representations.latent import Latent
from brainweave.sampling import Sampling

FOLD = ".fold"  # among values: of a subject's person, see `Regression`


class Training(Fitting):
    """How a network is fitted, by what all fitting has and this.

    drop_conditions: share of volumes that hear no condition, and share of each condition hidden
    alone. band_power: with a whitened representation, channels are weighted in the loss by this
    power of the number they are divided by (0: as `process.channel_weights` says; 2: as voxels).
    image_loss: added to the loss at t = 0, on the volume that the network's output means. swap:
    hides more, so that what is missing does not tell where a volume is from. minutes: no more steps
    than fit into this time from the command's start on; within: that number, found before step 1.
    """

    drop_conditions: float = Field(default=0.1, ge=0, lt=1)
    band_power: float = Field(default=0.0, ge=0)
    image_loss: ImageLoss | None = None
    swap: Swap | None = None
    minutes: float | None = Field(default=None, gt=0)
    within: int | None = Field(default=None, ge=1)

    def total_steps(self, volumes: int, processes: int = 1) -> int:
        total = super().total_steps(volumes, processes)
        return total if self.within is None else min(total, self.within)


class Recipe(Part):
    """A model and its training as one value.

    target: the modality it makes, or the name of the Category or Choice whose values are those that
    one model makes. template: the grid that generated volumes are written on, the training
    cohort's; set before step 1, as the statistics of a whitened representation are.
    """

    name: str
    source: str = ""
    target: str = Field(default="t1w", pattern=r"^[\w-]+$")  # names files
    preprocess: Preprocess
    template: Grid | None = None
    representation: Representation
    process: Process
    network: NetworkConfig
    conditions: tuple[Condition, ...] = ()
    atlas: Atlas | None = None
    training: Training
    sampling: Sampling = Sampling()
    licence: str = "unspecified"

    @model_validator(mode="after")
    def _shape_divides(self) -> "Recipe":
        factors, shape = self.factors, self.preprocess.shape
        nearest = tuple(-(-edge // f) * f for edge, f in zip(shape, factors, strict=True))
        if nearest != shape:
            raise ValueError(
                f"preprocess.shape {shape} must be a multiple of {spelled(factors)} in every edge "
                f"(representation x network); the next that is: {nearest}"
            )
        return self

    @model_validator(mode="after")
    def _conditions_fit(self) -> "Recipe":
        names = [condition.name for condition in self.conditions]
        if len(set(names)) < len(names):
            raise ValueError(f"two conditions have the same name: {', '.join(names)}")
        if self.covariates and not self.network.condition_width:
            raise ValueError("network.condition_width is 0 but there are conditions")
        images, informed = self.images, self.process.source.informed
        if informed and images is None:
            raise ValueError("process.source starts from images; give a condition Images")
        if sum(isinstance(c, Images) for c in self.conditions) > 1:
            raise ValueError("one condition Images is enough; give it all modalities")
        if self.preprocess.spacing and any(isinstance(c, Spacing) for c in self.conditions):
            raise ValueError("preprocess.spacing makes all alike; leave out the condition Spacing")
        if images is not None and images.regression is not None and not informed:
            raise ValueError("a regression is where source Informed starts; give that, or none")
        if images is not None and images.required and set(self.targets) & set(images.modalities):
            both = ", ".join(name for name in self.targets if name in images.modalities)
            raise ValueError(f"{both} is made and, among Images(required=true), needed as well")
        return self

    @model_validator(mode="after")
    def _channels_fit(self) -> "Recipe":
        channels = self.representation.channels
        for field, values in (
            ("process.channel_weights", self.process.channel_weights),
            ("process.path.offsets", getattr(self.process.path, "offsets", None)),
        ):
            if values is not None and len(values) != channels:
                raise ValueError(f"{field} has {len(values)} values for {channels} channels")
        if self.training.band_power and not self.representation.whiten:
            raise ValueError(
                "training.band_power needs a whitened representation; set representation.whiten "
                "above 0 or training.band_power=0"
            )
        return self

    @model_validator(mode="after")
    def _latents_fit(self) -> "Recipe":
        latent = self.representation
        if not isinstance(latent, Latent):
            return self
        wanted = {*self.targets, *self.inputs} - {*self.labels}
        latent.require_fitting(sorted(wanted), self.preprocess.intensity.range)
        in_voxels = {
            "training.augment": self.training.augment,
            "training.image_loss": self.training.image_loss,
            "sampling.clip": self.sampling.clip or None,
            "images.regression": self.images and self.images.regression,
        }
        for name, value in in_voxels.items():
            if value is not None:
                raise ValueError(
                    f"{name} works on voxels, latents are encoded once; set it to none"
                )
        return self

    @model_validator(mode="after")
    def _atlas_fits(self) -> "Recipe":
        require_modes(self.atlas, self.process)
        for times in self.sampling.grids:
            require_start(self.atlas, self.process, times)
        return self

    @model_validator(mode="after")
    def _process_fits(self) -> "Recipe":
        base = getattr(self.process.path, "path", self.process.path)
        if isinstance(base, DDPM) and getattr(self.network, "time_scale", 1.0) > 1:
            reason = "the clock of the path DDPM counts its steps already"
            raise ValueError(f"{reason}; set network.time_scale=1")
        looks = self.training.image_loss is not None and not self.process.path.wants_energies
        if looks and self.process.first_time:
            raise ValueError(
                f"training.image_loss looks at t = 0, where {self.process.prediction} does not say "
                "what the data are, or before process.begin; predict velocity or data, begin at 0"
            )
        self.sampling.require(self.process)
        return self

    def fitted(self, volumes: VolumeDataset, template: Grid) -> "Recipe":
        """This recipe with all that is measured on the training cohort, before step 1."""
        plain = volumes.plain()
        representation = self.representation.fit(plain.made())
        process, path = self.process, self.process.path
        if path.wants_energies:
            process = process.replace(path=path.fit(representation.energies(plain.made())))
        if self.training.band_power:
            assert representation.std is not None
            weights = [std**self.training.band_power for std in representation.std]
            process = process.replace(channel_weights=tuple(w / sum(weights) for w in weights))
        return self.replace(
            template=template,
            representation=representation,
            process=process,
            training=self.training.replace(within=None),
        )

    def unfitted(self) -> "Recipe":
        """This recipe without what `fitted` measured: equal for equal requests."""
        weights = None if self.training.band_power else self.process.channel_weights
        path = self.process.path.unfitted()
        return self.replace(
            template=None,
            representation=self.representation.unfitted(),
            process=self.process.replace(path=path, channel_weights=weights),
            training=self.training.replace(within=None),
        )

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Channels and edges of the coefficients of one volume."""
        edges = zip(self.preprocess.shape, self.representation.factors, strict=True)
        i, j, k = (edge // factor for edge, factor in edges)
        return self.representation.channels, i, j, k

    @property
    def factors(self) -> tuple[int, int, int]:
        """What the edges of a volume must be multiples of."""
        i, j, k = (factor * self.network.factor for factor in self.representation.factors)
        return i, j, k

    @property
    def targets(self) -> tuple[str, ...]:
        """The modalities that it makes."""
        for condition in self.covariates:
            if condition.name == self.target and isinstance(condition, Category | Choice):
                return tuple(canonical_modality(value) for value in condition.values)
        return (self.target,)

    def asked(self, values: Mapping[str, Tensor]) -> list[str]:
        """The modality that each row of values is to become; the first where that is not known."""
        rows = len(next(iter(values.values())))
        if len(self.targets) == 1 or self.target not in values:
            return [self.targets[0]] * rows
        return [self.targets[int(i)] for i in values[self.target][:, 0].nan_to_num(0.0).tolist()]

    @property
    def covariates(self) -> tuple[Covariate, ...]:
        """The conditions that are known of a subject."""
        return tuple(c for c in self.conditions if isinstance(c, Covariate))

    @property
    def images(self) -> Images | None:
        """The condition of the other images, if it has one."""
        return next((c for c in self.conditions if isinstance(c, Images)), None)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The modalities whose volumes its conditions hear."""
        return tuple(dict.fromkeys(name for c in self.conditions for name in c.images))

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of `inputs` that are label maps."""
        return tuple(name for c in self.conditions if isinstance(c, Mask) for name in c.images)

    def read(self, subject: Subject, modality: str) -> dict[str, Tensor]:
        """The covariates of a subject whose volume of `modality` is made, [1] each, and the fold
        of its person where there is a regression."""
        fold = {}
        if self.images is not None and self.images.regression is not None:
            fold = {FOLD: torch.tensor([float(self.images.regression.fold(subject.subject))])}
        return fold | {
            c.name: torch.tensor([float(self.targets.index(modality))])
            if c.name == self.target
            else c.read(subject, modality)
            for c in self.covariates
        }

    def dataset(
        self, cohort: Cohort, *, cache: Path | None = None, training: bool = False
    ) -> VolumeDataset:
        """The volumes of its targets with all that its conditions need; see `VolumeDataset`.
        training: augmented and with values hidden, as training shows them."""
        keeps = self.representation.keeps
        return VolumeDataset(
            cohort,
            self.targets,
            self.preprocess,
            read=self.read,
            cache=cache,
            augment=self.training.augment if training else None,
            swap=self.training.swap if training else None,
            images=self.inputs,
            labels=self.labels,
            keep=None if keeps is None else Keep(keeps, self.representation.prepare),
        )

    def condition(self, name: str) -> Covariate:
        """The covariate of that name. Raises ConditionError with the nearest known name."""
        for condition in self.covariates:
            if condition.name == name:
                return condition
        known = [*(condition.name for condition in self.covariates), *self.inputs]
        raise ConditionError(f"the model has no condition {name!r}{hint(name, known)}")
