"""Metrics of pairs, pairing by id, intervals, regions."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from brainweave.data.cohort import Cohort
from brainweave.data.phantom import write_phantoms
from brainweave.errors import EvaluationError
from brainweave.evaluation.paired import (
    METRICS,
    compare_pairs,
    load_labels,
    matched,
    summarise,
)
from brainweave.evaluation.scans import EDGE, Scans, open_sides


def pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    a = gaussian_filter(random.random((24, 26, 24)), 1.5)
    a = ((a - a.min()) / np.ptp(a)).astype(np.float32)
    b = np.clip(a + 0.05 * random.standard_normal(a.shape), 0, 1).astype(np.float32)
    return a, b


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scans, Scans]:
    """Four subjects with tumours as t1w, and their flair in the place of what was made."""
    folder = tmp_path_factory.mktemp("paired")
    table = write_phantoms(
        folder, 4, shape=(24, 28, 24), spacing=7.0, modalities=("t1w", "flair", "seg")
    )
    real = Cohort.open(table)
    made = Cohort(
        [replace(s, images={**s.images, "t1w": s.images["flair"]}) for s in reversed(real)]
    )
    scans, _ = open_sides({"real": real, "made": made}, scale="volume")
    return scans["real"], scans["made"]


@pytest.mark.parametrize("name", METRICS)
def test_equal_volumes_are_perfect(name: str) -> None:
    a, _ = pair()
    perfect = {"psnr": math.inf, "ssim": 1, "ms_ssim": 1, "high_frequency_ratio": 1}
    assert METRICS[name].measure(a, a, None) == pytest.approx(perfect.get(name, 0), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_more_noise_is_worse(name: str) -> None:
    a, b = pair()
    values = [METRICS[name].measure(a, a + c * (b - a), None) for c in (0.5, 1.0)]
    worse = values[1] < values[0] if METRICS[name].better == "higher" else values[1] > values[0]
    assert worse


@pytest.mark.parametrize("name", METRICS)
def test_a_mask_of_everything_is_the_whole(name: str) -> None:
    a, b = pair()
    measure = METRICS[name].measure
    assert measure(a, b, np.ones(a.shape, dtype=bool)) == pytest.approx(measure(a, b, None))


@pytest.mark.parametrize("name", METRICS)
def test_an_empty_mask_is_refused(name: str) -> None:
    a, b = pair()
    with pytest.raises(EvaluationError, match="empty"):
        METRICS[name].measure(a, b, np.zeros(a.shape, dtype=bool))


def test_numbers_are_those_of_their_definitions() -> None:
    a, b = (x.astype(float) for x in pair())
    mse = ((a - b) ** 2).mean()
    assert METRICS["psnr"].measure(a, b, None) == pytest.approx(10 * math.log10(1 / mse))
    assert METRICS["rmse"].measure(a, b, None) == pytest.approx(math.sqrt(mse))
    assert METRICS["nmse"].measure(a, b, None) == pytest.approx(mse / (a**2).mean())


def test_blur_is_seen_in_detail() -> None:
    a, _ = pair()
    soft = gaussian_filter(a, 1.0)
    assert METRICS["high_frequency_ratio"].measure(a, soft, None) < 0.5
    assert 0 < METRICS["high_frequency_error"].measure(a, soft, None) < 1


def test_nothing_is_divided_by_an_empty_volume() -> None:
    a, b = pair()
    for name in ("nmse", "high_frequency_error", "high_frequency_ratio"):
        with pytest.raises(EvaluationError, match="divided"):
            METRICS[name].measure(np.zeros_like(a), b, None)


def test_pairs_are_found_by_id_whatever_the_order(sides: tuple[Scans, Scans]) -> None:
    real, made = sides
    assert [real[i].id == made[j].id for i, j in matched(real, made)] == [True] * 4


def test_missing_ids_are_named(sides: tuple[Scans, Scans]) -> None:
    real, made = sides
    with pytest.raises(EvaluationError, match="made lacks 'sub-0003', 'sub-0004'"):
        compare_pairs(real, made.take([2, 3]))
    with pytest.raises(EvaluationError, match="real lacks 'sub-0001'"):
        compare_pairs(real.take([1, 2, 3]), made)


def test_an_id_used_twice_is_refused(sides: tuple[Scans, Scans]) -> None:
    real, made = sides
    with pytest.raises(EvaluationError, match="'sub-0001' more than once"):
        compare_pairs(real.take([0, 0]), made)


def test_a_comparison_has_whole_head_tumour_and_healthy(sides: tuple[Scans, Scans]) -> None:
    found = compare_pairs(*sides)
    regions = {score.name.partition(" ")[2] for score in found.scores}
    assert {"", "[head]", "[healthy]", "[tumour]"} == regions
    assert [score.name for score in found.scores][: len(METRICS)] == list(METRICS)


def test_a_score_is_the_mean_of_its_rows_inside_its_interval(sides: tuple[Scans, Scans]) -> None:
    found = compare_pairs(*sides)
    score = next(score for score in found.scores if score.name == "psnr [head]")
    values = [row["psnr [head]"] for row in found.rows]
    assert score.value == pytest.approx(np.mean(values))
    assert min(values) <= score.low < score.value < score.high <= max(values)
    assert score.n == 4


def test_a_comparison_repeats_with_its_seed(sides: tuple[Scans, Scans]) -> None:
    assert compare_pairs(*sides, seed=3).scores == compare_pairs(*sides, seed=3).scores


def test_a_mask_of_the_user_is_used(sides: tuple[Scans, Scans]) -> None:
    real, made = sides
    mask = real.load(0) > EDGE
    found = compare_pairs(real.take([0]), made.take([3]), mask=lambda _: mask)
    expected = METRICS["mae"].measure(real.load(0), made.load(3), mask)
    assert found.rows[0]["mae [mask]"] == pytest.approx(expected)


def test_what_a_mask_lacks_is_said_and_not_guessed(sides: tuple[Scans, Scans]) -> None:
    real, made = sides
    full = np.ones(real.grid.shape, dtype=bool)
    found = compare_pairs(real, made, mask=lambda i: full if i else ~full)
    score = next(score for score in found.scores if score.name == "mae [mask]")
    assert score.n == 3
    assert found.rows[0]["mae [mask]"] is None
    assert "mae [mask] is over 3 of 4 pairs: the mask is empty." in found.notes


def test_identical_pairs_are_infinite_and_null_in_json(sides: tuple[Scans, Scans]) -> None:
    real, _ = sides
    found = compare_pairs(real, replace(real, name="made"))
    score = next(score for score in found.scores if score.name == "psnr")
    assert score.value == math.inf
    assert json.loads(json.dumps(score.to_dict(), allow_nan=False))["value"] is None
    assert any("psnr: 4 of 4 pairs are identical" in note for note in found.notes)


def test_one_person_has_no_interval() -> None:
    rows = [{"id": str(i), "subject": "one", "mae": float(i)} for i in range(3)]
    (score,), _ = summarise(rows, seed=0)
    assert (score.value, score.low, score.high) == (1.0, None, None)


def test_labels_come_as_stored(sides: tuple[Scans, Scans]) -> None:
    labels = load_labels(sides[0], 0)
    assert set(np.unique(labels)) <= {0, 1, 2, 4}
    assert (labels > 0).any()


def test_resampled_labels_stay_labels(sides: tuple[Scans, Scans]) -> None:
    real, _ = sides
    cohort = Cohort(real.subjects)
    fine, _ = open_sides({"real": cohort}, spacing=(3.5, 3.5, 3.5), shape=(48, 56, 48))
    labels, before = load_labels(fine["real"], 0), load_labels(real, 0)
    assert set(np.unique(labels)) <= set(np.unique(before))
    assert (labels > 0).sum() == pytest.approx(8 * (before > 0).sum(), rel=0.15)


def test_an_image_is_no_label_map(sides: tuple[Scans, Scans], tmp_path: Path) -> None:
    real, _ = sides
    volume = real.volume(0.5 * real.load(0))
    volume.save(tmp_path / "image.nii.gz", dtype="float32")
    subject = replace(real[0], images={**real[0].images, "seg": tmp_path / "image.nii.gz"})
    with pytest.raises(EvaluationError, match="no labels"):
        load_labels(replace(real, subjects=(subject,)), 0)
    with pytest.raises(EvaluationError, match="has no 'rois'"):
        load_labels(real, 0, "rois")
