"""`evaluate` as a function: what it takes, what it refuses at once, and what the report names."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judging import QUIET

from brainweave.data.cohort import Cohort
from brainweave.errors import CohortError, EvaluationError, ShapeError
from brainweave.evaluation.evaluate import evaluate, prepare
from brainweave.evaluation.report import Report
from brainweave.evaluation.settings import Settings

LIGHT = Settings(features=("wavelet",), draws=4, pairs=4, metrics=("frechet", "kid"))


@pytest.fixture(scope="module")
def report(sides: Path, kept: Path) -> Report:
    """Of phantoms of one distribution, whose maker's loss is lower for those that trained it."""

    def losses(cohort: Cohort) -> np.ndarray:
        random = np.random.default_rng(len(cohort.source))
        return random.normal(size=len(cohort)) - 3 * (cohort.source == "train")

    places = (f"{sides / name / 'cohort.csv'}:sex=F" for name in ("real", "made", "train"))
    return evaluate(*places, settings=LIGHT, cache=kept, losses=losses)


def test_real_against_real_has_no_bad_answer(report: Report) -> None:
    assert report.answer("like") in ("No difference found", "Nearly")


def test_every_question_is_answered(report: Report) -> None:
    assert {finding.topic for finding in report.findings} == {"like", "obey", "copy", "distrust"}


def test_every_chapter_gives_scores(report: Report) -> None:
    names = " ".join(score.name for score in report.scores)
    for part in ("wavelet/", "appearance/", "anatomy/", "age mae", "copies/", "ms_ssim"):
        assert part in names


def test_a_loss_that_tells_who_trained_is_said(report: Report) -> None:
    said = [f for f in report.findings if "loss tells training volumes" in f.text]
    assert [f.grade for f in said] == ["fair"]
    assert "area of 0.9" in said[0].text or "area of 1.0" in said[0].text


def test_no_finding_is_said_twice(report: Report) -> None:
    assert len(set(report.findings)) == len(report.findings)


def test_a_report_names_sides_choices_features_and_versions(report: Report) -> None:
    assert report.facts["compared"]["real"].startswith("20 volumes, ")
    assert report.facts["choices"]["draws"] == 4
    assert report.facts["choices"]["grid"].startswith("(32, 40, 32) voxels of (5.0, 5.0")
    assert "176 numbers of " in report.facts["features"]["wavelet"]
    assert {"brainweave", "python", "torch", "numpy", "scipy"} == set(report.facts["versions"])


def test_cohorts_are_sources_as_paths_are(sides: Path, kept: Path) -> None:
    opened, paths = cohorts(sides, 40), {name: sides / name for name in ("real", "made")}
    found = [prepare(sources, LIGHT, cache=kept, reporter=QUIET)[0] for sources in (opened, paths)]
    for side in ("real", "made"):
        a, b = (bench.spaces[0].vectors[side] for bench in found)
        assert np.array_equal(a, b)


def test_younger_volumes_are_named(sides: Path, kept: Path) -> None:
    found = evaluate(sides / "real", sides / "young", settings=LIGHT, cache=kept)
    said = " ".join(f.text for f in found.findings if f.topic == "like")
    assert found.answer("like") == "No"
    assert "Made volumes are of younger ages" in said


def test_five_real_volumes_are_judged_with_warnings(sides: Path, kept: Path) -> None:
    five = Cohort.open(sides / "real")[::8]
    both = replace(LIGHT, features=("wavelet", "pca"))
    found = evaluate(five, Cohort.open(sides / "made")[::4], settings=both, cache=kept)
    said = " ".join(f.text for f in found.findings if f.topic == "distrust")
    assert found.answer("distrust") == "Do not rely on it"
    for words in ("5 real persons", "pca features were left out", "Anatomy was not compared"):
        assert words in said


def cohorts(sides: Path, count: int = 8) -> dict[str, Cohort]:
    return {name: Cohort.open(sides / name)[:count] for name in ("real", "made")}


def refused(sources: dict[str, Cohort], **changes: object) -> str:
    """What `prepare` says, which comes before features."""
    with pytest.raises((EvaluationError, CohortError, ShapeError)) as error:
        prepare(sources, replace(LIGHT, **changes), cache=None, reporter=QUIET)
    return str(error.value)


def test_membership_of_too_few_is_said_and_costs_no_report(sides: Path, kept: Path) -> None:
    some = cohorts(sides)
    found = evaluate(
        *(some["real"], some["made"], Cohort.open(sides / "train")[:8]),
        settings=LIGHT,
        cache=kept,
        losses=lambda cohort: np.zeros(len(cohort)),
    )
    assert "loss tells who trained it was not tested: members: 8 of 8" in found.summary()


def test_few_persons_are_refused_however_many_their_scans(sides: Path) -> None:
    some = cohorts(sides)
    some["real"] = Cohort(replace(s, subject=f"p{i % 3}") for i, s in enumerate(some["real"]))
    assert refused(some).startswith("3 real persons and 8 made volumes: 4 real and 2 made")


def test_unknown_metrics_are_refused_before_volumes_are_opened(sides: Path) -> None:
    assert refused({}, metrics=("fid",)).startswith("no metric 'fid'; there are frechet")


def test_pairs_without_partners_are_refused_before_features(sides: Path) -> None:
    assert "made lacks 'real-01'" in refused(cohorts(sides), paired=True)


def test_a_modality_that_nobody_has_is_refused(sides: Path) -> None:
    assert "8 of 8 subjects" in refused(cohorts(sides), modality="t2w")


def test_membership_without_training_volumes_is_refused_at_once(sides: Path) -> None:
    with pytest.raises(EvaluationError, match="give --train"):
        evaluate("nowhere", "nowhere", losses=lambda cohort: np.zeros(len(cohort)))


def test_scans_of_one_person_are_told_in_the_facts(sides: Path) -> None:
    some = cohorts(sides)
    some["real"] = Cohort(replace(s, subject=f"p{i // 2}") for i, s in enumerate(some["real"]))
    settings = replace(LIGHT, features=())
    _, facts = prepare(some, settings, cache=None, reporter=QUIET)
    assert facts["compared"]["real"].startswith("8 volumes of 4 persons, ")
