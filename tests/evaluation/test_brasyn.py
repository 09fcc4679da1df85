"""The BraSyn protocol: equal to torchmetrics (golden), and blind where the masked one sees."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from brainweave.data.cohort import Cohort
from brainweave.data.phantom import write_phantoms
from brainweave.errors import EvaluationError
from brainweave.evaluation.brasyn import brasyn, compare_brasyn, official, scaled
from brainweave.evaluation.scans import open_sides

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "similarity.json").read_text())
(CASE,) = (case for case in GOLDEN["cases"] if case["metric"] == "brasyn")


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Real, made and tumour as in benchmarks/similarity_references.py."""
    shape, random = tuple(CASE["shape"]), np.random.default_rng(CASE["seed"])
    a = gaussian_filter(random.random(shape), 1.5)
    a = (a - a.min()) / np.ptp(a)
    b = np.clip(a + 0.05 * random.standard_normal(shape), 0, 1)
    tumour = np.zeros(shape, dtype=bool)
    tumour[10:22, 12:30, 8:20] = True
    return a.astype(np.float32), b.astype(np.float32), tumour


@pytest.mark.parametrize(("faces", "suffix"), [(True, ""), (False, ", no faces")])
def test_official_numbers_are_those_of_torchmetrics(
    pair: tuple[np.ndarray, ...], faces: bool, suffix: str
) -> None:
    expected = [CASE[f"torchmetrics {region}{suffix}"] for region in ("tumour", "healthy")]
    assert official(*pair, faces=faces) == pytest.approx(expected, abs=1e-10)


def test_scaling_is_by_own_percentiles_and_not_below_zero() -> None:
    volume = np.linspace(-100, 900, 1001).reshape(7, 11, 13)
    x = scaled(volume)
    assert (x.min(), x.max()) == (0, 1)
    assert x.flat[100] == 0  # raw 0, above the lower percentile of -95
    assert x.flat[995] == pytest.approx(1)


def test_raw_units_do_not_matter(pair: tuple[np.ndarray, ...]) -> None:
    a, b, tumour = pair
    moved = brasyn(1000 * a, 7 * b, tumour)
    assert moved == pytest.approx(brasyn(a, b, tumour), rel=1e-5)


def test_masked_numbers_see_a_missing_tumour_that_the_official_hardly_does() -> None:
    points = np.stack(np.meshgrid(*[np.linspace(-1, 1, 40)] * 3, indexing="ij"))
    head = ((points**2).sum(0) < 0.7).astype(np.float32)
    random = np.random.default_rng(0)
    real = head * (0.6 + 0.2 * random.random(head.shape, dtype=np.float32))
    tumour = ((points - 0.2) ** 2).sum(0) < 0.05
    made = np.where(tumour, np.float32(0), real)
    numbers = brasyn(real, made, tumour)
    assert numbers["ssim tumour, official"] > 0.9
    assert numbers["ssim [tumour]"] < 0.5
    assert numbers["psnr [tumour]"] < 10 < numbers["psnr [healthy]"]


def test_no_tumour_is_refused(pair: tuple[np.ndarray, ...]) -> None:
    a, b, tumour = pair
    for mask in (np.zeros_like(tumour), np.ones_like(tumour)):
        with pytest.raises(EvaluationError, match="inside and outside the tumour"):
            official(a, b, mask)


def test_constant_volumes_are_refused(pair: tuple[np.ndarray, ...]) -> None:
    a, _, tumour = pair
    with pytest.raises(EvaluationError, match="nothing to scale"):
        official(a, np.full_like(a, 3.0), tumour)


def test_a_tumour_that_is_black_in_both_is_refused(pair: tuple[np.ndarray, ...]) -> None:
    a, b, tumour = pair
    with pytest.raises(EvaluationError, match="no data range"):
        official(a * ~tumour, b * ~tumour, tumour)


def test_cohorts_are_compared_case_by_case(tmp_path: Path) -> None:
    table = write_phantoms(
        tmp_path, 2, shape=(24, 28, 24), spacing=7.0, modalities=("t1w", "flair", "seg")
    )
    real = Cohort.open(table)
    made = Cohort([replace(s, images={"t1w": s.images["flair"]}) for s in real])
    sides, _ = open_sides({"real": real, "made": made}, scale="volume")
    found = compare_brasyn(sides["real"], sides["made"])
    assert {score.name for score in found.scores} >= {
        "brasyn/ssim tumour, official",
        "brasyn/psnr [healthy]",
    }
    assert all(score.n == 2 for score in found.scores)
