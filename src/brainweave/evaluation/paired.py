"""Pairs of a real volume and the one made in its place: errors per pair, means with intervals.

Arrays are on one grid, intensities on one agreed range of 1. A new metric is one function under
`@paired(name, better=...)`: (real, made, mask or None) to a number.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import laplace

from brainweave.data.intensity import Fixed
from brainweave.data.volume import Volume
from brainweave.errors import EvaluationError
from brainweave.evaluation import similarity
from brainweave.evaluation.base import Score, bootstrap
from brainweave.evaluation.scans import EDGE, Scans

Array = Float[np.ndarray, "_ _ _"]
Mask = Bool[np.ndarray, "_ _ _"]
Labels = Int[np.ndarray, "i j k"]
Measure = Callable[[Array, Array, Mask | None], float]
Better = Literal["higher", "lower", "one"]
Row = dict[str, Any]
NAMED = 5  # subjects that an error names before it says how many more


class Metric(NamedTuple):
    """A number about a pair and which way is better; "one": the nearer to 1."""

    measure: Measure
    better: Better


@dataclass(frozen=True)
class Comparison:
    """What a comparison of pairs found.

    scores: means over pairs, 95 % intervals over persons. rows: one per pair, "id", "subject" and
    every number by name; None is a number that this pair has not, infinity a PSNR of equal volumes.
    notes: sentences on what was left out of means, for the report.
    """

    scores: list[Score]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


METRICS: dict[str, Metric] = {}


def paired(name: str, *, better: Better) -> Callable[[Measure], Measure]:
    """Registers a metric of pairs under a name."""

    def register(measure: Measure) -> Measure:
        METRICS[name] = Metric(measure, better)
        return measure

    return register


@paired("mae", better="lower")
def mae(real: Array, made: Array, mask: Mask | None = None) -> float:
    """Mean absolute error."""
    return _mean(np.abs(_difference(real, made)), mask)


@paired("rmse", better="lower")
def rmse(real: Array, made: Array, mask: Mask | None = None) -> float:
    """Root of the mean squared error."""
    return math.sqrt(_squared(real, made, mask))


@paired("nmse", better="lower")
def nmse(real: Array, made: Array, mask: Mask | None = None) -> float:
    """||real - made||^2 / ||real||^2 (fastMRI, arXiv:1811.08839)."""
    energy = _mean(real.astype(np.float64) ** 2, mask)
    return _ratio(_squared(real, made, mask), energy, "the real volume is 0 everywhere")


@paired("psnr", better="higher")
def psnr(real: Array, made: Array, mask: Mask | None = None) -> float:
    """10 log10(1 / MSE) in dB: the range is the agreed 1; infinity for equal volumes."""
    error = _squared(real, made, mask)
    return -10 * math.log10(error) if error else math.inf


@paired("ssim", better="higher")
def ssim(real: Array, made: Array, mask: Mask | None = None) -> float:
    """Mean of the SSIM map over the mask, range 1; not SSIM of masked volumes."""
    return similarity.ssim(real, made, mask=mask)


@paired("ms_ssim", better="higher")
def ms_ssim(real: Array, made: Array, mask: Mask | None = None) -> float:
    """MS-SSIM, range 1, with as many scales as fit: `similarity.pyramid` says how many."""
    return similarity.ms_ssim(real, made, mask=mask)


@paired("gradient_error", better="lower")
def gradient_error(real: Array, made: Array, mask: Mask | None = None) -> float:
    """Mean absolute difference of gradient magnitudes, intensity per voxel, central differences."""
    return _mean(np.abs(_difference(_slope(real), _slope(made))), mask)


@paired("high_frequency_error", better="lower")
def high_frequency_error(real: Array, made: Array, mask: Mask | None = None) -> float:
    """||L(real - made)||^2 / ||L real||^2, L the discrete Laplacian: 0 is exact, 1 no detail."""
    detail = _mean(laplace(real.astype(np.float64)) ** 2, mask)
    error = _mean(laplace(_difference(real, made)) ** 2, mask)
    return _ratio(error, detail, "the real volume has no detail")


@paired("high_frequency_ratio", better="one")
def high_frequency_ratio(real: Array, made: Array, mask: Mask | None = None) -> float:
    """||L made||^2 / ||L real||^2: below 1 is blurred, above 1 noisy; blind to where detail is."""
    made_detail, real_detail = (
        _mean(laplace(x.astype(np.float64)) ** 2, mask) for x in (made, real)
    )
    return _ratio(made_detail, real_detail, "the real volume has no detail")


def compare_pairs(
    real: Scans, made: Scans, *, mask: Callable[[int], Mask] | None = None, seed: int = 0
) -> Comparison:
    """Every metric over pairs of one subject id: "psnr", and "psnr [head]" inside a mask.

    mask: of the pair with this index of `real`, called "mask"; None: "head" is where the real
        volume is above EDGE, and with a "seg" among its images "tumour" and "healthy" (the rest).
    Raises EvaluationError where ids do not pair, and where a whole volume cannot be measured.
    """
    rows, reasons = [], {}
    for index, partner in matched(real, made):
        subject, x, y = real[index], real.load(index), made.load(partner)
        row: Row = {"id": subject.id, "subject": subject.subject}
        row |= {name: metric.measure(x, y, None) for name, metric in METRICS.items()}
        inside = {"mask": mask(index)} if mask else regions(real, index, x)
        for region, voxels in inside.items():
            for name, metric in METRICS.items():
                label = f"{name} [{region}]"
                try:
                    row[label] = metric.measure(x, y, voxels)
                except EvaluationError as error:
                    row[label], reasons[label] = None, str(error)
        rows.append(row)
    scores, notes = summarise(rows, seed=seed, reasons=reasons)
    return Comparison(scores, rows, [similarity.pyramid(real.grid.shape) + ".", *notes])


def matched(real: Scans, made: Scans) -> Iterator[tuple[int, int]]:
    """Indices of scans with one id on both sides, in the order of `real`.

    Raises EvaluationError for an id used twice and for one that the other side has not.
    """
    places = {}
    for side in (real, made):
        ids = [subject.id for subject in side.subjects]
        if twice := [name for name in dict.fromkeys(ids) if ids.count(name) > 1]:
            raise EvaluationError(f"{side.name}: {_named(twice)} more than once; pairs need one id")
        places[side.name] = {name: index for index, name in enumerate(ids)}
    if len(places) < 2:
        raise EvaluationError(f"both sides are called {real.name!r}; give them different names")
    ours, theirs = places.values()
    for name, own, other in ((made.name, ours, theirs), (real.name, theirs, ours)):
        if absent := [subject for subject in own if subject not in other]:
            raise EvaluationError(
                f"{name} lacks {_named(absent)}: a paired comparison needs the same subject ids on "
                "both sides; rename the files or leave the others out"
            )
    return ((index, theirs[name]) for name, index in ours.items())


def regions(real: Scans, index: int, volume: Array) -> dict[str, Mask]:
    """Where numbers inside a mask are taken: the head, and what a "seg" of the subject divides."""
    head = volume > EDGE
    if "seg" not in real[index].images:
        return {"head": head}
    tumour = load_labels(real, index) > 0
    return {"head": head, "tumour": tumour, "healthy": head & ~tumour}


def load_labels(scans: Scans, index: int, modality: str = "seg") -> Labels:
    """A label map on the grid of the scans; resampled labels are those with the largest share.

    Raises EvaluationError for values that are not whole numbers of 0 or more.
    """
    subject = scans[index]
    if modality not in subject.images:
        raise EvaluationError(
            f"{scans.name}, subject {subject.id!r} has no {modality!r}, only "
            f"{', '.join(subject.images)}; add a column with the label maps"
        )
    volume = Volume.load(subject.images[modality])
    values = np.unique(volume.data.numpy())
    if (values != np.rint(values)).any() or values[0] < 0:
        raise EvaluationError(f"{subject.images[modality]}: values are no labels (0, 1, 2, ...)")
    place = scans.preprocess.replace(intensity=Fixed(source_low=0, source_high=1, low=0, high=1))
    best = np.zeros(scans.grid.shape, dtype=np.float32)
    labels = np.zeros(scans.grid.shape, dtype=np.int64)
    # what lies outside the file's box belongs to no label, so 0 is drawn from the file too
    for value in values:
        share = place(Volume((volume.data == float(value)).float(), volume.affine))[0][0].numpy()
        labels[share > best] = int(value)
        best = np.maximum(best, share)
    return labels


def summarise(
    rows: Sequence[Row], *, seed: int, reasons: dict[str, str] | None = None
) -> tuple[list[Score], list[str]]:
    """Means over rows with intervals over persons, and what is to be said about them.

    A mean has no interval below two persons, nor where a number is infinite.
    """
    scores, notes = [], []
    names = dict.fromkeys(name for row in rows for name in row if name not in ("id", "subject"))
    for name in names:
        own = [row for row in rows if row.get(name) is not None]
        if len(own) < len(rows):
            why = f": {reasons[name]}" if reasons and name in reasons else ""
            notes.append(f"{name} is over {len(own)} of {len(rows)} pairs{why}.")
        if not own:
            continue
        values, persons = np.array([row[name] for row in own]), [row["subject"] for row in own]
        if endless := int(np.isinf(values).sum()):
            notes.append(f"{name}: {endless} of {len(own)} pairs are identical, so it is infinite.")
        low, high = None, None
        if len(set(persons)) > 1 and not endless:
            _, low, high = bootstrap(partial(_mean_of, values), persons, seed=seed)
        scores.append(Score(name, float(values.mean()), low, high, len(own)))
    return scores, notes


def _mean_of(values: np.ndarray, chosen: np.ndarray) -> float:
    return float(values[chosen].mean())


def _difference(real: np.ndarray, made: np.ndarray) -> np.ndarray:
    if real.shape != made.shape:
        raise EvaluationError(f"shapes {real.shape} and {made.shape} cannot be compared by voxel")
    return real.astype(np.float64) - made


def _squared(real: np.ndarray, made: np.ndarray, mask: np.ndarray | None) -> float:
    return _mean(_difference(real, made) ** 2, mask)


def _mean(values: np.ndarray, mask: np.ndarray | None) -> float:
    if mask is not None:
        if mask.shape != values.shape:
            raise EvaluationError(f"the mask has shape {mask.shape}, the volumes {values.shape}")
        values = values[mask]
    if not values.size:
        raise EvaluationError("the mask is empty")
    return float(values.mean())


def _ratio(value: float, by: float, reason: str) -> float:
    if not by:
        raise EvaluationError(f"{reason}, so nothing can be divided by it")
    return value / by


def _slope(x: np.ndarray) -> np.ndarray:
    """The magnitude of the gradient."""
    return np.sqrt(sum(g**2 for g in np.gradient(x.astype(np.float64))))


def _named(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - NAMED} more" if len(ids) > NAMED else ""
    return ", ".join(map(repr, ids[:NAMED])) + more
