"""Files are whole or absent."""

import hashlib
import json
import os

import pytest

from brainweave.data.files import atomic, digest, sha256, sweep, write_json


def test_a_finished_block_leaves_the_file_alone_in_its_folder(tmp_path):
    with atomic(tmp_path / "new" / "a.txt") as temporary:
        temporary.write_text("whole")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]
    assert (tmp_path / "new" / "a.txt").read_text() == "whole"


def test_the_temporary_is_hidden_beside_the_target_with_its_suffixes(tmp_path):
    with atomic(tmp_path / "a.nii.gz") as temporary:
        temporary.write_text("whole")
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        assert temporary.suffixes[-2:] == [".nii", ".gz"]


def write_half(path):
    with atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError


def test_a_failed_block_keeps_the_previous_file(tmp_path):
    (tmp_path / "a.txt").write_text("previous")
    with pytest.raises(RuntimeError):
        write_half(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "previous"


def test_a_failed_block_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError):
        write_half(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "a.txt"):
        pass


def test_sweep_removes_what_a_killed_process_left_and_nothing_else(tmp_path):
    (tmp_path / "kept.json").write_text("{}")
    stale = atomic(tmp_path / "a.txt")
    stale.__enter__().write_text("half")  # and the process is killed here
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_json_reads_back_equal(tmp_path):
    value = {"b": [1, 2.5, None], "a": "ä"}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == value


def test_the_digest_ignores_the_order_of_keys():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_the_digest_hears_every_value():
    assert digest({"a": 1}) != digest({"a": 2})


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    with atomic(tmp_path / "a.json") as temporary:
        temporary.write_text("{}")
        temporary.chmod(0o600)
    os.umask(mask := os.umask(0))
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o666 & ~mask
