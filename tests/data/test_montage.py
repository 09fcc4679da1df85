"""Pictures: left is left, millimetres are square, nothing is lost off the sheet."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from brainweave.data.montage import montage, planes, png, sheet
from brainweave.data.volume import Volume

SHAPE, SPACING = (40, 30, 20), (2.0, 3.0, 5.0)  # 80 x 90 x 100 mm
WIDTH = 144  # of its picture
LEVELS = (0.2, 0.4, 0.6, 0.8, 1.0)


def head(orientation: str = "RAS") -> Volume:
    """Bright on the left, half bright in front, faint below; on axes of any orientation."""
    data = torch.zeros(SHAPE)
    data[:20] = 1.0
    data[:, 15:] += 0.5
    data[:, :, :10] += 0.25
    return Volume(data, np.diag([*SPACING, 1.0])).oriented(orientation)


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def halves(plane: np.ndarray) -> tuple[float, float, float, float]:
    """Mean of the left, right, upper and lower half."""
    rows, columns = plane.shape
    left, right = plane[:, : columns // 2], plane[:, columns // 2 :]
    return left.mean(), right.mean(), plane[: rows // 2].mean(), plane[rows // 2 :].mean()


@pytest.mark.parametrize("orientation", ["RAS", "LAS", "LPS", "PSR", "ILA"])
def test_left_is_left_and_front_and_top_are_up(orientation: str) -> None:
    axial, coronal, sagittal = (halves(plane) for plane in planes(head(orientation)))
    assert axial[0] - axial[1] == pytest.approx(1, abs=0.05)  # left
    assert axial[2] - axial[3] == pytest.approx(0.5, abs=0.05)  # front
    assert coronal[0] - coronal[1] == pytest.approx(1, abs=0.05)  # left
    assert coronal[3] - coronal[2] == pytest.approx(0.25, abs=0.05)  # below
    assert sagittal[1] - sagittal[0] == pytest.approx(0.5, abs=0.05)  # front, to the right
    assert sagittal[3] - sagittal[2] == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("orientation", ["RAS", "PSR"])
def test_a_millimetre_is_as_long_everywhere(orientation: str) -> None:
    axial, coronal, sagittal = (plane.shape for plane in planes(head(orientation)))
    assert (axial, coronal, sagittal) == ((144, 128), (160, 128), (160, 144))  # 1.6 pixels a mm


def test_a_flat_volume_has_a_picture() -> None:
    flat = Volume(torch.rand(1, 200, 200), np.diag([0.1, 1, 1, 1]))
    assert [min(plane.shape) for plane in planes(flat)] == [1, 1, 200]


def test_long_lists_continue_below(tmp_path: Path) -> None:
    path = tmp_path / "montage.png"
    montage([head()] * 4, path, labels=[""] * 4)
    wide = picture(path).shape
    montage([head()] * 4, path, labels=[""] * 4, columns=2)
    square = picture(path).shape
    assert square == (2 * wide[0], wide[1] / 2)


def test_every_volume_is_on_the_sheet(tmp_path: Path) -> None:
    volumes = [Volume(torch.full(SHAPE, level), head().affine) for level in LEVELS]
    montage(volumes, tmp_path / "p.png", labels=[""] * 5, window=(0.0, 1.0), columns=2)
    sheet = picture(tmp_path / "p.png")
    counts = [int((sheet == round(level * 255)).sum()) for level in LEVELS]
    area = sum(plane.size for plane in planes(head()))
    assert counts == pytest.approx([area] * 5, rel=0.01)


def test_volumes_of_different_shapes_share_a_sheet(tmp_path: Path) -> None:
    small = Volume(torch.rand(8, 8, 8), np.diag([30.0, 30, 30, 1]))
    montage([head(), small], tmp_path / "p.png", labels=["a", "b"])
    assert picture(tmp_path / "p.png").shape[0] > 3 * 240


def test_a_window_maps_its_ends_to_black_and_white(tmp_path: Path) -> None:
    volume = Volume(torch.cat([torch.full((20, 30, 20), v) for v in (-3.0, 7.0)]), head().affine)
    montage([volume], tmp_path / "p.png", labels=[""], window=(-3.0, 7.0))
    assert set(np.unique(picture(tmp_path / "p.png"))) >= {0, 255}


def test_without_a_window_the_brightest_is_white(tmp_path: Path) -> None:
    volume = Volume(1000 * head().data, head().affine)
    montage([volume], tmp_path / "p.png", labels=[""])
    assert picture(tmp_path / "p.png").max() == 255


def test_an_empty_volume_is_black(tmp_path: Path) -> None:
    montage([Volume(torch.zeros(8, 8, 8), np.eye(4))], tmp_path / "p.png", labels=[""])
    assert picture(tmp_path / "p.png").max() == 0


def test_labels_and_title_are_written(tmp_path: Path) -> None:
    dark = Volume(torch.zeros(SHAPE), head().affine)
    montage([dark, dark], tmp_path / "p.png", labels=["age 70", ""], title="SYNTHETIC")
    sheet = picture(tmp_path / "p.png")
    title, label, none = sheet[:20, :120], sheet[22:40, :WIDTH], sheet[22:40, WIDTH:]
    assert (title.max() > 200, label.max() > 200, none.max()) == (True, True, 0)


def test_a_long_label_is_whole_and_off_its_neighbour(tmp_path: Path) -> None:
    dark = Volume(torch.zeros(SHAPE), head().affine)
    label = "age-70 sex-F site-Guys seed-0000"
    montage([dark, dark], tmp_path / "p.png", labels=[label, ""])
    sheet = picture(tmp_path / "p.png")
    middle = sheet.shape[1] // 2
    assert sheet[:, WIDTH + 6 : middle].max() > 200
    assert sheet[:, middle - 4 :].max() == 0


def test_a_label_is_needed_for_each(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shorter"):
        montage([head(), head()], tmp_path / "p.png", labels=["one"])


def test_what_is_written_is_the_sheet(tmp_path: Path) -> None:
    montage([head()], tmp_path / "p.png", labels=["a"], title="b")
    assert np.array_equal(
        picture(tmp_path / "p.png"), np.asarray(sheet([head()], labels=["a"], title="b"))
    )


def test_a_sheet_as_png_is_the_same_picture() -> None:
    drawn = sheet([head()], labels=["a"])
    assert np.array_equal(np.asarray(Image.open(BytesIO(png(drawn)))), np.asarray(drawn))
