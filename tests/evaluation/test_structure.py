"""The chapter on anatomy: which regions differ, how they age, and one head at several ages."""

from dataclasses import replace
from pathlib import Path

import pytest
from judging import known, labelled, remade, settled, told

from brainweave.data.cohort import Cohort
from brainweave.data.phantom import phantom
from brainweave.evaluation.bench import Bench, Chapter
from brainweave.evaluation.priors import build_priors
from brainweave.evaluation.structure import regions_of, structure


@pytest.fixture(scope="module")
def measured(bench: Bench, kept: Path) -> Bench:
    """Real and made phantoms, their regions among the features."""
    return remade(settled(bench, features=("regions",)), kept, train=None)


@pytest.fixture(scope="module")
def anatomy(measured: Bench) -> Chapter:
    return structure(measured)


def values(chapter: Chapter) -> dict[str, float]:
    return {score.name: score.value for score in chapter.scores}


def test_regions_of_one_distribution_do_not_differ(anatomy: Chapter) -> None:
    assert told(anatomy, "like") == ""


def test_every_region_has_its_distance_and_effect(anatomy: Chapter) -> None:
    for name in ("central csf", "total csf", "total brain"):
        assert {f"anatomy/{name}/wasserstein", f"anatomy/{name}/effect"} <= set(values(anatomy))


def test_regions_are_in_millilitres(anatomy: Chapter) -> None:
    table = next(table for table in anatomy.tables if table.title == "Regions")
    sizes = {row[0]: row[1] for row in table.rows}
    assert 900 < sizes["total brain"] < 2000


def test_curves_over_age_are_drawn(anatomy: Chapter) -> None:
    titles = [figure.title for figure in anatomy.figures]
    assert titles[0] == "Size of regions"
    assert "central csf over age" in titles


def test_without_priors_the_report_says_how_to_get_them(anatomy: Chapter) -> None:
    assert "build priors from label maps with `brainweave priors`" in told(anatomy, "distrust")


def test_brains_of_other_sizes_are_named_with_what_differs(
    measured: Bench, kept: Path, young: Cohort
) -> None:
    said = told(structure(remade(measured, kept, made=young.subjects)), "like")
    assert said.startswith("bad: Regions differ in size: ")
    assert "total brain" in said
    assert "%" in said


def test_regions_that_do_not_age_are_said(measured: Bench, kept: Path) -> None:
    ages = [s.covariates["age"] for s in measured.made.subjects]
    shuffled = known(measured.made.subjects, age=[ages[7 * i % 40] for i in range(40)])
    said = told(structure(remade(measured, kept, made=shuffled)), "obey")
    assert "Age moves these regions less than in real brains: " in said


def test_missing_ages_leave_the_comparison_of_sizes(measured: Bench, kept: Path) -> None:
    chapter = structure(remade(measured, kept, made=known(measured.made.subjects, age=[None] * 40)))
    assert "Regions were not compared over age: 0 made volumes" in told(chapter)
    assert "anatomy/total csf/effect" in values(chapter)


def test_five_real_volumes_are_too_few_and_that_is_said(measured: Bench, kept: Path) -> None:
    chapter = structure(remade(measured, kept, real=measured.real.subjects[:5]))
    assert "Anatomy was not compared: 5 real and 40 made volumes" in told(chapter)
    assert chapter.scores == []


def test_regions_are_measured_where_they_are_no_feature(measured: Bench, kept: Path) -> None:
    plain = remade(settled(measured, features=()), kept)
    assert regions_of(plain).digest == measured.spaces[0].digest


def test_regions_that_could_not_be_measured_are_not_tried_again(measured: Bench) -> None:
    failed = replace(measured, spaces=(), left={"regions": "no brain"})
    assert told(structure(failed)) == "fair: Anatomy was not compared: no brain"


def test_priors_give_names_to_regions_and_their_sides(
    measured: Bench, kept: Path, tmp_path: Path
) -> None:
    maps = Cohort(labelled(measured.real.subjects[:8], tmp_path))
    priors = build_priors(maps, regions="muse")
    chapter = structure(remade(settled(measured, priors=priors), kept))
    names = set(values(chapter))
    assert {"anatomy/left cortex/effect", "asymmetry/cortex"} <= names
    assert "Anatomy is CSF and brain as a whole" not in told(chapter)


def test_one_head_at_several_ages_is_followed(measured: Bench, tmp_path: Path) -> None:
    made = []
    for seed in range(6):
        for age in (30.0, 70.0):
            name = f"head-{seed}_{age:.0f}"
            path = tmp_path / f"{name}_T1w.nii.gz"
            phantom(age=age, sex="F", seed=seed, shape=(32, 40, 32))["t1w"].save(path)
            made.append(
                replace(
                    measured.made.subjects[0],
                    id=name,
                    subject=f"head-{seed}",
                    images={"t1w": path},
                    covariates={"age": age, "sex": "F"},
                )
            )
    chapter = structure(remade(measured, None, made=made))
    found = {score.name: score for score in chapter.scores}
    change = found["total csf/change per decade"]
    assert change.value * (change.null_mean or 0) > 0  # to the same side as in real phantoms
    assert "One head at several ages" in {table.title for table in chapter.tables}
