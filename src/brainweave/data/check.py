"""What is wrong with a cohort, found before the first step: a text per problem."""

from collections import Counter
from collections.abc import Iterator, Mapping

from brainweave.data.cohort import Cohort, Subject, canonical_modality
from brainweave.data.table import missing, number, spelled, written
from brainweave.data.volume import read_grid
from brainweave.errors import VolumeError
from brainweave.part import hint

Ranges = Mapping[str, tuple[float, float]]
Categories = Mapping[str, tuple[str, ...]]


def problems(
    cohort: Cohort, modality: str, ranges: Ranges, categories: Categories
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
    modality = canonical_modality(modality)
    for subject in cohort:
        yield from _out_of_range(subject, modality, ranges)
        yield from _out_of_categories(subject, modality, categories)
        yield from _unreadable(subject, modality)


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


def _unreadable(subject: Subject, modality: str) -> Iterator[str]:
    if modality not in subject.images:
        has = ", ".join(subject.images) or "no image"
        yield f"subject {subject.id!r} has no {modality!r}, it has {has}"
    elif not (path := subject.images[modality]).is_file():
        yield f"subject {subject.id!r}: {modality} file {path} does not exist"
    else:
        try:
            read_grid(path)
        except VolumeError as error:
            yield f"subject {subject.id!r}: {error}"
