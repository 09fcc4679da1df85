"""The memorisation audit on brains that are a mean plus what is each one's own."""

import numpy as np
import pytest

from brainweave.errors import EvaluationError
from brainweave.evaluation.copies import closest, duplicates, merged, same_person
from brainweave.evaluation.memorisation import Audit, Brains, audit
from brainweave.evaluation.proximity import Nearer, Panel, alike, equal, nearer, weighed
from brainweave.evaluation.residuals import Frame

EDGE = 10


def brains(
    count: int, seed: int, *, name: str = "p", sites: tuple[str, ...] | None = None
) -> Brains:
    """Balls with noise of their own; a site adds a pattern."""
    random = np.random.default_rng(seed)
    x = np.linspace(-1, 1, EDGE)
    ball = (x[:, None, None] ** 2 + x[:, None] ** 2 + x**2 < 0.9) * 0.8
    volumes = ball * (1 + 0.2 * random.standard_normal((count, EDGE, EDGE, EDGE)))
    own = sites or ("",) * count
    pattern = np.random.default_rng(99).standard_normal((EDGE, EDGE, EDGE)) * 0.2 * ball
    volumes += np.array([site == "b" for site in own])[:, None, None, None] * pattern
    persons = tuple(f"{name}{seed}-{i}" for i in range(count))
    return Brains(volumes.clip(0, 2), persons, own)


def panel(made: int, train: int, test: int, seed: int, copies: int = 0) -> Panel:
    """Points in 8 dimensions; the first made ones are copies of training points."""
    random = np.random.default_rng(seed)
    a, b = random.standard_normal((made, 8)), random.standard_normal((train + test, 8))
    a[:copies] = b[:train][np.arange(copies) % train] + 1e-3
    distances = np.linalg.norm(a[:, None] - b[None], axis=2)
    count = train + test
    return Panel(distances, np.arange(count), np.zeros(count, int), np.arange(count) < train)


@pytest.fixture(scope="module")
def honest() -> Audit:
    return audit(brains(30, 1), brains(30, 2), brains(30, 3))


@pytest.fixture(scope="module")
def thief() -> Audit:
    """Copies of all of many training volumes, with noise, every other mirrored; few held out."""
    train = brains(60, 2)
    noise = 0.02 * np.random.default_rng(5).standard_normal(train.volumes.shape)
    stolen = train.volumes + noise
    stolen[::2] = stolen[::2, ::-1]
    return audit(Brains(stolen, brains(60, 7).persons, ("",) * 60), train, brains(15, 3))


def value(found: Audit, name: str) -> float:
    return next(score.value for score in found.scores if score.name == name)


# Nearer to train than to test


@pytest.fixture(scope="module")
def trials() -> list[Nearer]:
    """The verdict on 50 draws of points without copies."""
    return [nearer(weighed, panel(50, 25, 25, seed), seed=seed) for seed in range(50)]


def test_the_interval_holds_a_half_for_equal_distributions(trials):
    assert 0.86 <= np.mean([test.low <= 0.5 <= test.high for test in trials]) <= 1
    assert np.mean([test.value for test in trials]) == pytest.approx(0.5, abs=0.03)


def test_the_spread_under_exchanges_is_that_of_new_draws(trials):
    spread = np.std([test.value for test in trials])
    assert spread == pytest.approx(np.mean([test.sd for test in trials]), rel=0.3)


def test_made_volumes_are_not_taken_for_independent():
    test = nearer(weighed, panel(400, 20, 20, 0))
    assert test.sd > 1.5 * np.sqrt(0.25 / 400)


def test_copies_of_all_of_train_are_certain_whatever_the_sizes():
    for sizes in ((60, 30, 30), (90, 90, 12)):
        test = nearer(weighed, panel(*sizes, seed=0, copies=sizes[0]))
        assert test.value == 1
        assert test.low > 0.5
        assert test.p < 0.01


def test_both_shares_agree_on_equal_sizes():
    one = panel(50, 25, 25, 3, copies=10)
    random = np.random.default_rng(0)
    assert equal(one, random, draws=1) == pytest.approx(weighed(one, random))


