"""AdamW on one module, its learning rate over the run, and its state as named tensors."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from brainweave.errors import CheckpointError
from brainweave.fitting import Fitting

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


class Learner:
    """A module and what moves its weights."""

    def __init__(self, module: nn.Module, training: Fitting) -> None:
        self.module, self.limit = module, training.grad_clip
        self.optimiser = adamw(module, training)

    def begin(self, rate: float) -> None:
        """Before the gradients of a step."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)

    def clip(self) -> Tensor:
        """The norm of the gradient, which is then at most `grad_clip`."""
        parameters = list(self.module.parameters())
        if self.limit is None:
            gradients = [p.grad for p in parameters if p.grad is not None]
            return nn.utils.get_total_norm(gradients)
        return nn.utils.clip_grad_norm_(parameters, self.limit)

    def state(self) -> dict[str, Tensor]:
        """Weights and moments: {"weights.a": ..., "adamw.exp_avg.a": ...}."""
        tensors = {f"weights.{n}": t for n, t in self.module.state_dict().items()}
        moments = to_tensors(self.optimiser, self.module)
        return tensors | {f"adamw.{n}": t for n, t in moments.items()}

    def restore(self, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Puts back what `state` gave, sorted by its first words."""
        self.module.load_state_dict(parts["weights"])
        from_tensors(self.optimiser, self.module, parts["adamw"])


def adamw(module: nn.Module, training: Fitting) -> torch.optim.AdamW:
    """The optimiser of all parameters (arXiv:1711.05101)."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(
        parameters,
        lr=training.lr,
        betas=training.betas,
        weight_decay=training.weight_decay,
        fused=True,
    )


def learning_rate(step: int, total: int, training: Fitting) -> float:
    """Of optimiser step `step`, counted from 0: a line up to lr during `warmup`, then half a cosine
    (arXiv:1608.03983, eq. 5, without restarts) that ends at lr_end with the last step."""
    if step < training.warmup:
        return training.lr * (step + 1) / training.warmup
    share = (step - training.warmup) / max(1, total - 1 - training.warmup)
    return training.lr_end + (training.lr - training.lr_end) * (1 + math.cos(math.pi * share)) / 2


def to_tensors(optimiser: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """The optimiser's state by parameter name: {"exp_avg.network.norm.weight": ...}."""
    return {
        f"{moment}.{name}": optimiser.state[parameter][moment]
        for name, parameter in module.named_parameters()
        for moment in _MOMENTS
        if parameter in optimiser.state
    }


def from_tensors(
    optimiser: torch.optim.Optimizer, module: nn.Module, tensors: Mapping[str, Tensor]
) -> None:
    """Puts back what `to_tensors` took. Raises CheckpointError where a tensor does not fit."""
    names = dict(module.named_parameters())
    known = {f"{moment}.{name}" for name in names for moment in _MOMENTS}
    if unknown := set(tensors) - known:
        raise CheckpointError(f"the saved optimiser has {min(unknown)}, which the network has not")
    for name, parameter in names.items():
        found = {m: tensors[f"{m}.{name}"] for m in _MOMENTS if f"{m}.{name}" in tensors}
        if not found:
            continue
        if len(found) < len(_MOMENTS) or found["exp_avg"].shape != parameter.shape:
            raise CheckpointError(f"the saved optimiser does not fit {name}; train again")
        # laid out as the parameter is: the fused kernel goes through memory, not through indices
        optimiser.state[parameter] = {
            m: torch.empty_like(parameter).copy_(t) if t.dim() else t.to(parameter.device)
            for m, t in found.items()
        }
