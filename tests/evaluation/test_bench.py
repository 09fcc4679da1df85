"""The bench: which scans describe, which are compared, and what is left out and said."""

from pathlib import Path

import numpy as np
import pytest
from judging import QUIET, changed, remade, settled

from brainweave.errors import EvaluationError, VolumeError
from brainweave.evaluation.bench import Bench


def with_features(bench: Bench, *names: str) -> Bench:
    return Bench.of(bench.sides, settled(bench, features=names).settings, None, QUIET)


def broken(volume: np.ndarray, _: object) -> list[float]:
    """Features that one volume in some does not have."""
    return [float(volume.mean()), float("nan") if volume.mean() > 0 else 1.0]


def speck(data: np.ndarray) -> np.ndarray:
    """Empty but for a corner."""
    rest = np.zeros_like(data)
    rest[:3, :3, :3] = data.max()
    return rest


def mean_and_deviation(volume: np.ndarray, _: object) -> list[float]:
    return [float(volume.mean()), float(volume.std())]


def test_what_must_be_fitted_is_fitted_on_the_training_volumes(bench: Bench) -> None:
    pca = bench.spaces[1]
    assert (pca.name, pca.fits) == ("pca", True)
    assert pca.apart.tolist() == list(range(40))


def test_without_training_volumes_half_of_the_real_ones_are_kept_apart(
    bench: Bench, kept: Path
) -> None:
    wavelet, pca = remade(bench, kept, train=None).spaces
    assert wavelet.apart.tolist() == list(range(40))
    assert len(pca.apart) == 20
    fitted = set(range(40)) - set(pca.apart.tolist())
    means = [pca.vectors["real"][sorted(rows)].mean(0) for rows in (fitted, set(pca.apart))]
    assert np.abs(means[0]).max() < 1e-6 < np.abs(means[1]).max()  # centred on what it saw


def test_every_side_is_described(bench: Bench) -> None:
    for space in bench.spaces:
        assert {side: len(v) for side, v in space.vectors.items()} == {
            "real": 40,
            "made": 40,
            "train": 40,
        }


def test_options_reach_extractors(bench: Bench) -> None:
    options = {"medicalnet": {"weights": "absent.pth"}}
    with pytest.raises(EvaluationError, match=r"absent\.pth"):
        settled(bench, options=options).extractor("medicalnet")


def test_unknown_features_are_refused_before_any_volume_is_read(
    bench: Bench, tmp_path: Path
) -> None:
    settings = settled(bench, features=("wavelet", "wavelets")).settings
    with pytest.raises(EvaluationError, match="no features are called 'wavelets'"):
        Bench.of(bench.sides, settings, tmp_path / "kept", QUIET)
    assert not (tmp_path / "kept").exists()


def test_features_that_a_volume_does_not_allow_are_left_out_with_the_reason(bench: Bench) -> None:
    found = with_features(bench, f"{__name__}:mean_and_deviation", f"{__name__}:broken")
    assert [space.name for space in found.spaces] == [f"{__name__}:mean_and_deviation"]
    assert "real, subject 'real-01'" in found.left[f"{__name__}:broken"]


def test_without_any_features_left_there_is_no_comparison(bench: Bench) -> None:
    with pytest.raises(EvaluationError, match="not finite"):
        with_features(bench, f"{__name__}:broken")


def test_a_volume_without_a_brain_costs_only_the_features_that_need_one(
    bench: Bench, kept: Path, tmp_path: Path
) -> None:
    few = {name: list(scans.subjects[:6]) for name, scans in bench.sides.items()}
    few["made"][5:] = changed(few["made"][5:], tmp_path, speck)
    found = remade(settled(bench, features=("wavelet", "regions")), kept, **few)
    assert [space.name for space in found.spaces] == ["wavelet"]
    assert "made, subject 'made-06'" in found.left["regions"]


def test_too_few_persons_to_fit_and_compare_are_said(bench: Bench, kept: Path) -> None:
    found = remade(bench, kept, real=bench.real.subjects[:7], train=None)
    assert "fitted on half of 7 real persons, 3 are left" in found.left["pca"]
    assert [space.name for space in found.spaces] == ["wavelet"]


def test_a_volume_that_cannot_be_read_is_no_feature_to_leave_out(
    bench: Bench, tmp_path: Path
) -> None:
    (constant,) = changed(bench.made.subjects[:1], tmp_path, lambda data: 0 * data + 7)
    with pytest.raises(VolumeError, match="'made-01'"):
        remade(bench, None, made=[constant, *bench.made.subjects[1:3]])


def test_rows_decide_who_is_compared(bench: Bench) -> None:
    vectors = bench.spaces[0].vectors
    scores = bench.beside_null("w", vectors, metrics=["kid"], rows={"made": np.arange(6)})
    assert [(score.name, score.n) for score in scores] == [("w/kid", 6)]


def test_comparisons_follow_the_settings_draws_and_seed(bench: Bench) -> None:
    vectors = bench.spaces[0].vectors
    changes = ({}, {}, {"seed": 1}, {"draws": 5})
    same, again, seeded, fewer = (
        settled(bench, **change).beside_null("w", vectors, metrics=["kid"])[0].value
        for change in changes
    )
    assert same == again
    assert len({same, seeded, fewer}) == 3
