"""LPIPS in 2.5D: which slices, how they are averaged, what is refused; no network is loaded."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from brainweave.data.cohort import Cohort
from brainweave.data.phantom import write_phantoms
from brainweave.errors import EvaluationError
from brainweave.evaluation.perceptual import compare_lpips, lpips_25d, lpips_distance
from brainweave.evaluation.scans import open_sides


def gap(x: Tensor, y: Tensor) -> Tensor:
    """A distance that counts: the mean absolute difference of each slice."""
    return (x - y).abs().mean(dim=(1, 2, 3))


def test_axes_count_alike_whatever_their_number_of_slices() -> None:
    real = np.ones((12, 8, 5), dtype=np.float32)
    made = real.copy()
    made[0] = 0  # one slice of 12 along i; 1/12 of every slice along j and k
    assert lpips_25d(real, made, gap, stride=1) == pytest.approx(1 / 12)
    assert lpips_25d(real, made, gap, stride=4) == pytest.approx((0 + 1 / 12 + 1 / 12) / 3)


def test_batches_change_nothing() -> None:
    real, made = np.random.default_rng(0).random((2, 9, 10, 11), dtype=np.float32)
    one, all_ = (lpips_25d(real, made, gap, stride=2, batch=b) for b in (1, 100))
    assert one == pytest.approx(all_)


def test_slices_are_centred() -> None:
    seen: list[float] = []

    def spy(x: Tensor, y: Tensor) -> Tensor:
        seen.extend(x[:, 0, 0, 0].tolist())
        return gap(x, y)

    ramp = np.broadcast_to(np.arange(1, 11, dtype=np.float32)[:, None, None], (10, 10, 10))
    lpips_25d(ramp.copy(), ramp.copy(), spy, stride=3)
    assert seen[:4] == [1, 4, 7, 10]


def test_empty_slices_do_not_dilute() -> None:
    real = np.zeros((12, 12, 12), dtype=np.float32)
    real[4:8, 4:8, 4:8] = 1
    full = lpips_25d(real, 0 * real, gap, stride=1)
    assert full == pytest.approx(16 / 144)


def test_what_cannot_be_sliced_is_refused() -> None:
    empty = np.zeros((6, 6, 6), dtype=np.float32)
    with pytest.raises(EvaluationError, match="has head"):
        lpips_25d(empty, empty, gap)
    with pytest.raises(EvaluationError, match="shapes"):
        lpips_25d(empty, empty[:5], gap)


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(EvaluationError, match="pip install lpips"):
        lpips_distance()


class Net(nn.Module):
    """As lpips.LPIPS with one convolution for a trunk: slice1 holds torchvision's features.0."""

    def __init__(self, net: str, pnet_rand: bool, verbose: bool) -> None:
        super().__init__()
        self.net = nn.ModuleDict({"slice1": nn.ModuleDict({"0": nn.Conv2d(3, 1, 1)})})

    def forward(self, x: Tensor, y: Tensor, normalize: bool) -> Tensor:
        first = self.net["slice1"]["0"]
        return (first(x) - first(y)).mean(dim=(1, 2, 3), keepdim=True)


def test_weights_are_read_from_torchvisions_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "lpips", SimpleNamespace(LPIPS=Net))
    path = tmp_path / "trunk.pth"
    with pytest.raises(EvaluationError, match="download them from"):
        lpips_distance(weights=path)
    saved = {"features.0.weight": torch.ones(1, 3, 1, 1), "features.0.bias": torch.zeros(1)}
    torch.save(saved | {"classifier.1.bias": torch.zeros(2)}, path)
    distance = lpips_distance(weights=path)
    x = torch.ones(2, 1, 32, 32)
    torch.testing.assert_close(distance(x, 0 * x).detach(), torch.full((2,), 3.0))
    with pytest.raises(EvaluationError, match="too small"):
        distance(x[..., :16], x[..., :16])

    torch.save({"features.1.weight": torch.ones(1)}, path)
    with pytest.raises(EvaluationError, match=r"has no 'features\.0\.weight'"):
        lpips_distance(weights=path)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(EvaluationError, match="only alex, vgg, squeeze"):
        lpips_distance("resnet")


def test_cohorts_are_compared_case_by_case(tmp_path: Path) -> None:
    table = write_phantoms(tmp_path, 2, shape=(16, 16, 16), spacing=10.0)
    real = Cohort.open(table)
    sides, _ = open_sides({"real": real, "made": Cohort([replace(s) for s in real])})
    found = compare_lpips(sides["real"], sides["made"], gap)
    assert [(s.name, s.value, s.n) for s in found.scores] == [("lpips", 0.0, 2)]
    assert found.notes == ["LPIPS is 2.5D: every 4th slice of 3 axes."]
