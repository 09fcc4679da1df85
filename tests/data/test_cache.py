"""Volumes are decoded once, verified before use, and named when they cannot be used."""

import json
import logging
from multiprocessing import get_context
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from brainweave.data.cohort import Cohort
from brainweave.data.dataset import VolumeDataset
from brainweave.data.phantom import write_phantoms
from brainweave.data.preprocess import Preprocess
from brainweave.data.volume import Shape
from brainweave.errors import VolumeError

SHAPE: Shape = (16, 20, 16)
PREPROCESS = Preprocess(shape=(16, 16, 16))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return Cohort.open(write_phantoms(tmp_path_factory.mktemp("phantoms"), 5, shape=SHAPE))


@pytest.fixture
def own(tmp_path: Path) -> Cohort:
    """A cohort of two whose files a test may spoil."""
    return Cohort.open(write_phantoms(tmp_path / "own", 2, shape=SHAPE))


def dataset(
    cohort: Cohort, cache: Path | None = None, *, preprocess: Preprocess = PREPROCESS
) -> VolumeDataset:
    return VolumeDataset(cohort, "t1w", preprocess, read=lambda *_: {}, cache=cache, augment=None)


def spoil(path: Path, data: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(data.astype(np.float32), np.diag([10.0, 10, 10, 1])), path)


def test_a_filled_cache_is_used_again(cohort: Cohort, tmp_path: Path) -> None:
    dataset(cohort, tmp_path).prepare()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    dataset(cohort, tmp_path).prepare()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_memory_and_folder_give_the_same(cohort: Cohort, tmp_path: Path) -> None:
    assert torch.equal(dataset(cohort)[0, 1].volume, dataset(cohort, tmp_path)[0, 1].volume)


def test_a_flipped_bit_is_found_and_repaired(
    cohort: Cohort, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = dataset(cohort, tmp_path)[0, 1].volume
    (path,) = tmp_path.glob("*.npy")
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(dataset(cohort, tmp_path)[0, 1].volume, expected)
    assert "does not verify" in caplog.text


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_a_truncated_file_is_rebuilt(cohort: Cohort, tmp_path: Path, suffix: str) -> None:
    expected = dataset(cohort, tmp_path)[0, 1].volume
    (path,) = tmp_path.glob(f"*{suffix}")
    path.write_bytes(path.read_bytes()[:20])
    assert torch.equal(dataset(cohort, tmp_path)[0, 1].volume, expected)


def test_a_changed_source_is_decoded_again(own: Cohort, tmp_path: Path) -> None:
    before = dataset(own, tmp_path)[0, 1].volume
    own[0].images["t1w"].write_bytes(own[1].images["t1w"].read_bytes())
    after = dataset(own, tmp_path)
    assert not torch.equal(after[0, 1].volume, before)
    assert torch.equal(after[0, 1].volume, after[1, 1].volume)


def test_preprocessings_share_a_folder(cohort: Cohort, tmp_path: Path) -> None:
    for shape in ((16, 16, 16), (12, 16, 12)):
        made = dataset(cohort, tmp_path, preprocess=Preprocess(shape=shape))
        assert made[0, 1].volume.shape == (1, *shape)
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_an_entry_says_what_it_came_from(cohort: Cohort, tmp_path: Path) -> None:
    dataset(cohort, tmp_path)[0, 1]
    (path,) = tmp_path.glob("*.json")
    entry = json.loads(path.read_text())
    assert set(entry) == {"source", "size", "mtime_ns", "preprocess", "sha256", "window"}
    assert entry["source"] == str(cohort[0].images["t1w"].resolve())


def test_a_read_item_may_be_changed(cohort: Cohort) -> None:
    data = dataset(cohort)
    data[0, 1].volume.fill_(9)
    assert data[0, 1].volume.max() <= 1


def test_two_processes_may_fill_one_cache(cohort: Cohort, tmp_path: Path) -> None:
    context = get_context("fork")
    fills = [context.Process(target=dataset(cohort, tmp_path).prepare) for _ in range(2)]
    for process in fills:
        process.start()
    for process in fills:
        process.join()
    assert [process.exitcode for process in fills] == [0, 0]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    dataset(cohort, tmp_path).prepare()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_nothing_half_written_is_left(cohort: Cohort, tmp_path: Path) -> None:
    dataset(cohort, tmp_path).prepare()
    assert sorted({path.suffix for path in tmp_path.iterdir()}) == [".json", ".npy"]
    assert len(list(tmp_path.iterdir())) == 10


def test_prepare_tells_its_progress(cohort: Cohort) -> None:
    told: list[tuple[int, int]] = []
    dataset(cohort).prepare(lambda done, total: told.append((done, total)))
    assert told == [(done, 5) for done in range(1, 6)]


@pytest.mark.parametrize("value", [np.nan, 3.0, 0.0])
def test_unusable_voxels_are_named_before_training(own: Cohort, value: float) -> None:
    path = own[1].images["t1w"]
    spoil(path, np.full(SHAPE, value))
    with pytest.raises(VolumeError, match=rf"'sub-0002'.*{path.name}"):
        dataset(own).prepare()


@pytest.mark.parametrize("length", [0, 500])
def test_an_unreadable_file_is_named_before_training(own: Cohort, length: int) -> None:
    path = own[1].images["t1w"]
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(VolumeError, match=rf"'sub-0002'.*{path.name}"):
        dataset(own).prepare()


def test_an_absent_file_is_named_before_training(own: Cohort, tmp_path: Path) -> None:
    own[1].images["t1w"].unlink()
    with pytest.raises(VolumeError, match=r"'sub-0002'.*sub-0002_t1w"):
        dataset(own, tmp_path / "cache").prepare()
