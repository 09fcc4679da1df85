"""Bytes of volumes: damage and impostors are one error that names file, cause and remedy."""

import gzip

import numpy as np
import pytest
import torch

from brainweave.data.volume import Volume
from brainweave.errors import VolumeError

DATA = torch.from_numpy(np.random.default_rng(0).integers(0, 120, (5, 6, 7))).float()


def saved(path):
    Volume(DATA, np.eye(4)).save(path)
    return path


def read(path) -> torch.Tensor:
    return Volume.load(path).data


def refused(path, match):
    with pytest.raises(VolumeError, match=match) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_gzip_is_refused(tmp_path):
    path = saved(tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes()[:-40])
    refused(path, "truncated.*copy or download it again")


@pytest.mark.parametrize("trailer", [0, 2**21])
def test_a_wrong_checksum_is_refused(tmp_path, trailer):
    content = saved(tmp_path / "a.nii").read_bytes() + np.random.default_rng(0).bytes(trailer)
    packed = bytearray(gzip.compress(content, 1))
    packed[-7] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(packed)
    refused(tmp_path / "a.nii.gz", "damaged.*again")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_an_empty_file_is_refused(tmp_path, name):
    (tmp_path / name).touch()
    refused(tmp_path / name, "empty.*again")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_web_page_is_refused(tmp_path, name):
    (tmp_path / name).write_text("\n<!DOCTYPE html><html>Please log in</html>" + " " * 400)
    refused(tmp_path / name, "web page.*log in")


def test_a_git_pointer_is_refused(tmp_path):
    (tmp_path / "a.nii.gz").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0")
    refused(tmp_path / "a.nii.gz", "git pointer.*fetch")


def test_a_plain_file_named_gz_is_refused(tmp_path):
    path = saved(tmp_path / "a.nii").rename(tmp_path / "a.nii.gz")
    refused(path, "not gzip inside; name it .nii")


def test_a_gzip_named_plain_is_refused(tmp_path):
    path = saved(tmp_path / "a.nii.gz").rename(tmp_path / "a.nii")
    refused(path, "gzip inside; name it .nii.gz")


def test_an_absent_file_is_refused(tmp_path):
    refused(tmp_path / "a.nii.gz", "does not exist; check the path")


def test_a_broken_link_is_refused(tmp_path):
    (tmp_path / "a.nii.gz").symlink_to(tmp_path / "annexed")
    refused(tmp_path / "a.nii.gz", "link to a file that is not there")


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "a.nii").mkdir()
    refused(tmp_path / "a.nii", "cannot be read")


def test_another_format_is_refused(tmp_path):
    refused(tmp_path / "a.mgz", "not named as NIfTI")


def test_every_truncation_is_refused(tmp_path):
    content = saved(tmp_path / "a.nii.gz").read_bytes()
    for size in range(0, len(content), 3):
        (tmp_path / "a.nii.gz").write_bytes(content[:size])
        with pytest.raises(VolumeError):
            read(tmp_path / "a.nii.gz")


def test_no_flipped_bit_changes_a_voxel_unnoticed(tmp_path):
    content = saved(tmp_path / "a.nii.gz").read_bytes()
    rng = np.random.default_rng(0)
    refusals = 0
    for at in rng.integers(0, len(content), 300):
        damaged = bytearray(content)
        damaged[at] ^= 1 << rng.integers(8)
        (tmp_path / "a.nii.gz").write_bytes(damaged)
        try:
            found = read(tmp_path / "a.nii.gz")  # a bit of gzip's time stamp may flip
        except VolumeError:
            refusals += 1
        else:
            assert torch.equal(found, DATA)
    assert refusals > 250


def test_gzip_of_several_members_is_read(tmp_path):
    content = saved(tmp_path / "a.nii").read_bytes()
    packed = gzip.compress(content[:400]) + gzip.compress(content[400:])
    (tmp_path / "b.nii.gz").write_bytes(packed)
    assert torch.equal(read(tmp_path / "b.nii.gz"), DATA)


def test_bytes_after_the_voxels_are_ignored(tmp_path):
    path = saved(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes() + b"trailer")
    assert torch.equal(read(path), DATA)
