"""States on disk: whole, verified, two of them."""

import dataclasses
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from brainweave.errors import CheckpointError, OutputError
from brainweave.training import optimiser
from brainweave.training.checkpoint import Facts, States

FACTS = Facts(step=0, best=None, best_step=0, bad=0, world=1, recipe="", finished=False)


def at(step: int) -> Facts:
    return dataclasses.replace(FACTS, step=step)


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_newest_state_comes_back_with_its_facts(tmp_path: Path) -> None:
    states = States(tmp_path, print)
    for step in (0, 5, 10):
        states.save({"x": torch.full((3,), float(step))}, at(step))
    tensors, facts = states.load()
    assert (tensors["x"].tolist(), facts.step) == ([10, 10, 10], 10)


def test_state_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    states = States(tmp_path, print)
    states.save({"x": torch.zeros(10)}, at(0))
    with file_limit(10_000), pytest.raises(OutputError, match=r"it needs 0\.4 MB there"):
        states.save({"x": torch.zeros(100_000)}, at(5))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000000.safetensors"]


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9, 0.999])
def test_every_flipped_bit_is_found(tmp_path: Path, place: float) -> None:
    states = States(tmp_path, print)
    states.save({"x": torch.arange(1000.0)}, at(0))
    content = bytearray(states.paths()[0].read_bytes())
    content[int(place * len(content))] ^= 4
    states.paths()[0].write_bytes(content)
    with pytest.raises(CheckpointError, match="no usable state"):
        states.load()


def test_optimiser_state_of_another_network_is_refused() -> None:
    small, large = nn.Linear(2, 2), nn.Linear(2, 3)
    adamw = torch.optim.AdamW(large.parameters())
    large(torch.ones(1, 2)).sum().backward()
    adamw.step()
    saved = optimiser.to_tensors(adamw, large)
    with pytest.raises(CheckpointError, match="does not fit weight"):
        optimiser.from_tensors(torch.optim.AdamW(small.parameters()), small, saved)


def test_moments_return_in_the_layout_of_their_parameter() -> None:
    module = nn.Linear(3, 2)
    module.weight = nn.Parameter(torch.randn(3, 2).T)  # what the fused kernel goes through
    adamw = torch.optim.AdamW(module.parameters(), fused=True)
    (module(torch.randn(4, 3)) ** 2).sum().backward()
    adamw.step()
    saved = {n: t.contiguous() for n, t in optimiser.to_tensors(adamw, module).items()}
    other = torch.optim.AdamW(module.parameters(), fused=True)
    optimiser.from_tensors(other, module, saved)
    found = other.state[module.weight]["exp_avg"]
    assert found.stride() == module.weight.stride()
    assert torch.equal(found, saved["exp_avg.weight"])
