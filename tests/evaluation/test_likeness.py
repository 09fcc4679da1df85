"""Are they alike: features, appearance, strata, and words for what is wrong."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judging import changed, known, remade, settled, snow, told
from scipy.ndimage import gaussian_filter

from brainweave.evaluation.bench import Bench, Chapter
from brainweave.evaluation.likeness import likeness, strata


@pytest.fixture(scope="module")
def alike(bench: Bench) -> Chapter:
    return likeness(settled(bench, by=("sex", "hospital")))


def test_volumes_of_one_distribution_are_found_alike(alike: Chapter) -> None:
    assert "bad" not in {f.grade for f in alike.findings if f.topic == "like"}
    assert told(alike, "like").startswith(("good: 0 of", "fair: 0 of"))


def test_no_feature_differs_clearly_where_nothing_is_wrong(alike: Chapter) -> None:
    scores = [s for s in alike.scores if s.name.startswith(("wavelet/", "pca/"))]
    assert len(scores) > 20
    assert max(abs(s.z or 0) for s in scores) < 3


def test_every_feature_space_is_also_tested_by_permutation(alike: Chapter) -> None:
    table = next(table for table in alike.tables if "exchangeable" in table.title)
    assert [row[0] for row in table.rows] == ["wavelet", "pca"]
    p = table.columns.index("p")
    assert all(0 < row[p] <= 1 for row in table.rows)
    assert max(row[p] for row in table.rows) > 0.01


def test_features_carry_the_hash_of_who_described_them(bench: Bench, alike: Chapter) -> None:
    digests = {s.name.split("/")[0]: s.digest for s in alike.scores if s.digest}
    assert digests == {space.name: space.digest for space in bench.spaces}


def test_strata_are_compared_by_themselves(alike: Chapter) -> None:
    names = {score.name for score in alike.scores}
    assert {"wavelet/frechet [sex=F]", "pca/mmd [sex=M]"} <= names


def test_a_column_that_nobody_has_is_said(alike: Chapter) -> None:
    assert "fair: Nothing was compared by hospital: no scan has it." in told(alike)


def test_strata_of_too_few_scans_are_said(bench: Bench) -> None:
    sites = ["a"] * 30 + ["b"] * 10
    sided = {n: known(bench.sides[n].subjects, site=sites) for n in ("real", "made")}
    few = remade(settled(bench, by=("site",), features=()), None, **sided)
    said = told(likeness(few))
    assert "By site, fewer than 20 a side were not compared: b (10 real, 10 made)." in said


def test_age_bins_are_decades(bench: Bench) -> None:
    subjects = known(bench.made.subjects[:4], age=[20.0, 29.99, 80.0, None])
    made = remade(settled(bench, features=()), None, made=subjects).made
    assert strata(made, "age_bin") == ["20-29", "20-29", "80-89", ""]


def test_numbers_are_strata_too(bench: Bench) -> None:
    subjects = known(bench.made.subjects[:3], field=[1.5, 3.0, None])
    made = remade(settled(bench, features=()), None, made=subjects).made
    assert strata(made, "field") == ["1.5", "3", ""]


def test_only_the_metrics_that_were_asked_for(bench: Bench) -> None:
    chapter = likeness(settled(bench, metrics=("frechet",)))
    names = {s.name for s in chapter.scores if s.name.startswith(("wavelet/", "pca/"))}
    assert names == {"wavelet/frechet", "pca/frechet"}


def test_diversity_is_beside_that_of_real_volumes(alike: Chapter) -> None:
    made, real = (s for s in alike.scores if "diversity" in s.name)
    assert made.null_mean == real.value


def test_one_made_head_has_no_diversity_and_that_is_said(bench: Bench, kept: Path) -> None:
    one = [replace(s, subject="head") for s in bench.made.subjects[:8]]
    assert "Diversity was not measured" in told(likeness(remade(bench, kept, made=one)))


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("noisy", lambda data: data + np.random.default_rng(1).normal(0, 60, data.shape)),
        ("blurred", lambda data: gaussian_filter(data, 0.8)),
        ("brighter", lambda data: 1.2 * data),
        ("No", snow()),
    ],
    ids=["noise", "blur", "brightness", "snow"],
)
def test_what_is_wrong_with_volumes_is_named(
    bench: Bench, tmp_path: Path, words: str, change: object
) -> None:
    made = changed(bench.made.subjects, tmp_path, change)
    only = settled(bench, features=("wavelet",), metrics=("frechet",), pairs=4)
    said = told(likeness(remade(only, None, made=made)), "like")
    assert "bad: 1 of 1 comparisons of features" in said
    assert words == "No" or words in said.splitlines()[-1]
