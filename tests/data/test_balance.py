"""Balance: how often each kind of volume is drawn, and in which order."""

from collections import Counter

import pytest

from brainweave.data.balance import shares, weighted_order, weights

KINDS = ("t1w",) * 60 + ("t2w",) * 30 + ("t1c",) * 10


def test_weights_are_a_power_of_how_many_there_are() -> None:
    found = weights(KINDS, 0.7)
    assert found[60] / found[0] == pytest.approx((30 / 60) ** -0.7)
    assert found[90] / found[0] == pytest.approx((10 / 60) ** -0.7)
    assert sum(found) == pytest.approx(len(KINDS))


def test_power_0_draws_every_volume_alike_and_1_every_kind() -> None:
    assert set(weights(KINDS, 0.0)) == {1.0}
    drawn = shares(KINDS, 1.0)
    assert [share for _, share in drawn.values()] == pytest.approx([1 / 3] * 3)


def test_shares_are_those_of_the_weights() -> None:
    found, drawn = weights(KINDS, 0.7), shares(KINDS, 0.7)
    for kind, (count, share) in drawn.items():
        own = [weight for weight, name in zip(found, KINDS, strict=True) if name == kind]
        assert count == len(own)
        assert share == pytest.approx(sum(own) / len(KINDS))


@pytest.mark.parametrize("power", [0.0, 0.7, 1.0])
def test_an_epoch_holds_each_volume_as_often_as_its_weight(power: float) -> None:
    found = weights(KINDS, power)
    for epoch in range(5):
        counts = Counter(weighted_order(found, 3, epoch))
        assert counts.total() == len(KINDS)
        assert all(abs(counts[i] - weight) < 1 for i, weight in enumerate(found))


def test_many_epochs_hold_each_volume_exactly_as_often_as_its_weight() -> None:
    found = weights(KINDS, 0.7)
    counts = Counter(i for epoch in range(400) for i in weighted_order(found, 0, epoch))
    for index, weight in enumerate(found):
        assert counts[index] / 400 == pytest.approx(weight, abs=0.12)


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    found = weights(KINDS, 0.7)
    first = list(weighted_order(found, 1, 2))
    weighted_order.cache_clear()
    assert weighted_order(found, 1, 2) == first
    assert weighted_order(found, 1, 3) != first
    assert weighted_order(found, 2, 2) != first


def test_repeats_do_not_stand_side_by_side() -> None:
    order = weighted_order(weights(("a",) * 99 + ("b",), 1.0), 0, 0)
    places = [place for place, index in enumerate(order) if index == 99]
    assert len(places) == 50
    assert len([p for p in places if p + 1 in places]) < 40