def test_drawing_equally_many_has_no_bias_of_size():
    values = [equal(panel(40, 80, 20, s), np.random.default_rng(s), draws=5) for s in range(60)]
    assert np.mean(values) == pytest.approx(0.5, abs=0.04)


def test_ties_count_half():
    tied = Panel(np.ones((5, 6)), np.arange(6), np.zeros(6, int), np.arange(6) < 3)
    random = np.random.default_rng(0)
    assert equal(tied, random) == weighed(tied, random) == 0.5


def test_nobody_is_on_both_sides_and_every_stratum_is_balanced():
    strata = np.array([0] * 8 + [1] * 8)
    persons = np.repeat(np.arange(8), 2)
    trained = np.repeat([1, 1, 1, 0, 1, 0, 0, 0], 2).astype(bool)
    one = Panel(np.zeros((1, 16)), persons, strata, trained)
    for seed in range(5):
        a, b = one.draw(np.random.default_rng(seed))
        assert len(set(persons[a])) == len(a) == len(b) == 2
        assert sorted(strata[a]) == sorted(strata[b])
        other = one.exchanged(np.random.default_rng(seed)).trained
        assert all(len(set(other[persons == p])) == 1 for p in range(8))
        assert other[:8].sum() == trained[:8].sum()


def test_the_mirror_image_of_a_brain_is_as_near_as_the_brain():
    some = brains(5, 0).volumes
    frame = Frame.of(some)
    np.testing.assert_allclose(np.diag(frame.correlations(some[:, ::-1], some)), 1, atol=1e-5)


def test_the_mean_brain_has_no_residual():
    some = brains(5, 0).volumes
    assert np.abs(Frame.of(some).residuals(some.mean(0)[None])).max() < 1e-3


# The audit


def test_new_brains_are_no_copies(honest):
    assert honest.verdict == "no sign"
    assert honest.words.startswith("No sign of copying")
    test = honest.tests["residual/P(d_train < d_test)"]
    assert test.low < 0.5 < test.high
    assert value(honest, "nearest r/one person") == 0


def test_noisy_mirrored_copies_are_found(thief):
    assert thief.verdict == "copies"
    assert thief.tests["residual/P(d_train < d_test), all of train"].low > 0.5
    assert value(thief, "nearest r/one person") == 1
    assert value(thief, "residual/authentic") == 0


def test_the_closest_pairs_are_the_copies(thief):
    assert len(thief.closest) == 5
    assert all(pair.made == pair.other and pair.r > 0.9 for pair in thief.closest)


def test_a_few_copies_are_found_that_no_share_can_show():
    train, made = brains(30, 2), brains(30, 1)
    made.volumes[4] = train.volumes[9]
    found = audit(made, train, brains(30, 3))
    assert found.verdict == "copies"
    assert found.words.startswith("Copies: 1 of 30")
    assert (found.closest[0].made, found.closest[0].other) == (4, 9)


def test_too_few_persons_are_no_verdict():
    assert audit(brains(30, 1), brains(30, 2), brains(5, 3)).verdict == "cannot tell"


def test_sites_that_differ_are_matched():
    mixed = ("a",) * 20 + ("b",) * 20
    train, test = brains(40, 2, sites=mixed), brains(30, 3, sites=("a",) * 10 + ("b",) * 20)
    found = audit(brains(40, 1, sites=("a",) * 40), train, test)
    assert found.verdict == "no sign"
    assert any("compared within sites" in line for line in found.said)


def test_a_training_set_from_elsewhere_gives_no_verdict():
    train = brains(40, 2, sites=("b",) * 40)
    hidden = Brains(train.volumes, train.persons, ("",) * 40)
    found = audit(brains(30, 1, sites=("b",) * 30), hidden, brains(40, 3))
    assert found.verdict == "cannot tell"
    assert "differ" in found.words


def test_persons_and_files_of_both_sides_are_left_out():
    train, test = brains(30, 2), brains(30, 3)
    both = Brains(
        np.concatenate([test.volumes, train.volumes[:4]]),
        (*test.persons, *train.persons[:2], "x", "y"),
        ("",) * 34,
    )
    found = audit(brains(20, 1), train, both)
    assert found.said[0].startswith("2 real volumes are of persons who trained")
    assert found.said[1].startswith("2 real volumes are training volumes under other names")


