"""The mean head of a cohort, given what is known of a subject; a process makes what differs.

Heads in a standard space differ little from their mean. A network that starts from noise has to
learn the mean first, which here is in closed form.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from brainweave.errors import RecipeError
from brainweave.part import Part
from brainweave.processes.paths import DDPM
from brainweave.processes.process import Process

LATE = 0.05  # so much after the first time x_t is noise still


class Atlas(Part):
    """Least squares of every coefficient on the covariates, for a cohort in a standard space.

    A number counts with its square, a name by itself; what is not known, or hidden, counts as the
    mean of the cohort. ridge: in persons, for all but the mean. scale: what is left is divided by
    its standard deviation in the whole of a channel, or around every voxel, so that little is
    added where all heads are alike, as outside of them. least: of a voxel's, in its channel's.
    leading: covariates and modes act on so many channels, the first, which are the coarsest of a
    Haar transform; the others have the mean of the cohort. None: on all.
    modes: principal components of what is left that are kept. With them x_t can be drawn at any
    time as from a normal distribution, so that a process may begin where noise hides what is not
    normal about data (`Process.begin`; arXiv:2311.10892 finds that networks learn just this).
    local: modes then have weights that vary over a head, of which a share `common` of the variance
    is alike everywhere and the rest correlates as exp(-(d / 2 local)^2) over d places of the grid,
    so that no head is a sum of few others; the localisation of ensembles (Houtekamer and Mitchell
    2001, Monthly Weather Review 129, 123). None: one weight each.
    detail: the other channels follow what the leading ones do within so many places of the grid, by
    least squares on the cohort, everywhere alike: of a Haar transform edges and slopes go on in
    finer bands, where modes alone would leave blocks. None: not at all.
    reach: what modes leave is then correlated over so many places of the grid and over channels as
    it is in the cohort, everywhere alike (None: not at all).
    """

    ridge: float = Field(default=2.0, ge=0)
    scale: Literal["channel", "voxel"] = "channel"
    least: float = Field(default=0.1, gt=0, le=1)
    leading: int | None = Field(default=None, ge=1)
    modes: int = Field(default=0, ge=0)
    local: float | None = Field(default=None, gt=0, le=16)
    common: float = Field(default=0.3, ge=0, le=1)
    detail: int | None = Field(default=None, ge=0, le=2)
    reach: int | None = Field(default=None, ge=0, le=4)

    @model_validator(mode="after")
    def _detail_follows(self) -> "Atlas":
        if self.detail is not None and not (self.leading and self.modes):
            raise ValueError("atlas.detail follows leading channels: give atlas.leading and modes")
        return self


def require_modes(atlas: Atlas | None, process: Process) -> None:
    """Raises RecipeError for a process that an atlas does not go with, and for one that begins
    where there is more than noise but no modes that say what."""
    if atlas is not None and (process.source.informed or process.path.wants_energies):
        raise RecipeError(
            "an atlas needs noise to start from and a path that measures no bands; leave it out"
        )
    if process.begin and isinstance(process.path, DDPM):
        raise RecipeError("the path DDPM has steps that are trained from the first; begin at 0")
    if process.begin and not (atlas and atlas.modes):
        raise RecipeError(
            f"process.begin={process.begin:g} needs an atlas that says what data are like there; "
            "begin at 0, or give it atlas.modes"
        )


def require_start(atlas: Atlas | None, process: Process, times: Sequence[float]) -> None:
    """Raises RecipeError where sampling begins at a time that only modes know."""
    if times[0] > process.first_time + LATE and not (atlas and atlas.modes):
        raise RecipeError(
            f"sampling begins at t = {times[0]:g}, where only a model with atlas.modes knows what "
            f"x_t is like; begin at {process.first_time:g}"
        )
