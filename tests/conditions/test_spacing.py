"""Spacings: read off files, said in words."""

import math
from pathlib import Path

import pytest
import torch

from brainweave.conditions.spacing import Spacing
from brainweave.data.cohort import Subject
from brainweave.data.volume import Volume
from brainweave.errors import ConditionError


def test_it_is_read_off_the_file_along_the_heads_axes(tmp_path: Path) -> None:
    affine = torch.tensor([[0, 0, -1.0, 0], [2.5, 0, 0, 0], [0, 1.5, 0, 0], [0, 0, 0, 1]]).double()
    path = tmp_path / "a.nii.gz"
    Volume(torch.rand(4, 5, 6), affine.numpy()).save(path)
    found = Spacing().read(Subject("a", images={"t1w": path}))
    torch.testing.assert_close(found, torch.tensor([1.0, 2.5, 1.5]))


def test_a_column_comes_before_the_file(tmp_path: Path) -> None:
    subject = Subject("a", images={"t1w": tmp_path / "none"}, covariates={"spacing": "1x1x3"})
    assert Spacing().read(subject).tolist() == [1, 1, 3]


@pytest.mark.parametrize(("word", "value"), [("1x1.5x2", (1.0, 1.5, 2.0)), ("0.8", (0.8,) * 3)])
def test_words_and_values_go_both_ways(word: str, value: tuple[float, ...]) -> None:
    spacing = Spacing()
    assert spacing.parse(word) == value
    assert spacing.parse(str(spacing.show(value))) == value


def test_missing_is_not_known() -> None:
    assert all(map(math.isnan, Spacing().parse("n/a")))
    assert Spacing().show(Spacing().absent) is None


def test_it_is_that_of_the_modality_that_is_made(tmp_path: Path) -> None:
    images = {}
    for name, edge in (("t1w", 1.0), ("flair", 5.0), ("t2w", 9.0)):
        images[name] = tmp_path / f"{name}.nii.gz"
        affine = torch.diag(torch.tensor([1.0, 1.0, edge, 1.0])).double().numpy()
        Volume(torch.rand(4, 5, 6), affine).save(images[name])
    subject = Subject("a", images=images)
    assert Spacing().read(subject, "flair").tolist() == [1, 1, 5]
    with pytest.raises(ConditionError, match=r"t2w.nii.gz: .*outside the trained 0.5 to 6 mm"):
        Spacing().read(subject, "t2w")


@pytest.mark.parametrize("word", ["1x1", "a", "0x1x1", "1x-1x1", "1xinfx1"])
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(ConditionError, match="millimetres are needed, as 1x1x2"):
        Spacing().parse(word)


def test_untrained_sizes_need_to_be_wanted() -> None:
    with pytest.raises(ConditionError, match=r"outside the trained 0.5 to 6 mm"):
        Spacing().parse("1x1x9")
    assert Spacing().parse("1x1x9", extrapolate=True) == (1, 1, 9)
