"""SSIM and MS-SSIM: against packages (golden), against the dumb version, at the edges."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from brainweave.errors import EvaluationError
from brainweave.evaluation import similarity
from brainweave.evaluation.similarity import WEIGHTS, ms_ssim, pyramid, scales, ssim, ssim_map

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "similarity.json").read_text())
FACTS = {"metric", "shape", "seed", "window", "sum"}
CASES = [
    pytest.param(case, name, id=f"{case['metric']}-{len(case['shape'])}d-{case['seed']}-{name}")
    for case in GOLDEN["cases"]
    for name in sorted(case.keys() - FACTS)
    if case["metric"] in ("ssim", "ms_ssim")
]


def pair(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As in benchmarks/similarity_references.py."""
    random = np.random.default_rng(seed)
    a = gaussian_filter(random.random(shape), 1.5)
    a = (a - a.min()) / np.ptp(a)
    b = np.clip(a + 0.05 * random.standard_normal(shape), 0, 1)
    return a.astype(np.float32), b.astype(np.float32)


def dumb(a: np.ndarray, b: np.ndarray, window: int = 11) -> tuple[np.ndarray, np.ndarray]:
    """Luminance and contrast-structure with scipy's filter, cropped."""
    radius = window // 2

    def smooth(x: np.ndarray) -> np.ndarray:
        inner = (slice(radius, -radius),) * x.ndim
        return gaussian_filter(x, 1.5, radius=radius)[inner]

    x, y = a.astype(float), b.astype(float)
    mx, my = smooth(x), smooth(y)
    vx, vy, cov = smooth(x * x) - mx**2, smooth(y * y) - my**2, smooth(x * y) - mx * my
    light = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
    return light, (2 * cov + 9e-4) / (vx + vy + 9e-4)


@pytest.mark.parametrize(("case", "package"), CASES)
def test_agrees_with_the_package(case: dict[str, Any], package: str) -> None:
    a, b = pair(tuple(case["shape"]), case["seed"])
    assert a.sum(dtype=float) + b.sum(dtype=float) == pytest.approx(case["sum"], rel=1e-9)
    ours = getattr(similarity, case["metric"])(a, b, window=case["window"])
    exact = package == "scikit-image"  # the others have taps or arrays in float32
    assert ours == pytest.approx(case[package], abs=1e-12 if exact else 1e-5)


def test_map_is_that_of_the_dumb_version() -> None:
    a, b = pair((23, 17, 14), 0)
    light, contrast = dumb(a, b)
    np.testing.assert_allclose(ssim_map(a, b), light * contrast, rtol=1e-11)


def test_slabs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair((23, 17, 14), 0)
    whole = ssim_map(a, b)
    monkeypatch.setattr(similarity, "_SLAB", 1)
    np.testing.assert_array_equal(ssim_map(a, b), whole)


def test_ms_ssim_is_that_of_the_dumb_version() -> None:
    a, b = pair((45, 50, 47), 1)
    x, y, levels = a.astype(float), b.astype(float), []
    for _ in range(3):
        light, contrast = dumb(x, y)
        levels.append(contrast.mean())
        last = (light * contrast).mean()
        i, j, k = (n // 2 for n in x.shape)
        x, y = (
            v[: 2 * i, : 2 * j, : 2 * k].reshape(i, 2, j, 2, k, 2).mean(axis=(1, 3, 5))
            for v in (x, y)
        )
    weights = np.array(WEIGHTS[:3]) / sum(WEIGHTS[:3])
    expected = float(np.prod(np.array([*levels[:2], last]) ** weights))
    assert ms_ssim(a, b) == pytest.approx(expected, rel=1e-11)


def test_equal_arrays_score_one() -> None:
    a, _ = pair((24, 24, 24), 0)
    assert ssim(a, a) == pytest.approx(1, abs=1e-12)
    assert ms_ssim(a, a) == pytest.approx(1, abs=1e-12)


def test_negative_contrast_counts_as_zero() -> None:
    a, _ = pair((24, 24, 24), 0)
    assert ms_ssim(a, 1 - a) == 0


def test_data_range_scales_with_the_arrays() -> None:
    a, b = pair((16, 16, 16), 0)
    assert ssim(255 * a, 255 * b, data_range=255.0) == pytest.approx(ssim(a, b), rel=1e-5)


def test_a_mask_takes_the_mean_of_the_map() -> None:
    a, b = pair((20, 20, 20), 0)
    mask = np.zeros(a.shape, dtype=bool)
    mask[6:9, 7:12, 0:10] = True
    inner = mask[5:-5, 5:-5, 5:-5]
    assert ssim(a, b, mask=mask) == pytest.approx(ssim_map(a, b)[inner].mean())


def test_a_mask_of_everything_changes_nothing() -> None:
    a, b = pair((48, 45, 46), 0)
    everything = np.ones(a.shape, dtype=bool)
    assert ms_ssim(a, b, mask=everything) == pytest.approx(ms_ssim(a, b), rel=1e-12)


def test_masked_ms_ssim_sees_only_errors_near_the_mask() -> None:
    a, _ = pair((48, 48, 48), 0)
    b = a.copy()
    b[:12] = 0
    mask = np.zeros(a.shape, dtype=bool)
    mask[34:37, 20:28, 20:28] = True
    assert ms_ssim(a, b) < 0.9
    assert ms_ssim(a, b, mask=mask, weights=(0.5, 0.5)) == pytest.approx(1, abs=1e-9)


def test_a_mask_outside_all_windows_is_refused() -> None:
    a, b = pair((20, 20, 20), 0)
    mask = np.zeros(a.shape, dtype=bool)
    mask[0] = True
    for measure in (ssim, ms_ssim):
        with pytest.raises(EvaluationError, match="mask has no voxel far enough"):
            measure(a, b, mask=mask)


@pytest.mark.parametrize(
    ("least", "expected"), [(11, 1), (20, 1), (21, 2), (80, 3), (160, 4), (161, 5), (400, 5)]
)
def test_scales_fit_the_least_side(least: int, expected: int) -> None:
    assert scales((500, least, 500)) == expected


def test_the_size_rule_is_exact() -> None:
    for least in (20, 21):
        a, b = pair((least, 30), 0)
        one_scale = ms_ssim(a, b, weights=(0.5, 0.5)) == pytest.approx(ssim(a, b), rel=1e-12)
        assert one_scale == (least == 20)


def test_five_scales_of_the_least_size_fit() -> None:
    a, b = pair((161, 161), 0)
    assert 0 < ms_ssim(a, b) < ms_ssim(a, a) == 1


def test_short_pyramids_are_said() -> None:
    assert "3 of 5 scales at 80 x 96 x 80 voxels, weights renormalised" in pyramid((80, 96, 80))
    assert pyramid((176, 200, 180)) == "MS-SSIM has 5 scales, Gaussian window 11"


@pytest.mark.parametrize(
    ("other", "settings", "message"),
    [
        (np.zeros((12, 13)), {}, "shapes"),
        (np.zeros((12, 12)), {"window": 4}, "must be odd"),
        (np.zeros((12, 12)), {"window": 13}, "no room"),
        (np.zeros((12, 12)), {"data_range": 0.0}, "above 0"),
        (np.full((12, 12), np.nan), {}, "not finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    other: np.ndarray, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        ssim(np.zeros((12, 12)), other, **settings)


def test_integers_are_compared_as_numbers() -> None:
    a, b = (np.round(255 * x).astype(np.uint8) for x in pair((16, 16, 16), 0))
    floats = ssim(a.astype(float), b.astype(float), data_range=255.0)
    assert ssim(a, b, data_range=255.0) == floats
