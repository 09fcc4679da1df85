"""Golden numbers of cWDM's, WDM's and Fast-cWDM's code, read from their files."""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"
CONDITIONAL = (
    "cwdm_small",
    "cwdm_additive_small",
    "fast_cwdm_direct_small",
    "fast_cwdm_sampled_small",
)


@dataclass(frozen=True)
class Released:
    """One file: tensors by name, the configuration that made them."""

    numbers: dict[str, Tensor]
    config: dict

    def __getitem__(self, name: str) -> Tensor:
        return self.numbers[name]

    @property
    def weights(self) -> dict[str, Tensor]:
        names = [name for name in self.numbers if name.startswith("weights.")]
        return {name.removeprefix("weights."): self.numbers[name] for name in names}

    @classmethod
    def read(cls, name: str) -> "Released":
        path = GOLDEN / f"{name}.safetensors"
        with safe_open(path, framework="pt") as file:
            return cls(load_file(path), json.loads(file.metadata()["config"]))
