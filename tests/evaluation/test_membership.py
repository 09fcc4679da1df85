"""Membership by loss: the statistics, and the losses of a model."""

from pathlib import Path

import numpy as np
import pytest
import torch

from brainweave.data.cohort import Cohort, Subject
from brainweave.errors import CohortError, EvaluationError
from brainweave.evaluation.membership import membership
from brainweave.generator import Generator
from brainweave.membership import losses


def drawn(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(count) + shift


# Statistics


def test_losses_of_one_kind_tell_nothing():
    auc, rate = membership(drawn(300, 0), drawn(300, 1)).scores
    assert auc.low < 0.5 < auc.high
    assert abs(auc.z) < 3
    assert rate.low <= 0.01 <= rate.high


def test_area_is_that_of_two_normal_distributions():
    score = membership(drawn(2000, 0, -1.0), drawn(2000, 1)).scores[0]
    assert score.value == pytest.approx(0.760, abs=0.015)  # Phi(1 / sqrt 2)


def test_rate_is_that_of_two_normal_distributions():
    rate = membership(drawn(4000, 0, -1.0), drawn(4000, 1)).scores[1]
    assert rate.value == pytest.approx(0.0924, abs=0.02)  # Phi(1 - 2.326)


def test_at_most_one_in_a_hundred_others_is_below_the_threshold():
    losses = np.arange(100.0)
    assert membership(losses, losses).scores[1].value == 0.01
    assert membership(losses - 200, losses).scores[1].value == 1


def test_the_area_has_the_interval_of_its_persons_not_of_its_scans():
    a, b = np.repeat(drawn(30, 0), 4), np.repeat(drawn(30, 1), 4)
    whose = [str(i // 4) for i in range(120)]
    scans = membership(a, b).scores[0]
    persons = membership(a, b, persons=(whose, whose)).scores[0]
    assert persons.high - persons.low > 1.5 * (scans.high - scans.low)
    assert persons.null_sd > 1.5 * scans.null_sd


def test_few_others_tell_no_rate():
    found = membership(drawn(200, 0), drawn(25, 1))
    assert [score.name for score in found.scores] == ["membership/auc"]
    assert found.said[0].startswith("25 persons did not train")


def test_too_few_or_infinite_losses_are_refused():
    with pytest.raises(EvaluationError, match="others: 9 of 9"):
        membership(drawn(20, 0), drawn(9, 1))
    with pytest.raises(EvaluationError, match="members: 19 of 20"):
        membership(np.append(drawn(19, 0), np.nan), drawn(20, 1))


# Losses of a model


@pytest.fixture(scope="module")
def cohort(heads: Path) -> Cohort:
    return Cohort.open(heads)


def test_losses_are_means_of_the_model_s_loss(model, generator: Generator, cohort, monkeypatch):
    seen = []
    own = Generator.loss_at

    def listen(self, volume, values, t, noise):
        each = own(self, volume, values, t, noise)
        seen.append((t, values, noise, each.mean()))
        return each

    monkeypatch.setattr(Generator, "loss_at", listen)
    found = losses(model, cohort[:2], times=4, draws=3, device="cpu")
    assert found.shape == (2,)
    assert found[0] == pytest.approx(float(torch.stack([e for *_, e in seen[:4]]).mean()))
    assert sorted(float(t[0]) for t, *_ in seen[:4]) == pytest.approx([0.125, 0.375, 0.625, 0.875])
    assert float(seen[0][1]["age"][0]) == pytest.approx(cohort[0].covariates["age"])


def test_losses_do_not_depend_on_the_order_or_on_the_others(model, cohort):
    every = losses(model, cohort, times=2, draws=2, device="cpu")
    some = losses(model, cohort[5:2:-1], times=2, draws=2, device="cpu")
    np.testing.assert_array_equal(some, every[5:2:-1])


def test_another_seed_is_another_noise(model, cohort):
    one, two = (losses(model, cohort[:1], times=2, draws=2, seed=s, device="cpu") for s in (0, 1))
    assert one[0] != two[0]


def test_a_subject_without_the_target_is_refused(model, cohort):
    lacking = Cohort([Subject(id="x", images={"t2w": Path("x.nii.gz")})])
    with pytest.raises(CohortError, match="'x' has no 't1w'"):
        losses(model, lacking)
    with pytest.raises(CohortError, match="cohort is empty"):
        losses(model, cohort[:0])


def test_a_broken_file_is_named(model, tmp_path):
    path = tmp_path / "broken.nii.gz"
    path.write_bytes(b"no volume")
    with pytest.raises(CohortError, match="broken"):
        losses(model, Cohort([Subject(id="x", images={"t1w": path})]))
