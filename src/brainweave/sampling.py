"""How volumes are drawn from a model, as one frozen value."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from brainweave.errors import RecipeError
from brainweave.part import Part, hint
from brainweave.processes import grids
from brainweave.processes.paths import DDPM
from brainweave.processes.process import Process
from brainweave.processes.samplers import SAMPLERS
from brainweave.toning import Curve, require_rising, toned

Scale = Annotated[float, Field(ge=0)]


class Sampling(Part):
    """How volumes are drawn.

    guidance: classifier-free scale, 1 for none; guidance_by: the scale of single conditions in its
    place, by their name (see `guide`); guidance_interval: times in [0, 1] where they act.
    clip: keep every estimate of the data inside the intensity range, in voxels. floor: intensities
    below this share of the range become background at the end. shift: above 1, more of the steps
    near noise (see `grids.shifted`). eta: share of noise that ddim draws anew. grids: times to
    stop at, each rising from the first, such as those that `brainweave tune` finds; one with as
    many times as there are steps is used in place of shift. mirror: the mean with what is made of
    the images mirrored left and right, at twice the calls. strength: how much of the way from an
    informed source to the result is gone: below 1 where the source is a good guess and the network
    learnt from few subjects. masked: where all images are background, so is the volume. tone:
    intensities at the end, as made and as they become, shares of the range, such as
    `brainweave tone` finds; straight in between.
    """

    sampler: str = "euler"
    steps: int = Field(default=20, ge=1)
    guidance: float = Field(default=1.0, ge=0)
    guidance_by: Mapping[str, Scale] | None = None
    guidance_interval: tuple[float, float] | None = None
    clip: bool = False
    floor: float = Field(default=0.0, ge=0, lt=1)
    shift: float = Field(default=1.0, gt=0)
    eta: float | None = Field(default=None, ge=0, le=1)
    grids: tuple[tuple[float, ...], ...] = ()
    mirror: bool = False
    strength: float = Field(default=1.0, gt=0, le=1)
    masked: bool = False
    tone: Curve = ()

    @model_validator(mode="after")
    def _sampler_exists(self) -> "Sampling":
        if self.sampler not in SAMPLERS:
            raise ValueError(f"unknown sampler {self.sampler!r}{hint(self.sampler, SAMPLERS)}")
        if self.eta is not None and self.sampler != "ddim":
            raise ValueError(f"eta is for sampler ddim, not for {self.sampler}")
        return self

    @model_validator(mode="after")
    def _interval_rises(self) -> "Sampling":
        interval = self.guidance_interval
        if interval is not None and not 0 <= interval[0] < interval[1] <= 1:
            raise ValueError(f"guidance_interval needs 0 <= low < high <= 1, got {interval}")
        return self

    @model_validator(mode="after")
    def _grids_rise(self) -> "Sampling":
        for times in self.grids:
            grids.listed(times)
        return self

    @model_validator(mode="after")
    def _tone_rises(self) -> "Sampling":
        require_rising(self.tone)
        return self

    def finished(
        self, volume: Float[Tensor, "*shape"], low: float, high: float
    ) -> Float[Tensor, "*shape"]:
        """A volume inside its range, with its background and its tone."""
        share = ((volume - low) / (high - low)).clamp(0, 1)
        share = torch.where(share <= self.floor, 0.0, share) if self.floor else share
        return low + (high - low) * toned(share, self.tone)

    def told(
        self,
        *,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        guidance_by: Mapping[str, float] | None = None,
        times: Sequence[float] | None = None,
    ) -> "Sampling":
        """This sampling with what a user says in place of what it had. times: where the steps
        begin, which says how many there are. guidance: of all conditions, whatever single ones had,
        unless guidance_by names them. Raises RecipeError where both are given."""
        said: dict[str, Any] = {"steps": steps, "sampler": sampler}
        said |= {"guidance": guidance, "guidance_by": guidance_by}
        changes = {name: word for name, word in said.items() if word is not None}
        if guidance is not None and guidance_by is None:
            changes["guidance_by"] = None
        if sampler not in (None, self.sampler):
            changes["eta"] = None
        if times is not None:
            if steps is not None:
                raise RecipeError("--times says how many steps there are; leave --steps out")
            begin = tuple(time for time in times if time != 1)
            changes |= {"grids": (begin,), "steps": len(begin)}
        return self.replace(**changes)

    def require(self, process: Process) -> None:
        """Raises RecipeError for a sampler that draws noise anew where the path did not begin as
        noise, and for a mirror or a strength below 1 where it did."""
        if process.source.informed and (self.sampler in ("ancestral", "reference") or self.eta):
            raise RecipeError(
                f"sampler {self.sampler} draws Gaussian noise anew, but process.source is not "
                "Gaussian; use euler, heun, ddim (eta=0) or dpmpp_2m"
            )
        if self.mirror and not process.source.informed:
            raise RecipeError(
                "sampling.mirror averages two draws, which is for an informed source; leave it out"
            )
        if self.strength != 1 and not process.source.informed:
            raise RecipeError(
                f"strength {self.strength:g} is for an informed source; leave it at 1"
            )

    def times(self, process: Process) -> Float[Tensor, "n"]:
        """Where its steps begin and end: a grid of `grids`, else even or shifted ones.

        `reference` takes the times that a DDPM was trained at, as guided diffusion's respacing.
        Raises RecipeError for a grid that begins before the process can, and as `require`.
        """
        self.require(process)
        path, first = process.path, process.first_time
        for times in self.grids:
            grid = grids.listed(times, first)
            if len(grid) == self.steps + 1:
                return grid
        if self.sampler == "reference" and isinstance(path, DDPM) and self.steps < path.steps:
            return grids.respaced(self.steps, path.steps)
        return grids.shifted(self.steps, self.shift, first)

    @property
    def options(self) -> dict[str, float]:
        """What its sampler alone takes."""
        return {} if self.eta is None else {"eta": self.eta}
