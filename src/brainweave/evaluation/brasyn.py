"""The BraSyn protocol for a synthesised contrast of a brain with a tumour, and what it misses.

Official: SSIM over the whole box of `volume * tumour` and of `volume * (1 - tumour)`. Nearly all of
the box is 0 on both sides, so it hardly sees the tumour; the masked numbers beside it do.
"""

import numpy as np
from jaxtyping import Bool, Float

from brainweave.errors import EvaluationError
from brainweave.evaluation.paired import Comparison, Row, load_labels, matched, psnr, summarise
from brainweave.evaluation.scans import EDGE, Scans
from brainweave.evaluation.similarity import ssim

Array = Float[np.ndarray, "_ _ _"]
Mask = Bool[np.ndarray, "_ _ _"]
PERCENTILES = (0.5, 99.5)  # of all voxels of the volume, in the challenge's ssim.py
MARGIN = 5  # voxels that torchmetrics mirrors beyond each face for sigma 1.5


def scaled(volume: Array) -> Float[np.ndarray, "i j k"]:
    """A volume clipped at its own percentiles, the lower one not below 0, as [0, 1].

    Raises EvaluationError where the two are equal.
    """
    low, high = np.percentile(volume, PERCENTILES)
    low = max(float(low), 0.0)
    if not high > low:
        raise EvaluationError(
            f"percentiles {PERCENTILES} of the volume are {low:g} and {high:g}: nothing to scale; "
            "check that it is not empty"
        )
    return (np.clip(volume.astype(np.float64), low, high) - low) / (high - low)


def official(real: Array, made: Array, tumour: Mask, *, faces: bool = True) -> tuple[float, float]:
    """SSIM of the tumour-masked and of the healthy-masked volumes, as the challenge takes it.

    From hongweilibran/BraSyn, ssim.py, by the defaults of torchmetrics: Gaussian window of 11, the
    data range that of the two masked volumes, faces mirrored.
    faces: whether windows centred on the outer 5 voxels count, as from torchmetrics 1.4.2 on.
    Raises EvaluationError for a tumour that is empty, everything, or 0 in both volumes.
    """
    return _official(scaled(real), scaled(made), tumour, faces)


def brasyn(real: Array, made: Array, tumour: Mask) -> dict[str, float]:
    """The official pair of numbers, and SSIM and PSNR (dB) inside tumour and healthy head.

    All on volumes scaled as the protocol does, of any linear raw scale; data range 1 in the masks.
    """
    names = ("ssim tumour, official", "ssim healthy, official")
    x, y = scaled(real), scaled(made)
    numbers = dict(zip(names, _official(x, y, tumour, True), strict=True))
    for region, mask in (("tumour", tumour), ("healthy", (x > EDGE) & ~tumour)):
        numbers[f"ssim [{region}]"] = ssim(x, y, mask=mask)
        numbers[f"psnr [{region}]"] = psnr(x, y, mask)
    return numbers


def compare_brasyn(real: Scans, made: Scans, *, seed: int = 0) -> Comparison:
    """`brasyn` of every pair whose real subject has a tumour in its "seg", names "brasyn/...".

    A scale that clips below the protocol's upper percentile changes it; `open_sides` clips at the
    99.5th percentile of the foreground, above that of all voxels, where it scales by volume.
    Raises EvaluationError where ids do not pair, a seg is missing or no subject has a tumour.
    """
    rows: list[Row] = []
    left = []
    for index, partner in matched(real, made):
        subject, tumour = real[index], load_labels(real, index) > 0
        if not tumour.any():
            left.append(subject.id)
            continue
        numbers = brasyn(real.load(index), made.load(partner), tumour)
        named = {f"brasyn/{name}": value for name, value in numbers.items()}
        rows.append({"id": subject.id, "subject": subject.subject, **named})
    if not rows:
        raise EvaluationError(f"{real.name}: no 'seg' has a label above 0, so there is no tumour")
    scores, notes = summarise(rows, seed=seed)
    if left:
        notes.append(f"BraSyn: {len(left)} subjects without a tumour were left out.")
    return Comparison(scores, rows, notes)


def _official(x: np.ndarray, y: np.ndarray, tumour: np.ndarray, faces: bool) -> tuple[float, float]:
    """The two numbers of scaled volumes."""
    if not tumour.any() or tumour.all():
        raise EvaluationError("the protocol needs voxels inside and outside the tumour")
    inside, outside = (_torchmetrics(x * mask, y * mask, faces) for mask in (tumour, ~tumour))
    return inside, outside


def _torchmetrics(x: np.ndarray, y: np.ndarray, faces: bool) -> float:
    """StructuralSimilarityIndexMeasure() of one pair."""
    data_range = float(max(np.ptp(x), np.ptp(y)))
    if not data_range:
        raise EvaluationError("both volumes are 0 inside the mask, so SSIM has no data range")
    if faces:
        x, y = (np.pad(v, MARGIN, mode="reflect") for v in (x, y))
    return ssim(x, y, data_range=data_range)
