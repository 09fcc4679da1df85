"""How anything is fitted: what the training of generators and of autoencoders have in common."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from brainweave.data.augment import Augment
from brainweave.part import Part

Beta = Annotated[float, Field(ge=0, lt=1)]


class Fitting(Part):
    """Steps, batches, rates, averages, validation.

    steps: optimiser steps; epochs: passes over the cohort instead. batch: volumes per step and
    process; accumulate: batches per step. lr falls along a cosine to lr_end after `warmup` steps.
    ema: decay of the averaged weights, the ones that are kept (None: the raw weights), itself
    warmed up as (1 + step) / (10 + step). precision: of the network's arithmetic. validate_every,
    save_every: in steps. patience: validations without improvement before stopping (0: never);
    with it the best weights are kept instead of the last. compile: torch.compile the network.
    balance: volumes of a modality are drawn as often as there are of it to the power of 1 - this
    (0: as often as there are, 1: all modalities alike; WFDM takes 0.7); noted in the journal.
    start: content hash of the weights that training began from (None: random ones).
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
    precision: Literal["float32", "bf16"] = "float32"
    seed: int = Field(default=0, ge=0)
    validation: float = Field(default=0.1, ge=0, lt=1)
    validate_every: int = Field(default=500, ge=1)
    save_every: int = Field(default=250, ge=1)
    patience: int = Field(default=0, ge=0)
    workers: int = Field(default=0, ge=0)
    compile: bool = False
    augment: Augment | None = None
    balance: float = Field(default=0.0, ge=0, le=1)
    start: str | None = None

    @model_validator(mode="after")
    def _one_length(self) -> "Fitting":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        return self

    def total_steps(self, volumes: int, processes: int = 1) -> int:
        """Optimiser steps of the whole run."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, self.epochs * volumes // (self.batch * self.accumulate * processes))