def test_only_training_volumes_left_is_refused():
    train = brains(10, 2)
    with pytest.raises(EvaluationError, match="says nothing"):
        audit(brains(10, 1), train, train)


def test_features_are_looked_at_beside_residuals():
    random = np.random.default_rng(0)
    made, train, test = (random.standard_normal((n, 4)) for n in (24, 20, 20))
    made[:20] = train
    sides = brains(24, 1), brains(20, 2), brains(20, 3)
    found = audit(*sides, spaces={"pca": (made, train, test)})
    gap = next(s for s in found.scores if s.name == "pca/frechet train - test")
    assert found.verdict == "copies"
    assert "pca" in found.words
    assert gap.value < 0
    assert gap.z is not None


# Pairs


def test_repeated_heads_are_counted_once():
    heads = brains(5, 1).volumes
    made, real = np.concatenate([heads, heads[:2]]), brains(20, 2)
    frame = Frame.of(real.volumes)
    own, among = (frame.correlations(v, v) for v in (made, real.volumes))
    persons = [str(i) for i in range(7)]
    scores, pairs = duplicates(own, persons, among, real.persons, threshold=0.9, seed=0)
    assert {(pair.made, pair.other) for pair in pairs} == {(0, 5), (1, 6)}
    assert scores[0].value == pytest.approx(4 / 7, abs=0.1)  # chance doubles by half the real
    assert scores[2].value == 5


def test_volumes_of_one_made_person_are_no_duplicates():
    heads = brains(4, 1).volumes
    real = brains(20, 2)
    frame = Frame.of(real.volumes)
    own, among = (frame.correlations(v, v) for v in (heads[[0, 0, 1, 2]], real.volumes))
    scores, pairs = duplicates(
        own, ["a", "a", "b", "c"], among, real.persons, threshold=0.9, seed=0
    )
    assert not pairs
    assert scores[0].value < 0.15
    assert scores[2].value == 3


def test_one_doubled_scan_among_the_real_does_not_hide_repeats():
    heads, real = brains(6, 1).volumes, brains(20, 2)
    doubled = np.concatenate([real.volumes, real.volumes[:1]])
    frame = Frame.of(doubled)
    own, among = (frame.correlations(v, v) for v in (np.repeat(heads, 3, axis=0), doubled))
    persons = merged(among, [str(i) for i in range(21)])
    assert len(set(persons)) == 20
    scores, _ = duplicates(own, [str(i) for i in range(18)], among, persons, threshold=0.9, seed=0)
    assert scores[0].value > 0.5


def test_more_made_volumes_are_not_more_duplicates():
    real, made = brains(40, 2), brains(200, 3).volumes
    frame = Frame.of(real.volumes)
    own, among = (frame.correlations(v, v) for v in (made, real.volumes))
    scores, _ = duplicates(
        own, [str(i) for i in range(200)], among, real.persons, threshold=0.9, seed=0
    )
    assert abs(scores[0].z or 0) < 3


def test_rescans_set_the_threshold_of_one_person():
    real = np.full((12, 12), 0.2)
    persons = [str(i // 2) for i in range(12)]
    for i in range(0, 12, 2):
        real[i, i + 1] = real[i + 1, i] = 0.7
    assert same_person(real, persons)[0] == pytest.approx(0.7)
    assert "6 pairs" in same_person(real, persons)[1]
    assert same_person(real, [str(i) for i in range(12)])[0] == pytest.approx(0.85)


def test_closest_pairs_name_each_made_volume_once():
    found = closest(np.array([[0.1, 0.9], [0.8, 0.7], [0.2, 0.3]]), count=2)
    assert [(p.made, p.other, p.r) for p in found] == [(0, 1, 0.9), (1, 0, 0.8)]


def test_real_volumes_of_two_kinds_lie_apart():
    random = np.random.default_rng(0)
    x = random.standard_normal((40, 3)) + 4 * (np.arange(40) < 20)[:, None]
    distances = np.linalg.norm(x[:, None] - x[None], axis=2)
    one = Panel(distances, np.arange(40), np.zeros(40, int), np.arange(40) < 20)
    assert alike(one, random) > 0.95
    assert alike(one.exchanged(random), random) < 0.8
