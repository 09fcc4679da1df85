"""What is wrong with cases, found before the first volume is written: a text per problem."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from brainweave.completion.cases import Case
from brainweave.data.check import apart
from brainweave.data.intensity import Intensity
from brainweave.data.volume import Volume
from brainweave.errors import ConditionError, VolumeError
from brainweave.provenance import facts
from brainweave.recipe import Recipe


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
        yield from apart(case.id, case.images)
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
    images, every = recipe.images, recipe.images is not None and recipe.images.required
    known = recipe.inputs if images is None else images.modalities
    for target in case.missing:
        others = [name for name in known if name != target]
        lacking = [name for name in others if name not in case.images]
        if every and lacking:
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
