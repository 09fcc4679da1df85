"""What is wrong with cases, found before the first volume is written: a text per problem."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from brainweave.completion.cases import Case
from brainweave.data.grid import Grid
from brainweave.data.intensity import Intensity
from brainweave.data.volume import Volume, read_grid
from brainweave.errors import BrainweaveError, CohortError, ConditionError, VolumeError
from brainweave.provenance import facts
from brainweave.recipe import Recipe

_REPORTED = 10  # problems that are looked for before the first is told


def refuse(source: str, problems: Iterator[str]) -> None:
    """Raises CohortError with the first problem and how many more there are."""
    found = list(islice(problems, _REPORTED))
    if found:
        least = "at least " if len(found) == _REPORTED else ""
        more = f"; and {least}{len(found) - 1} more" if len(found) > 1 else ""
        raise CohortError(f"{source}: {found[0]}{more}")


def in_headers(cases: Sequence[Case], recipe: Recipe) -> Iterator[str]:
    """Names, what is there to start from, covariates, and whether a case's images lie on one grid.

    Cases that lack nothing are not looked at.
    """
    for name, count in Counter(case.id for case in cases).items():
        if count > 1:
            yield f"id {name!r} is used {count} times"
    for case in cases:
        if not case.missing:
            continue
        if Path(case.id).name != case.id:
            yield f"id {case.id!r} cannot name a folder; use letters, digits, -, _ and ."
        yield from _too_little(case, recipe)
        yield from _impossible(case, recipe)
        yield from _apart(case)
        for modality, path in case.images.items():
            if facts(path).get("synthetic"):
                yield (
                    f"{case.id}: {modality} ({path}) is synthetic; volumes are made from real ones "
                    "only, move it away"
                )


def in_voxels(
    cases: Sequence[Case], intensities: Mapping[str, Intensity], step: Callable[[], None]
) -> Iterator[str]:
    """Images that are unreadable, constant or without a window of intensities.

    intensities: of each modality that is no label map. step: called after each case.
    """
    for case in cases:
        for name, path in case.images.items():
            try:
                data = Volume.load(path).data
                if name in intensities:
                    low, high = float(data.min()), float(data.max())
                    if low == high:
                        what = "is empty" if low == 0 else "is constant"
                        raise VolumeError(f"{what}, every voxel is {low:g}; check the image")
                    intensities[name].window(data)
            except VolumeError as error:
                where = "" if str(path) in str(error) else f" ({path})"
                yield f"{case.id}: {name}{where}: {error}"
        step()


def _too_little(case: Case, recipe: Recipe) -> Iterator[str]:
    """Where images lack that a target needs."""
    images = recipe.images
    assert images is not None
    for target in case.missing:
        others = [name for name in images.modalities if name != target]
        lacking = [name for name in others if name not in case.images]
        if images.required and lacking:
            yield (
                f"{case.id} has no {' and no '.join(lacking)}, which {recipe.name} needs to make "
                f"{target}"
            )
        elif len(lacking) == len(others):
            has = ", ".join(case.subject.images) or "no image"
            yield f"{case.id} has {has} and none of {', '.join(others)} to make {target} from"


def _impossible(case: Case, recipe: Recipe) -> Iterator[str]:
    """Covariates that the model cannot hear."""
    for condition in recipe.covariates:
        if condition.name == recipe.target:
            continue
        try:
            condition.read(case.subject)
        except ConditionError as error:
            yield str(error)


def _apart(case: Case) -> Iterator[str]:
    """Images that cannot be read or lie on another grid than most of the case's."""
    grids: dict[str, Grid] = {}
    for name, path in case.images.items():
        try:
            grids[name] = read_grid(path)
        except BrainweaveError as error:
            yield f"{case.id}: {name}: {error}"
    if not grids:
        return
    kin = {name: sum(map(grid.matches, grids.values())) for name, grid in grids.items()}
    most = max(kin, key=lambda name: kin[name])  # the first of equals
    for name, grid in grids.items():
        if not grid.matches(grids[most]):
            yield (
                f"{case.id}: {name} ({case.images[name]}) {_difference(grid, grids[most], most)}; "
                "register and resample it"
            )


def _difference(grid: Grid, other: Grid, name: str) -> str:
    """How a grid differs from that of the image `name`."""
    if grid.shape != other.shape:
        return f"has shape {grid.shape}, {name} has {other.shape}"
    if grid.orientation != other.orientation:
        return f"is oriented {grid.orientation}, {name} is {other.orientation}"
    last = [edge - 1 for edge in grid.shape]
    corners = np.array([(*corner, 1) for corner in np.ndindex(2, 2, 2)]) * [*last, 1]
    apart = np.linalg.norm(corners @ (grid.matrix - other.matrix).T, axis=1).max()
    return f"lies up to {apart:.2g} mm from {name}"
