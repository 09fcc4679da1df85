"""What is wrong with a cohort, found before the first step: a text per problem."""

from collections import Counter
from collections.abc import Iterator, Mapping

from brainweave.data.cohort import Cohort, Subject, canonical_modality
from brainweave.data.grid import Grid
from brainweave.data.table import missing, number, spelled, written
from brainweave.data.volume import read_grid
from brainweave.errors import VolumeError
from brainweave.part import hint

Ranges = Mapping[str, tuple[float, float]]
Categories = Mapping[str, tuple[str, ...]]


def problems(
    cohort: Cohort,
    targets: tuple[str, ...],
    ranges: Ranges,
    categories: Categories,
    inputs: tuple[str, ...] = (),
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
        yield from _nothing_beside(subject, targets, inputs, every)


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
    if not set(targets) & set(subject.images):
        has = ", ".join(subject.images) or "no image"
        yield f"subject {subject.id!r} has no {' nor '.join(map(repr, targets))}, it has {has}"
    grids: dict[str, Grid] = {}
    for name in dict.fromkeys((*targets, *inputs)):
        if name not in subject.images:
            continue
        if not (path := subject.images[name]).is_file():
            yield f"subject {subject.id!r}: {name} file {path} does not exist"
            continue
        try:
            grids[name] = read_grid(path)
        except VolumeError as error:
            yield f"subject {subject.id!r}: {error}"
    first = next(iter(grids), "")
    for name, grid in grids.items():
        if inputs and not grid.matches(grids[first]):
            yield (
                f"subject {subject.id!r}: {name} {grid.shape} is not on the grid of {first} "
                f"{grids[first].shape}; register and resample it"
            )


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
