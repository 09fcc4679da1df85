"""The first look: real beside made, and every doubt about the volumes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from judging import changed, known, remade, settled, snow, told

from brainweave.data.cohort import Cohort
from brainweave.errors import EvaluationError
from brainweave.evaluation.bench import Bench
from brainweave.evaluation.overview import overview


def plain(bench: Bench, **sides: object) -> Bench:
    """Without features, which this chapter does not look at."""
    return remade(settled(bench, features=()), None, **sides)


def test_real_and_made_volumes_are_shown_side_by_side(bench: Bench) -> None:
    (figure,) = overview(bench).figures
    assert isinstance(figure.body, bytes)
    assert figure.body.startswith(b"\x89PNG")
    assert figure.synthetic


def test_few_volumes_are_said(bench: Bench) -> None:
    few = plain(bench, made=bench.made.subjects[:8])
    assert "fair: 40 real persons: so few show only large differences" in told(overview(few))
    assert "bad: 8 made heads: so few say next to nothing" in told(overview(few))


def test_cohorts_of_one_age_distribution_leave_no_doubt_of_age(bench: Bench) -> None:
    assert "Ages differ" not in told(overview(bench))
    assert told(overview(bench), "like") == ""


def test_younger_made_volumes_are_named(bench: Bench, young: Cohort) -> None:
    chapter = overview(plain(bench, made=young.subjects))
    assert "bad: Made volumes are of younger ages: 27 against 50 years." in told(chapter, "like")
    assert "fair: Ages differ: real 50" in told(chapter, "distrust")


def test_missing_ages_are_counted(bench: Bench) -> None:
    subjects = known(bench.made.subjects, age=[None] * 3 + [40.0] * 37)
    said = told(overview(plain(bench, made=subjects)))
    assert "fair: 3 of 40 made volumes have no age." in said


def test_sides_without_any_age_are_shown_too(bench: Bench) -> None:
    bare = {name: known(s.subjects, age=[None] * 40) for name, s in bench.sides.items()}
    chapter = overview(plain(bench, **bare))
    assert "fair: 40 of 40 made volumes have no age." in told(chapter)
    assert len(chapter.figures) == 1


def test_a_shift_of_sites_is_said(bench: Bench) -> None:
    real = known(bench.real.subjects, site=["a"] * 20 + ["b"] * 20)
    made = known(bench.made.subjects, site=["a"] * 36 + ["b"] * 4)
    said = told(overview(plain(bench, real=real, made=made)))
    assert "Site shift: 50% of real and 90% of made volumes are of a" in said


def test_equal_shares_of_sites_are_no_shift(bench: Bench) -> None:
    sites = {n: known(s.subjects, site=["a", "b"] * 20) for n, s in bench.sides.items()}
    assert "Site shift" not in told(overview(plain(bench, **sites)))


def test_volumes_that_are_no_brains_are_counted_and_named(bench: Bench, tmp_path: Path) -> None:
    made = bench.made.subjects
    chapter = overview(plain(bench, made=[*made[:9], *changed(made[9:11], tmp_path, snow())]))
    assert "bad: 2 made volumes look like no brain of this space" in told(chapter, "distrust")
    assert "made-10, made-11" in told(chapter, "like")


def test_a_volume_on_its_head_is_no_brain_of_this_space(bench: Bench, tmp_path: Path) -> None:
    turned = changed(bench.made.subjects[:1], tmp_path, lambda data: np.flip(data, 2).copy())
    said = told(overview(plain(bench, made=[*turned, *bench.made.subjects[1:5]])), "like")
    assert "1 made volume looks like no brain" in said


def test_a_persons_scans_count_as_one(bench: Bench) -> None:
    same = [replace(s, subject="one") for s in bench.real.subjects[:10]]
    real = [*same, *bench.real.subjects[10:]]
    assert "31 real persons" in told(overview(plain(bench, real=real)))


def test_made_files_that_are_real_files_are_refused(bench: Bench) -> None:
    with pytest.raises(EvaluationError, match=r"all \d+ made files are also among the real"):
        overview(plain(bench, made=bench.real.subjects))


def test_made_files_that_are_training_files_are_told(bench: Bench) -> None:
    shown = plain(bench, made=bench.made.subjects, train=bench.made.subjects[:5])
    assert "bad: 5 of 40 made files are also train files" in told(overview(shown), "copy")


def test_real_persons_who_have_an_id_of_train_are_told(bench: Bench) -> None:
    shown = plain(bench, train=bench.real.subjects[:5])
    assert "5 of 40 real persons have an id that is in train" in told(overview(shown), "distrust")
