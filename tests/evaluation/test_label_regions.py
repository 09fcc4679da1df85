"""FlowLet's table: pairing by rank, its numbers against the dumb version, what is missing."""

import numpy as np
import pytest

from brainweave.errors import EvaluationError
from brainweave.evaluation.label_regions import (
    COLUMNS,
    Labelled,
    flowlet_table,
    label_rows,
    means,
    rank_pairs,
)


def brain(seed: int, labels: int = 4) -> Labelled:
    random = np.random.default_rng(seed)
    shape = (9, 8, 7)
    return Labelled(
        random.random(shape, dtype=np.float32), random.integers(0, labels, shape, dtype=np.int64)
    )


def dumb(real: Labelled, made: Labelled, label: int) -> dict[str, float]:
    """As the original computes it, label by label."""
    x, y = (np.rint(side.image * 255) for side in (real, made))
    a, b = real.labels == label, made.labels == label
    row = {"Dice": 2 * (a & b).sum() / (a.sum() + b.sum())}
    for suffix, mask in (("i", a & b), ("u", a | b)):
        row[f"MAE {suffix}"] = np.abs(x - y)[mask].mean()
        row[f"MSE {suffix}"] = ((x - y) ** 2)[mask].mean()
        bins = np.arange(257) - 0.5
        p, q = (np.histogram(v[mask], bins)[0] / mask.sum() for v in (x, y))
        row[f"KLD {suffix}"] = (p * np.log2(p / (q + 1e-5) + 1e-5)).sum()
    return row


def test_the_youngest_meets_the_youngest() -> None:
    pairs = rank_pairs(np.array([50.0, 20.0, 80.0]), np.array([81.0, 49.0, 22.0]))
    assert pairs == [(1, 2), (0, 1), (2, 0)]


def test_unequal_numbers_and_missing_ages_are_refused() -> None:
    with pytest.raises(EvaluationError, match="2 real and 1 made"):
        rank_pairs(np.array([1.0, 2.0]), np.array([1.0]))
    with pytest.raises(EvaluationError, match="1 made volumes have no age"):
        rank_pairs(np.array([1.0, 2.0]), np.array([1.0, np.nan]))


def test_rows_are_those_of_the_dumb_version() -> None:
    real, made = brain(0), brain(1)
    rows = list(label_rows([(real, made)]))
    assert [row["label"] for row in rows] == [1, 2, 3]
    for row in rows:
        expected = dumb(real, made, row["label"])
        assert {name: row[name] for name in COLUMNS} == pytest.approx(expected, rel=1e-9)


def test_equal_brains_are_perfect() -> None:
    (row, *_) = label_rows([(brain(0), brain(0))])
    assert (row["MAE u"], row["MSE i"], row["Dice"]) == (0, 0, 1)
    assert row["KLD i"] == pytest.approx(0, abs=5e-3)


def test_a_label_of_one_side_only_has_dice_zero_and_no_intersection() -> None:
    real, made = brain(0), brain(1)
    only = made._replace(labels=np.where(made.labels == 3, 9, made.labels))
    rows = {row["label"]: row for row in label_rows([(real, only)])}
    for label in (3, 9):
        assert rows[label]["Dice"] == 0
        assert rows[label]["MAE i"] is None
        assert rows[label]["MAE u"] > 0


def test_missing_labels_do_not_enter_the_means_as_zero() -> None:
    rows = list(label_rows([(brain(0), brain(1)), (brain(2), brain(3, labels=3))]))
    table = means(rows)
    by_label = [
        np.mean([r["MAE i"] for r in rows if r["label"] == k and r["MAE i"] is not None])
        for k in (1, 2, 3)
    ]
    assert table["local"]["MAE i"] == pytest.approx((np.mean(by_label), np.std(by_label), 3))
    assert table["global"]["MAE i"][2] == 5
    assert table["global"]["Dice"][2] == 6


def test_global_means_are_over_rows_with_the_spread_of_a_sample() -> None:
    rows = list(label_rows([(brain(0), brain(1)), (brain(2), brain(3))]))
    values = [row["Dice"] for row in rows]
    assert means(rows)["global"]["Dice"] == pytest.approx(
        (np.mean(values), np.std(values, ddof=1), 6)
    )


def test_the_table_has_both_lines_and_its_warning() -> None:
    table = flowlet_table(list(label_rows([(brain(0), brain(1))]))).splitlines()
    assert table[0] == "| | MAE i | MSE i | KLD i | MAE u | MSE u | KLD u | Dice |"
    assert table[2].startswith("| global | ")
    assert table[3].startswith("| local | ")
    assert "1 pairs of unlike persons by rank of age, 3 labels" in table[-1]


def test_unlabelled_volumes_and_other_grids_are_refused() -> None:
    real = brain(0)
    with pytest.raises(EvaluationError, match="no pair has a label"):
        means(list(label_rows([(real._replace(labels=0 * real.labels),) * 2])))
    with pytest.raises(EvaluationError, match="one grid is needed"):
        list(label_rows([(real, Labelled(real.image[:5], real.labels[:5]))]))
