"""What is computed where."""

import pytest
import torch

from brainweave.device import computed


@pytest.mark.parametrize("there", [True, False])
def test_bf16_that_a_cpu_imitates_is_float32(there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: there)
    assert computed("bf16", torch.device("cpu")) == ("bf16" if there else "float32")
    assert computed("bf16", torch.device("cuda")) == "bf16"
    assert computed("float32", torch.device("cpu")) == "float32"


def test_without_onednn_bf16_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert computed("bf16", torch.device("cpu")) == "bf16"
