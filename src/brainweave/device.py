"""Which device to compute on."""

import torch

from brainweave.errors import RecipeError


def usable(name: str | None) -> torch.device:
    """The named device, else CUDA where there is one. Raises RecipeError for an absent one."""
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        float(torch.zeros(1, device=name))
    except (RuntimeError, AssertionError) as error:
        raise RecipeError(f"--device {name} cannot be used: {str(error).splitlines()[0]}") from None
    return torch.device(name)


def emulates_bf16(device: torch.device) -> bool:
    """Whether convolutions in bf16 are only imitated there: on a CPU without instructions that
    oneDNN can use for them (AVX-512, or bf16 of Arm)."""
    return device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
