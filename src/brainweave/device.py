"""Which device to compute on."""

from typing import Literal

import torch

from brainweave.errors import RecipeError

Precision = Literal["float32", "bf16"]


def usable(name: str | None) -> torch.device:
    """The named device, else CUDA where there is one. Raises RecipeError for an absent one."""
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        float(torch.zeros(1, device=name))
    except (RuntimeError, AssertionError) as error:
        raise RecipeError(f"--device {name} cannot be used: {str(error).splitlines()[0]}") from None
    return torch.device(name)


def computed(precision: Precision, device: torch.device) -> Precision:
    """What arithmetic in `precision` is done in: float32 where a CPU only imitates bf16, which is
    slower there. oneDNN needs AVX-512 or the bf16 of Arm for it; without oneDNN none is known."""
    if precision == "float32" or device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return precision
    return "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "float32"
