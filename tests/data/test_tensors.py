"""Safetensors with a hash: what is read is what was written, or an error."""

from pathlib import Path

import pytest
import torch

from brainweave.data.tensors import content_hash, load_tensors, save_tensors
from brainweave.errors import CheckpointError

TENSORS = {
    "weight": torch.arange(12.0).reshape(3, 4),
    "scalar": torch.tensor(3.0),
    "empty": torch.zeros(0, 2),
    "half": torch.tensor([1.5]).half(),
    "bf16": torch.tensor([1.5]).bfloat16(),
    "count": torch.tensor([2**40]),
    "flag": torch.tensor([True, False]),
    "strided": torch.arange(6.0).reshape(2, 3).T,
}
FACTS = {"step": 3, "best": None, "text": "mm³"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_tensors(path, TENSORS, FACTS)
    return path


def test_tensors_and_facts_come_back_exactly(file: Path) -> None:
    tensors, facts = load_tensors(file)
    assert facts == FACTS
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in TENSORS.items())
    assert all(tensors[name].dtype == tensor.dtype for name, tensor in TENSORS.items())


def test_flipped_bits_are_found_wherever_they_are(file: Path) -> None:
    content = file.read_bytes()
    for place in range(0, len(content), 3):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        file.write_bytes(changed)
        with pytest.raises(CheckpointError):
            load_tensors(file)


def test_truncations_are_found_wherever_they_are(file: Path) -> None:
    content = file.read_bytes()
    for length in range(0, len(content), 3):
        file.write_bytes(content[:length])
        with pytest.raises(CheckpointError):
            load_tensors(file)


def test_swapped_names_are_found(file: Path) -> None:
    first = content_hash(file)
    swapped = {**TENSORS, "half": TENSORS["weight"], "weight": TENSORS["half"]}
    assert save_tensors(file, swapped, FACTS) != first


def test_the_hash_does_not_depend_on_the_order(file: Path) -> None:
    first = content_hash(file)
    backwards = dict(reversed(TENSORS.items()))
    assert save_tensors(file, backwards, dict(reversed(FACTS.items()))) == first


def test_the_hash_returned_is_the_one_stated(file: Path) -> None:
    assert save_tensors(file, {"a": torch.ones(2)}, {}) == content_hash(file)


@pytest.mark.parametrize("read", [load_tensors, content_hash])
def test_an_absent_file_is_said(tmp_path: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(CheckpointError, match="absent does not exist"):
        read(tmp_path / "absent")


def test_nothing_else_is_left_in_the_folder(file: Path) -> None:
    assert list(file.parent.iterdir()) == [file]
