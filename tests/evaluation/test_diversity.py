"""Pairs within a set: how they are drawn, what their mean says, how sure it is."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from brainweave.data.cohort import Cohort, Subject
from brainweave.data.intensity import Fixed
from brainweave.data.phantom import write_phantoms
from brainweave.errors import EvaluationError
from brainweave.evaluation.diversity import NAME, diversity, draw_pairs, interval
from brainweave.evaluation.scans import Scans, open_sides
from brainweave.evaluation.similarity import ms_ssim


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    folder = tmp_path_factory.mktemp("diverse")
    table = write_phantoms(folder, 12, shape=(22, 24, 22), spacing=8.0)
    sides, _ = open_sides({"real": Cohort.open(table)})
    return sides["real"]


def changed(real: Scans, folder: Path, how: str) -> Scans:
    """Volumes made of the real ones: noisy, or the mean brain with little of each person."""
    volumes = [real.load(i) for i in range(len(real))]
    mean = np.mean(volumes, axis=0)
    random = np.random.default_rng(0)
    subjects = []
    for index, volume in enumerate(volumes):
        noise = 0.1 * random.standard_normal(volume.shape) * (mean > 0)
        x = volume + noise if how == "noisy" else 0.8 * mean + 0.2 * volume
        path = folder / f"{how}{index}.nii.gz"
        real.volume(x.astype(np.float32)).save(path, dtype="float32")
        subjects.append(Subject(id=f"m{index}", images={"t1w": path}))
    ready = real.preprocess.replace(intensity=Fixed(source_low=0, source_high=1, low=0, high=1))
    return Scans("made", tuple(subjects), real.modality, ready, real.grid)


@pytest.mark.parametrize(("n", "rounds"), [(8, 3), (8, 7), (9, 4)])
def test_rounds_use_every_scan_alike(n: int, rounds: int) -> None:
    pairs = draw_pairs([str(i) for i in range(n)], rounds * (n // 2), seed=1)
    times = Counter(scan for pair in pairs for scan in pair)
    assert max(times.values()) - min(times.get(i, 0) for i in range(n)) <= n % 2


def test_pairs_are_distinct_and_at_most_all() -> None:
    pairs = draw_pairs([str(i) for i in range(7)], 1000)
    assert len(pairs) == len(set(pairs)) == 7 * 6 // 2
    assert all(a < b for a, b in pairs)


def test_nobody_is_paired_with_themselves() -> None:
    persons = ["a", "a", "b", "c", "c", "c"]
    pairs = draw_pairs(persons, 100)
    assert len(pairs) == 15 - 1 - 3
    assert all(persons[a] != persons[b] for a, b in pairs)


def test_pairs_repeat_with_their_seed() -> None:
    persons = [str(i) for i in range(10)]
    assert draw_pairs(persons, 12, seed=4) == draw_pairs(persons, 12, seed=4)
    assert draw_pairs(persons, 12, seed=4) != draw_pairs(persons, 12, seed=5)


@pytest.mark.parametrize("persons", [[], ["a"], ["a", "a"]])
def test_one_person_has_no_diversity(persons: list[str]) -> None:
    with pytest.raises(EvaluationError, match="two persons"):
        draw_pairs(persons, 3)


def test_the_value_is_the_mean_over_pairs(real: Scans) -> None:
    made, score = diversity(real, real, pairs=10)
    pairs = draw_pairs(real.persons, 10)
    expected = np.mean([ms_ssim(real.load(a), real.load(b)) for a, b in pairs])
    assert made.value == pytest.approx(expected)
    assert (made.name, made.n, score.name) == (NAME, 10, f"{NAME} [real]")
    assert made.null_mean == score.value


def test_real_against_real_is_within_its_null(real: Scans) -> None:
    score, _ = diversity(real.take(range(0, 12, 2)), real.take(range(1, 12, 2)), pairs=15)
    assert abs(score.z) < 3
    assert score.low < score.value < score.high


def test_copies_of_a_mean_are_above_and_noise_is_below(real: Scans, tmp_path: Path) -> None:
    alike, _ = diversity(real, changed(real, tmp_path, "alike"), pairs=30)
    noisy, own = diversity(real, changed(real, tmp_path, "noisy"), pairs=30)
    assert alike.z > 3
    assert noisy.z < 0  # about -2: twelve heads cannot say more
    assert noisy.value < own.low


def test_the_interval_is_that_of_independent_pairs_where_nobody_is_shared() -> None:
    values = np.random.default_rng(0).standard_normal(40)
    pairs = [(2 * i, 2 * i + 1) for i in range(40)]
    low, high = interval(pairs, values, [str(i) for i in range(80)])
    half = 1.96 * values.std(ddof=1) / np.sqrt(40)
    assert (high - low) / 2 == pytest.approx(half, rel=0.03)


def test_the_interval_widens_where_persons_are_shared() -> None:
    random = np.random.default_rng(0)
    persons = [str(i) for i in range(20)]
    own = random.standard_normal(20)
    pairs = draw_pairs(persons, 190)
    values = np.array([own[a] + own[b] for a, b in pairs])
    low, high = interval(pairs, values, persons)
    half = 1.96 * 2 * own.std(ddof=1) / np.sqrt(20)  # of a mean of sums of two
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)


def test_few_persons_have_no_interval() -> None:
    assert interval([(0, 1), (0, 2)], np.array([0.1, 0.2]), ["a", "b", "c"]) == (None, None)
