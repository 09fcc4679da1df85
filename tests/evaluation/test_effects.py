"""Shifts of single measures: Glass's delta beside what real halves differ by."""

import numpy as np
import pytest
from judging import settled

from brainweave.errors import EvaluationError
from brainweave.evaluation.bench import Bench
from brainweave.evaluation.comparison import METRICS
from brainweave.evaluation.effects import effects, shift


def columns(*made: float) -> dict[str, np.ndarray]:
    """Real columns of mean 0 and deviation 1, made ones moved by so much."""
    values = np.linspace(-1, 1, 40)
    values /= values.std(ddof=1)
    real = np.stack([values] * len(made), axis=1)
    return {"real": real, "made": real + np.array(made)}


def test_a_shift_is_in_standard_deviations_of_the_real_ones(bench: Bench) -> None:
    # draws of half of each side, so the mean over many of them
    scores = effects(settled(bench, draws=400), "sign", ["a", "b"], columns(0.0, 2.0))
    assert [score.value for score in scores] == pytest.approx([0, 2], abs=0.05)
    assert [score.name for score in scores] == ["sign/a", "sign/b"]


def test_a_shift_is_clear_where_halves_do_not_differ_so(bench: Bench) -> None:
    none, large = effects(bench, "sign", ["a", "b"], columns(0.0, 2.0))
    assert abs(none.z or 0) < 3 < (large.z or 0)


def test_a_column_that_never_varies_is_not_scored(bench: Bench) -> None:
    vectors = {side: np.c_[values, np.ones(40)] for side, values in columns(1.0).items()}
    assert [s.name for s in effects(bench, "sign", ["a", "flat"], vectors)] == ["sign/a"]


def test_what_only_made_volumes_have_is_seen(bench: Bench) -> None:
    vectors = {"real": np.zeros((40, 1)), "made": np.full((40, 1), 0.04)}
    (score,) = effects(bench, "sign", ["background"], vectors)
    assert score.z == pytest.approx(4)


def test_what_is_not_finite_is_an_error(bench: Bench) -> None:
    vectors = columns(1.0)
    vectors["made"][3] = np.nan
    with pytest.raises(EvaluationError, match="not finite"):
        effects(bench, "sign", ["a"], vectors)


def test_a_shift_has_the_sign_of_made_less_real() -> None:
    assert shift(np.zeros((4, 1)), np.full((4, 1), 3.0)) == 3


def test_shift_is_computed_only_where_it_is_asked_for(bench: Bench) -> None:
    assert not METRICS["shift"].by_default
    names = {s.name for s in bench.beside_null("w", bench.spaces[0].vectors)}
    assert "w/shift" not in names
