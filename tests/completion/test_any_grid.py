"""Completion on grids that the model never saw, and of label maps on them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lacking import FOUR, said, write_case

from brainweave.conditions import Images, Mask
from brainweave.data.volume import Volume
from brainweave.generator import Generator
from brainweave.recipe import Recipe

Fill = Callable[..., list[Path]]


@pytest.mark.parametrize("frame", ["model", "box"])
@pytest.mark.parametrize("spacing", [None, (9.0, 11.0, 12.0)])
@pytest.mark.parametrize("code", ["LPS", "SAR"])
def test_any_grid_is_completed_on_itself(
    filler_recipe: Recipe,
    randomised: Callable[[Recipe], Generator],
    fill: Fill,
    tmp_path: Path,
    code: str,
    spacing: tuple[float, float, float] | None,
    frame: str,
) -> None:
    preprocess = filler_recipe.preprocess.replace(spacing=spacing)
    randomised(filler_recipe.replace(preprocess=preprocess)).save(tmp_path / "model")
    odd = {name: volume.oriented(code) for name, volume in heads((31, 37, 29)).items()}
    write_case(tmp_path / "X", odd, ("t1w", "t2w"))
    source = Volume.load(tmp_path / "X" / "X_t1.nii.gz")
    for path in fill(model=tmp_path / "model", input=tmp_path / "X", frame=frame):
        made = Volume.load(path)
        assert made.grid == source.grid
        assert made.data.max() > 0.02
        assert not made.data[(source.data <= 0) & (odd["t2w"].data <= 0)].any()


def heads(shape: tuple[int, int, int]) -> dict[str, Volume]:
    """Contrasts of an ellipsoid on an oblique, anisotropic grid, off its middle."""
    axes = torch.meshgrid(*(torch.linspace(-1, 1, edge) for edge in shape), indexing="ij")
    distance = sum((axis - 0.2) ** 2 for axis in axes) / 0.5
    inside = (1 - distance).clamp(0)
    affine = np.array([[6.0, 0.3, 0, -80], [0, 5.0, 0, -90], [0, 0, 7.5, -60], [0, 0, 0, 1]])
    return {name: Volume(900 * inside ** (1 + power), affine) for power, name in enumerate(FOUR)}


def test_label_maps_are_heard_as_labels(
    filler_recipe: Recipe,
    randomised: Callable[[Recipe], Generator],
    fill: Fill,
    scans: list[dict[str, Volume]],
    tmp_path: Path,
) -> None:
    told = (Images(modalities=("t1w", "t2w")), Mask(name="seg", labels=(1, 2, 4)))
    randomised(filler_recipe.replace(target="t1c", conditions=told)).save(tmp_path / "model")
    write_case(tmp_path / "seen" / "A", scans[0], ("t1w", "t2w", "seg"))
    write_case(tmp_path / "blind" / "A", scans[0], ("t1w", "t2w"))
    paths = [
        fill(model=tmp_path / "model", input=tmp_path / side, out=tmp_path / f"{side}-out")[0]
        for side in ("seen", "blind")
    ]
    assert set(said(paths[0])["inputs"]) == {"t1w", "t2w", "seg"}
    assert paths[0].read_bytes() != paths[1].read_bytes()
