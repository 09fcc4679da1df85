"""Do they obey: what is asked is seen, is not seen, or cannot be told."""

import numpy as np
import pytest
from judging import known, remade, settled, told

from brainweave.evaluation.bench import Bench
from brainweave.evaluation.obedience import obedience
from brainweave.evaluation.report import Report


@pytest.fixture(scope="module")
def plain(bench: Bench) -> Bench:
    """Without features, which this chapter does not look at."""
    return remade(settled(bench, features=()))


def shuffled(plain: Bench, side: str, column: str) -> list[object]:
    values = [subject.covariates[column] for subject in plain.sides[side].subjects]
    return [values[i] for i in np.random.default_rng(4).permutation(len(values))]


def answer(plain: Bench) -> str:
    chapter = obedience(plain)
    return Report("", tuple(chapter.findings), ()).answer("obey")


def test_phantoms_obey(plain: Bench) -> None:
    said = told(obedience(plain), "obey").splitlines()
    assert said[0].startswith("good: Age as seen correlates with the age asked at r 0.")
    assert said[1].startswith("good: Sex as asked is told apart with an area of ")


def test_real_volumes_come_first_in_every_table(plain: Bench) -> None:
    tables = obedience(plain).tables
    assert [table.rows[0][0] for table in tables] == ["real age mae", "real sex auc"]


def test_age_seen_is_drawn_against_age_asked(plain: Bench) -> None:
    titles = [figure.title for figure in obedience(plain).figures]
    assert titles == ["Age seen against age asked", "How old volumes look"]


def test_ages_that_were_not_heard_are_found(plain: Bench) -> None:
    made = known(plain.made.subjects, age=shuffled(plain, "made", "age"))
    assert told(obedience(remade(plain, made=made)), "obey").startswith("bad: Age as seen")


def test_sexes_that_were_not_heard_are_found(plain: Bench) -> None:
    made = known(plain.made.subjects, sex=shuffled(plain, "made", "sex"))
    said = told(obedience(remade(plain, made=made)), "obey").splitlines()[1]
    assert said.startswith(("bad: Sex as asked", "fair: Sex as asked"))


def test_years_that_count_threefold_are_no_obedience(plain: Bench) -> None:
    ages = [50 + (s.covariates["age"] - 50) / 3 for s in plain.made.subjects]
    made = known(plain.made.subjects, age=ages)
    said = told(obedience(remade(plain, made=made)), "obey").splitlines()[0]
    assert said.startswith("fair: Age as seen")


def test_a_judge_that_sees_no_age_in_real_volumes_does_not_answer(plain: Bench) -> None:
    sides = {
        n: known(plain.sides[n].subjects, age=shuffled(plain, n, "age")) for n in ("real", "train")
    }
    said = told(obedience(remade(plain, **sides)), "obey").splitlines()[0]
    assert said.startswith("unknown: Whether age is obeyed cannot be told: the judge hardly sees")


def test_a_judge_that_sees_no_sex_in_real_volumes_does_not_answer(plain: Bench) -> None:
    sides = {
        n: known(plain.sides[n].subjects, sex=shuffled(plain, n, "sex")) for n in ("real", "train")
    }
    said = told(obedience(remade(plain, **sides)), "obey").splitlines()[1]
    assert said.startswith("unknown: Whether sex is obeyed cannot be told: the judge hardly sees")


def test_without_ages_and_sexes_nothing_is_answered(plain: Bench) -> None:
    made = known(plain.made.subjects, age=[None] * 40, sex=[None] * 40)
    bare = remade(plain, made=made)
    assert answer(bare) == "Not tested"
    assert "Whether age is obeyed was not tested: made: 0 of 40" in told(obedience(bare), "obey")


def test_age_alone_answers_and_sex_is_a_doubt(plain: Bench) -> None:
    bare = remade(plain, made=known(plain.made.subjects, sex=[None] * 40))
    assert answer(bare) == "Yes"
    assert "Whether sex is obeyed was not tested" in told(obedience(bare), "distrust")


def test_a_model_without_age_is_not_asked_for_it(plain: Bench) -> None:
    bare = remade(plain, made=known(plain.made.subjects, age=[None] * 40))
    assert "age mae" not in {score.name for score in obedience(bare).scores}


def test_without_train_real_volumes_are_judged_in_cross_validation(plain: Bench) -> None:
    scores = {s.name: s for s in obedience(remade(plain, train=None)).scores}
    assert scores["real age r"].n == 40
    assert scores["real age r"].value > 0.5


def test_the_same_seed_gives_the_same_and_reconstructions_are_not_asked(plain: Bench) -> None:
    assert obedience(remade(plain, recon=plain.real.subjects[:2])).scores == obedience(plain).scores
