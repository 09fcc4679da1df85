"""What is wrong with a cohort, found before the first step: a text per problem."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from brainweave.data.cohort import Cohort, Subject, canonical_modality
from brainweave.data.grid import Grid
from brainweave.data.table import missing, number, spelled, written
from brainweave.data.volume import read_grid
from brainweave.errors import CohortError, VolumeError
from brainweave.part import hint

_REPORTED = 10  # problems that are looked for before the first is told

Ranges = Mapping[str, tuple[float, float]]
Categories = Mapping[str, tuple[str, ...]]


def problems(
    cohort: Cohort,
    targets: tuple[str, ...],
    ranges: Ranges,
    categories: Categories,
    inputs: tuple[str, ...] = (),
    labels: tuple[str, ...] = (),
    every: bool = False,
) -> Iterator[str]:
    """One text per problem, looked for as they are asked for: headers are opened one by one."""
    if not cohort:
        yield "the cohort is empty"
    for name, count in Counter(subject.id for subject in cohort).items():
        if count > 1:
            yield f"id {name!r} is used {count} times"
    for name in dict.fromkeys((*ranges, *categories)):
        if all(missing(subject.covariates.get(name)) for subject in cohort):
            others = [other for other in cohort.covariates if other != name]
            known = hint(name, others) if others else ""
            yield f"no subject has a value for {name!r}{known}"
    targets = tuple(canonical_modality(name) for name in targets)
    inputs = tuple(canonical_modality(name) for name in inputs)
    for subject in cohort:
        yield from _out_of_range(subject, targets[0], ranges)
        yield from _out_of_categories(subject, targets[0], categories)
        yield from _unreadable(subject, targets, inputs)
        images = tuple(name for name in inputs if name not in labels)
        yield from _nothing_beside(subject, targets, images or inputs, every)


def refuse(source: str, found: Iterator[str]) -> None:
    """Raises CohortError with the first problem and how many more there are."""
    listed = list(islice(found, _REPORTED))
    if listed:
        least = "at least " if len(listed) == _REPORTED else ""
        more = f"; and {least}{len(listed) - 1} more" if len(listed) > 1 else ""
        raise CohortError(f"{source}: {listed[0]}{more}")


def apart(owner: str, images: Mapping[str, Path]) -> Iterator[str]:
    """Images of one subject that cannot be read or lie on another grid than most of them."""
    grids: dict[str, Grid] = {}
    for name, path in images.items():
        try:
            grids[name] = read_grid(path)
        except VolumeError as error:
            yield f"{owner}: {name}: {error}"
    if not grids:
        return
    kin = {name: sum(map(grid.matches, grids.values())) for name, grid in grids.items()}
    most = max(kin, key=lambda name: kin[name])  # the first of equals
    for name, grid in grids.items():
        if not grid.matches(grids[most]):
            yield (
                f"{owner}: {name} ({images[name]}) {_difference(grid, grids[most], most)}; "
                "register and resample it"
            )


def owner(subject: Subject, modality: str) -> str:
    """A subject as a message names it: with the file, where there is one."""
    path = subject.images.get(modality)
    return f"subject {subject.id!r}" + ("" if path is None else f" ({path})")


def _out_of_range(subject: Subject, modality: str, ranges: Ranges) -> Iterator[str]:
    for name, (low, high) in ranges.items():
        value = subject.covariates.get(name)
        if value is None or missing(value):
            continue
        if isinstance(value, str) and number(value) is None:
            yield f"{owner(subject, modality)} has {name} {value!r}, which is no number"
        elif not low <= float(value) <= high:
            span = f"{written(low)} to {written(high)}"
            yield f"{owner(subject, modality)} has {name} {written(value)}, outside {span}"


def _out_of_categories(subject: Subject, modality: str, categories: Categories) -> Iterator[str]:
    for name, known in categories.items():
        value = written(subject.covariates.get(name))
        if not missing(value) and spelled(name, value).lower() not in map(str.lower, known):
            allowed = ", ".join(known)
            yield f"{owner(subject, modality)} has {name} {value!r}, none of {allowed}"


def _unreadable(
    subject: Subject, targets: tuple[str, ...], inputs: tuple[str, ...]
) -> Iterator[str]:
    """What is wrong with the files of a subject: one is needed of `targets`, all on one grid."""
    who = f"subject {subject.id!r}"
    if not set(targets) & set(subject.images):
        has = ", ".join(subject.images) or "no image"
        yield f"{who} has no {' nor '.join(map(repr, targets))}, it has {has}"
    wanted = [name for name in dict.fromkeys((*targets, *inputs)) if name in subject.images]
    for name in wanted:
        if not (path := subject.images[name]).is_file():
            yield f"{who}: {name} file {path} does not exist"
            return
    yield from apart(who, {name: subject.images[name] for name in wanted})


def _nothing_beside(
    subject: Subject, targets: tuple[str, ...], inputs: tuple[str, ...], every: bool
) -> Iterator[str]:
    """Where there are not enough images to make a target from."""
    for target in targets:
        if not inputs or target not in subject.images:
            continue
        others = [name for name in inputs if name != target]
        there = [name for name in others if name in subject.images]
        if every and len(there) < len(others):
            lacking = ", ".join(name for name in others if name not in there)
            yield f"subject {subject.id!r} has no {lacking} to make its {target} from"
        elif not there:
            yield f"subject {subject.id!r} has only {target}: nothing to make it from"


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
