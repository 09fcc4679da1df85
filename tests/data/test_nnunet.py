"""The nnU-Net data set: names, labels of both conventions, geometry, and what is refused."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from brainweave.cli.preparing import app
from brainweave.data.nnunet import Exported, export
from brainweave.data.volume import Volume
from brainweave.errors import CohortError, OutputError, RecipeError

SHAPE = (5, 4, 6)
LPS = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
SHIFTED = np.array([[-1.0, 0, 0, 2], *LPS[1:]])  # by 2 mm
OLD = ("_", ("t1", "t1ce", "t2", "flair"))
NEW = ("-", ("t1n", "t1c", "t2w", "t2f"))


def labels(*present: int) -> Tensor:
    """A label map with these labels, no two of the same size."""
    data = torch.zeros(SHAPE)
    for row, label in enumerate(present):
        data[row, :, : row + 1] = label
    return data


def case(
    root: Path,
    name: str,
    seg: Tensor | None,
    naming: tuple[str, tuple[str, ...]] = NEW,
    *,
    extension: str = ".nii.gz",
    affine: np.ndarray = LPS,
) -> None:
    separator, suffixes = naming
    random = torch.Generator().manual_seed(len(name))
    for suffix in suffixes:
        path = root / name / f"{name}{separator}{suffix}{extension}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Volume(torch.randint(0, 900, SHAPE, generator=random).float(), LPS).save(path)
    if seg is not None:
        Volume(seg, affine).save(root / name / f"{name}{separator}seg{extension}")


def tumour(out: Path, name: str) -> Volume:
    return Volume.load(out / "labelsTr" / f"{name}.nii.gz")


@pytest.mark.parametrize(("naming", "enhancing", "found"), [(OLD, 4, "2018"), (NEW, 3, "2023")])
def test_labels_of_both_conventions_become_nnunets(
    tmp_path: Path, naming: tuple[str, tuple[str, ...]], enhancing: int, found: str
) -> None:
    seg = labels(1, 2, enhancing)
    case(tmp_path / "data", "x", seg, naming)
    case(tmp_path / "data", "y", labels(2, 1), naming)
    assert export(tmp_path / "data", tmp_path / "out") == Exported(2, 0, found)
    expected = torch.zeros(SHAPE)
    expected[seg == 2], expected[seg == 1], expected[seg == enhancing] = 1, 2, 3
    torch.testing.assert_close(tumour(tmp_path / "out", "x").data, expected, rtol=0, atol=0)
    torch.testing.assert_close(tumour(tmp_path / "out", "y").data, labels(1, 2), rtol=0, atol=0)


def test_every_label_keeps_its_voxels(tmp_path: Path) -> None:
    case(tmp_path / "data", "x", labels(1, 2, 4), OLD)
    export(tmp_path / "data", tmp_path / "out")
    data = tumour(tmp_path / "out", "x").data
    assert [int((data == label).sum()) for label in (2, 1, 3)] == [4, 8, 12]


def test_without_enhancement_no_convention_is_needed(tmp_path: Path) -> None:
    case(tmp_path / "data", "x", labels(2, 1))
    assert export(tmp_path / "data", tmp_path / "out").labels is None
    torch.testing.assert_close(tumour(tmp_path / "out", "x").data, labels(1, 2), rtol=0, atol=0)


def test_label_maps_keep_their_geometry(tmp_path: Path) -> None:
    case(tmp_path / "data", "x", labels(1, 2, 3))
    export(tmp_path / "data", tmp_path / "out")
    made = tumour(tmp_path / "out", "x")
    assert made.shape == SHAPE
    assert np.array_equal(made.affine, LPS)


def test_images_are_channels_byte_for_byte(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    case(data, "x", labels(3))
    export(data, out)
    for channel, suffix in enumerate(("t1n", "t1c", "t2w", "t2f")):
        source = data / "x" / f"x-{suffix}.nii.gz"
        assert (out / "imagesTr" / f"x_{channel:04d}.nii.gz").read_bytes() == source.read_bytes()


def test_plain_files_are_packed(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    case(data, "x", labels(4), OLD, extension=".nii")
    export(data, out)
    packed = (out / "imagesTr" / "x_0001.nii.gz").read_bytes()
    assert gzip.decompress(packed) == (data / "x" / "x_t1ce.nii").read_bytes()


def test_a_case_without_label_map_is_for_testing(tmp_path: Path) -> None:
    case(tmp_path / "data", "x", labels(1, 2, 3))
    case(tmp_path / "data", "y", None)
    assert export(tmp_path / "data", tmp_path / "out") == Exported(1, 1, "2023")
    names = {
        folder: sorted(p.name for p in (tmp_path / "out" / folder).iterdir())
        for folder in ("imagesTr", "imagesTs", "labelsTr")
    }
    assert names == {
        "imagesTr": [f"x_000{channel}.nii.gz" for channel in range(4)],
        "imagesTs": [f"y_000{channel}.nii.gz" for channel in range(4)],
        "labelsTr": ["x.nii.gz"],
    }


def test_the_description_is_that_of_nnunets_brats_models(tmp_path: Path) -> None:
    case(tmp_path / "data", "x", labels(1, 2, 3))
    case(tmp_path / "data", "y", None)
    export(tmp_path / "data", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "dataset.json").read_text()) == {
        "channel_names": {"0": "t1n", "1": "t1c", "2": "t2w", "3": "t2f"},
        "labels": {
            "background": 0,
            "whole tumor": [1, 2, 3],
            "tumor core": [2, 3],
            "enhancing tumor": [3],
        },
        "regions_class_order": [1, 2, 3],
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }


@pytest.mark.parametrize(
    ("seg", "message"),
    [
        (labels(1, 3, 4), r"x-seg\.nii\.gz: labels 3 and 4 occur together"),
        (labels(1, 7, 9), r"x-seg\.nii\.gz: labels 7, 9 are none of BraTS"),
        (labels(2) / 4, r"x-seg\.nii\.gz: labels 0\.5 are none of BraTS"),
    ],
)
def test_labels_of_no_convention_are_refused(tmp_path: Path, seg: Tensor, message: str) -> None:
    case(tmp_path / "data", "x", seg)
    with pytest.raises(CohortError, match=message):
        export(tmp_path / "data", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_conventions_in_one_data_set_are_refused(tmp_path: Path) -> None:
    case(tmp_path / "data", "x", labels(1, 2, 3))
    case(tmp_path / "data", "y", labels(1, 2, 4), OLD)
    with pytest.raises(CohortError, match=r"y_seg\.nii\.gz has label 4 and .*x-seg.* label 3"):
        export(tmp_path / "data", tmp_path / "out")


def test_a_convention_that_the_labels_are_not_of_is_refused(tmp_path: Path) -> None:
    case(tmp_path / "data", "x", labels(1, 2, 4))
    message = r"x-seg\.nii\.gz has label 4, which --labels 2023 does not know; --labels 2018 does"
    with pytest.raises(CohortError, match=message):
        export(tmp_path / "data", tmp_path / "out", labels="2023")
    assert export(tmp_path / "data", tmp_path / "out", labels="2018").labels == "2018"


def test_an_unknown_convention_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="--labels 2021 is unknown"):
        export(tmp_path, tmp_path / "out", labels="2021")


def test_a_case_without_a_channel_is_refused(tmp_path: Path) -> None:
    case(tmp_path / "data", "x", labels(3))
    (tmp_path / "data" / "x" / "x-t2f.nii.gz").unlink()
    with pytest.raises(CohortError, match="x has no flair; nnU-Net needs all four"):
        export(tmp_path / "data", tmp_path / "out")


def test_images_that_are_not_on_one_grid_are_refused(tmp_path: Path) -> None:
    case(tmp_path / "data", "x", labels(3), affine=SHIFTED)
    with pytest.raises(CohortError, match=r"x-seg\.nii\.gz .* are not on one grid"):
        export(tmp_path / "data", tmp_path / "out")


def test_the_same_command_writes_only_what_is_missing(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    case(data, "x", labels(1, 2, 3))
    case(data, "y", labels(1, 2, 3), extension=".nii")
    export(data, out)
    whole = {path: path.read_bytes() for path in sorted(out.rglob("*.*"))}
    (out / "imagesTr" / "x_0002.nii.gz").unlink()
    (out / "labelsTr" / "y.nii.gz").unlink()
    kept = [path for path in whole if path.exists()]
    before = [path.stat().st_ino for path in kept]
    export(data, out)
    assert {path: path.read_bytes() for path in sorted(out.rglob("*.*"))} == whole
    assert [path.stat().st_ino for path in kept] == before


@pytest.mark.parametrize("changed", ["labelsTr/x.nii.gz", "dataset.json", "imagesTr/x_0000.nii.gz"])
def test_another_export_in_the_folder_is_refused(tmp_path: Path, changed: str) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    case(data, "x", labels(1, 2, 3))
    export(data, out)
    if changed == "dataset.json":
        (out / changed).write_text("{}")
    else:
        Volume(labels(2), LPS).save(out / changed)
    with pytest.raises(OutputError, match="differs from the one that this command writes"):
        export(data, out)


def test_the_command_says_what_it_made(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    case(data, "x", labels(1, 2, 3))
    case(data, "y", None)
    result = CliRunner().invoke(app, ["export-nnunet", str(data), str(out), "--labels", "2023"])
    assert result.exit_code == 0
    told = f"{out}: 1 training cases, 1 without label map; labels of 2023\n"
    assert result.stdout == told
