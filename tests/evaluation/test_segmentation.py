"""Dice, and the tumour's parts in both label conventions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from brainweave.data.cohort import Cohort
from brainweave.data.phantom import write_phantoms
from brainweave.data.volume import Volume
from brainweave.errors import EvaluationError
from brainweave.evaluation.scans import open_sides
from brainweave.evaluation.segmentation import (
    compare_segmentations,
    dice,
    find_convention,
    label_dice,
    tumour_dice,
)

OLD = np.array([0, 1, 1, 2, 2, 2, 4, 4])
MADE = np.array([0, 1, 2, 2, 2, 0, 4, 1])


def newer(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == 4, 3, labels)


def test_dice_counts_twice_what_is_shared() -> None:
    a, b = np.array([True, True, True, False]), np.array([True, False, False, True])
    assert dice(a, b) == pytest.approx(2 / 5)


def test_two_empty_masks_agree_and_one_does_not() -> None:
    none, some = np.zeros(4, dtype=bool), np.ones(4, dtype=bool)
    assert dice(none, none) == 1
    assert dice(none, some) == 0


def test_every_label_of_either_map_has_a_dice() -> None:
    found = label_dice(np.array([0, 1, 1, 2]), np.array([0, 1, 7, 7]))
    assert found == pytest.approx({1: 2 / 3, 2: 0, 7: 0})


def test_parts_are_those_of_brats() -> None:
    # whole 6 of 7 and 6; core {1 2 6 7} and {1 6 7}; enhancing {6 7} and {6}
    expected = {"WT": 12 / 13, "TC": 6 / 7, "ET": 2 / 3}
    assert tumour_dice(OLD, MADE) == pytest.approx(expected)


def test_both_conventions_give_the_same_numbers() -> None:
    assert tumour_dice(newer(OLD), newer(MADE)) == tumour_dice(OLD, MADE)
    assert tumour_dice(OLD, newer(MADE)) == tumour_dice(OLD, MADE)


def test_a_side_without_enhancement_takes_the_others_convention() -> None:
    flat = np.where(OLD == 4, 1, OLD)
    assert tumour_dice(OLD, flat)["ET"] == 0
    assert tumour_dice(flat, flat)["ET"] == 1


@pytest.mark.parametrize(
    ("labels", "convention"),
    [((0, 1, 2, 4), "2018"), ((0, 3), "2023"), ((0, 1, 2), None)],
)
def test_the_enhancing_label_tells_the_convention(
    labels: tuple[int, ...], convention: str | None
) -> None:
    assert find_convention(labels) == convention


@pytest.mark.parametrize(("labels", "message"), [((3, 4), "together"), ((0, 5), "none of BraTS")])
def test_unknown_conventions_are_refused(labels: tuple[int, ...], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        find_convention(labels)


def test_labels_that_are_not_of_the_given_convention_are_refused() -> None:
    with pytest.raises(EvaluationError, match="not of 2023"):
        tumour_dice(OLD, MADE, conventions=("2023", "2018"))
    with pytest.raises(EvaluationError, match="no convention 'x'"):
        tumour_dice(OLD, MADE, conventions=("x", "2018"))


def test_maps_on_two_grids_are_refused() -> None:
    with pytest.raises(EvaluationError, match="one grid"):
        tumour_dice(OLD, MADE[:5])


def test_cohorts_of_two_conventions_are_compared(tmp_path: Path) -> None:
    table = write_phantoms(tmp_path, 3, shape=(24, 28, 24), spacing=7.0, modalities=("t1w", "seg"))
    real = Cohort.open(table)
    made = []
    for subject in real:
        seg = Volume.load(subject.images["seg"])
        relabelled = Volume(torch.where(seg.data == 4, 3.0, seg.data), seg.affine)
        relabelled.save(tmp_path / f"{subject.id}_made.nii.gz")
        images = {**subject.images, "seg": tmp_path / f"{subject.id}_made.nii.gz"}
        made.append(replace(subject, images=images))
    sides, _ = open_sides({"real": real, "made": Cohort(made)})
    found = compare_segmentations(sides["real"], sides["made"])
    assert {score.name: score.value for score in found.scores} == {
        "dice WT": 1,
        "dice TC": 1,
        "dice ET": 1,
    }
    assert "Label conventions: real 2018, made 2023." in found.notes
