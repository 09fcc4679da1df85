"""Do they copy: exact copies, repeats, nothing, and what is said where it cannot be told."""

from dataclasses import replace

import pytest
from judging import remade, settled, told

from brainweave.data.cohort import Subject
from brainweave.evaluation.bench import Bench, Chapter
from brainweave.evaluation.copying import copying


@pytest.fixture(scope="module")
def honest(bench: Bench) -> Chapter:
    return copying(bench)


def renamed(subjects: tuple[Subject, ...], count: int) -> list[Subject]:
    """So many made volumes from these files, as if of different heads."""
    return [
        replace(subjects[i % len(subjects)], id=f"new-{i}", subject=f"new-{i}")
        for i in range(count)
    ]


def test_volumes_of_others_are_no_copies(honest: Chapter) -> None:
    first = told(honest, "copy")
    assert first.startswith(("good: No sign of copying", "unknown: Nothing speaks of copies"))


def test_nobody_repeats_where_every_head_is_new(honest: Chapter) -> None:
    assert told(honest, "like") == ""


def test_copies_of_training_volumes_are_found(bench: Bench, kept: object) -> None:
    assert bench.train is not None
    copies = remade(bench, kept, made=renamed(bench.train.subjects, 40))
    assert told(copying(copies), "copy").startswith("bad: Copies: 40 of 40 made volumes")


def test_five_volumes_repeated_are_counted(bench: Bench, kept: object) -> None:
    repeated = remade(bench, kept, made=renamed(bench.made.subjects[:5], 40))
    assert "Made volumes repeat each other: 5 different heads among 40" in told(
        copying(repeated), "like"
    )


def test_the_closest_pairs_are_shown(honest: Chapter) -> None:
    (figure,) = honest.figures
    assert isinstance(figure.body, bytes)
    assert figure.synthetic


def test_scores_belong_to_copies_and_need_no_fitted_features(honest: Chapter) -> None:
    names = {score.name for score in honest.scores}
    assert all(name.startswith("copies/") for name in names)
    assert any("wavelet" in name for name in names)
    assert not any("pca" in name for name in names)  # fitted on train: it sets that apart


def test_without_training_volumes_nothing_is_claimed(bench: Bench) -> None:
    chapter = copying(remade(settled(bench, features=()), train=None))
    assert told(chapter) == (
        "unknown: Copies were not looked for: give the training volumes with --train."
    )


def test_real_volumes_of_persons_who_trained_are_no_others(bench: Bench) -> None:
    assert bench.train is not None
    same = remade(settled(bench, features=()), real=bench.train.subjects)
    said = told(copying(same), "copy")
    assert said.startswith("unknown: Copies were not looked for: ")
    assert "40 real volumes are of persons who trained and were left out" in said
