"""Recipes: everything that decides a model, as one frozen value."""

from collections.abc import Iterable
from typing import Annotated, Literal

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from brainweave.conditions.base import Condition
from brainweave.data.augment import Augment
from brainweave.data.grid import Grid
from brainweave.data.preprocess import Preprocess
from brainweave.errors import ConditionError
from brainweave.networks.base import NetworkConfig
from brainweave.part import Part, hint
from brainweave.processes.paths import DDPM
from brainweave.processes.process import Process
from brainweave.processes.samplers import SAMPLERS
from brainweave.representations.base import Representation

Beta = Annotated[float, Field(ge=0, lt=1)]


class Training(Part):
    """How a network is fitted.

    steps: optimiser steps; epochs: passes over the cohort instead. batch: volumes per step and
    process; accumulate: batches per step. lr falls along a cosine to lr_end after `warmup` steps.
    ema: decay of the averaged weights, the ones that are kept (None: the raw weights), itself
    warmed up as (1 + step) / (10 + step). drop_conditions: share of volumes that hear no condition,
    and share of each condition hidden alone. precision: of the network's arithmetic.
    validate_every, save_every: in steps. patience: validations without improvement before stopping
    (0: never); with it the best weights are kept instead of the last. compile: torch.compile the
    network. band_power: with a whitened representation, channels are weighted in the loss by this
    power of the number they are divided by (0: as `process.channel_weights` says; 2: as voxels).
    """

    steps: int | None = Field(default=None, ge=1)
    epochs: int | None = Field(default=None, ge=1)
    batch: int = Field(default=4, ge=1)
    accumulate: int = Field(default=1, ge=1)
    lr: float = Field(default=1e-4, gt=0)
    lr_end: float = Field(default=1e-6, ge=0)
    warmup: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    grad_clip: float | None = Field(default=1.0, gt=0)
    ema: float | None = Field(default=0.999, ge=0, lt=1)
    drop_conditions: float = Field(default=0.1, ge=0, lt=1)
    precision: Literal["float32", "bf16"] = "float32"
    seed: int = Field(default=0, ge=0)
    validation: float = Field(default=0.1, ge=0, lt=1)
    validate_every: int = Field(default=500, ge=1)
    save_every: int = Field(default=250, ge=1)
    patience: int = Field(default=0, ge=0)
    workers: int = Field(default=0, ge=0)
    compile: bool = False
    augment: Augment | None = None
    band_power: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _one_length(self) -> "Training":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        return self

    def total_steps(self, subjects: int, processes: int = 1) -> int:
        """Optimiser steps of the whole run."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, self.epochs * subjects // (self.batch * self.accumulate * processes))


class Sampling(Part):
    """How volumes are drawn.

    guidance: classifier-free scale, 1 for none; guidance_interval: times in [0, 1] where it acts.
    clip: keep every estimate of the data inside the intensity range, in voxels. floor: intensities
    below this share of the range become background at the end. shift: above 1, more of the steps
    near noise (see `grids.shifted`). eta: share of noise that ddim draws anew. variance: of the
    noise that ancestral adds, its upper or lower bound ("large" where not given).
    """

    sampler: str = "euler"
    steps: int = Field(default=20, ge=1)
    guidance: float = Field(default=1.0, ge=0)
    guidance_interval: tuple[float, float] | None = None
    clip: bool = False
    floor: float = Field(default=0.0, ge=0, lt=1)
    shift: float = Field(default=1.0, gt=0)
    eta: float | None = Field(default=None, ge=0, le=1)
    variance: Literal["large", "small"] | None = None

    @model_validator(mode="after")
    def _sampler_exists(self) -> "Sampling":
        if self.sampler not in SAMPLERS:
            raise ValueError(f"unknown sampler {self.sampler!r}{hint(self.sampler, SAMPLERS)}")
        for option, sampler in (("eta", "ddim"), ("variance", "ancestral")):
            if getattr(self, option) is not None and self.sampler != sampler:
                raise ValueError(f"{option} is for sampler {sampler}, not for {self.sampler}")
        return self

    @model_validator(mode="after")
    def _interval_rises(self) -> "Sampling":
        interval = self.guidance_interval
        if interval is not None and not 0 <= interval[0] < interval[1] <= 1:
            raise ValueError(f"guidance_interval needs 0 <= low < high <= 1, got {interval}")
        return self

    @property
    def options(self) -> dict[str, float | str]:
        """What its sampler alone takes."""
        given = {"eta": self.eta, "variance": self.variance}
        return {name: value for name, value in given.items() if value is not None}


class Recipe(Part):
    """A model and its training as one value.

    target: the modality it makes. template: the grid that generated volumes are written on, the
    training cohort's; set before step 1, as the statistics of a whitened representation are.
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
    training: Training
    sampling: Sampling = Sampling()
    licence: str = "unspecified"

    @model_validator(mode="after")
    def _parts_fit(self) -> "Recipe":
        factor = self.representation.factor * self.network.factor
        shape = self.preprocess.shape
        if any(edge % factor for edge in shape):
            nearest = tuple(-(-edge // factor) * factor for edge in shape)
            raise ValueError(
                f"preprocess.shape {shape} must be a multiple of {factor} in every edge "
                f"(representation x network); the next that is: {nearest}"
            )
        names = [condition.name for condition in self.conditions]
        if len(set(names)) < len(names):
            raise ValueError(f"two conditions have the same name: {', '.join(names)}")
        if self.conditions and not self.network.condition_width:
            raise ValueError("network.condition_width is 0 but there are conditions")
        weights = self.process.channel_weights
        if weights is not None and len(weights) != self.representation.channels:
            raise ValueError(
                f"process.channel_weights has {len(weights)} values for "
                f"{self.representation.channels} channels"
            )
        if self.training.band_power and not self.representation.whiten:
            raise ValueError(
                "training.band_power needs a whitened representation; set representation.whiten "
                "above 0 or training.band_power=0"
            )
        if isinstance(self.process.path, DDPM) and getattr(self.network, "time_scale", 1.0) > 1:
            raise ValueError(
                "the clock of the path DDPM counts its steps already; set network.time_scale=1"
            )
        return self

    def fitted(self, volumes: Iterable[Float[Tensor, "b 1 i j k"]], template: Grid) -> "Recipe":
        """This recipe with all that is measured on the training cohort, before step 1."""
        representation = self.representation.fit(volumes)
        process = self.process
        if self.training.band_power:
            assert representation.std is not None
            weights = [std**self.training.band_power for std in representation.std]
            weights = [weight / sum(weights) for weight in weights]
            process = process.replace(channel_weights=tuple(weights))
        return self.replace(template=template, representation=representation, process=process)

    def unfitted(self) -> "Recipe":
        """This recipe without what `fitted` measured: equal for equal requests."""
        representation = self.representation
        if representation.whiten:
            representation = representation.replace(mean=None, std=None)
        process = self.process
        if self.training.band_power:
            process = process.replace(channel_weights=None)
        return self.replace(template=None, representation=representation, process=process)

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Channels and edges of the coefficients of one volume."""
        i, j, k = (edge // self.representation.factor for edge in self.preprocess.shape)
        return self.representation.channels, i, j, k

    def condition(self, name: str) -> Condition:
        """The condition of that name. Raises ConditionError with the nearest known name."""
        for condition in self.conditions:
            if condition.name == name:
                return condition
        known = [condition.name for condition in self.conditions]
        raise ConditionError(f"the model has no condition {name!r}{hint(name, known)}")
