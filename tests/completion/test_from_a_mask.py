"""A model that hears a label map alone makes the volume that a case lacks from its seg."""

from collections.abc import Callable
from pathlib import Path

import pytest
from lacking import OLD, write_case

from brainweave.completion import Completion, complete
from brainweave.conditions import Mask
from brainweave.data.volume import Volume
from brainweave.errors import CohortError
from brainweave.generator import Generator
from brainweave.processes.process import Process
from brainweave.recipe import Recipe


@pytest.fixture
def model(filler_recipe: Recipe, randomised: Callable[[Recipe], Generator], tmp_path: Path) -> Path:
    recipe = filler_recipe.replace(
        target="t1w",
        process=Process(),
        conditions=(Mask(name="seg", labels=(1, 2, 4)),),
    )
    randomised(recipe).save(tmp_path / "model")
    return tmp_path / "model"


def test_a_volume_is_made_from_a_label_map(
    model: Path, scans: list[dict[str, Volume]], tmp_path: Path
) -> None:
    for name, scan in (("A", scans[0]), ("B", scans[1])):
        write_case(tmp_path / "cases" / name, scan, ("t2w", "seg"), OLD)
    paths = complete(Completion(model, tmp_path / "cases", tmp_path / "out"))
    first, second = (Volume.load(path) for path in paths)
    assert first.grid == Volume.load(tmp_path / "cases" / "A" / "A_seg.nii.gz").grid
    assert (first.data - second.data).abs().max() > 0.01
    again = complete(Completion(model, tmp_path / "cases", tmp_path / "out"))
    assert again == paths


def test_a_case_without_the_label_map_is_refused(
    model: Path, scans: list[dict[str, Volume]], tmp_path: Path
) -> None:
    write_case(tmp_path / "cases" / "A", scans[0], ("t2w",), OLD)
    with pytest.raises(CohortError, match="none of seg to make t1w from"):
        complete(Completion(model, tmp_path / "cases", tmp_path / "out"))
    assert not (tmp_path / "out").exists()
