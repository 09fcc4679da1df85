"""What a voxel and its surroundings say of a missing modality, beyond products of two of them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

BATCH, RATE, DECAY = 1024, 2e-3, 0.05
LEAST = 1e-3  # of a term's standard deviation
CHUNK = 2**15  # voxels at a time
LAYERS = ("first", "second", "last")


class Perceptrons(nn.Module):
    """`members` perceptrons of two hidden layers from `inputs` terms of a voxel to one number,
    alike but for what they are taught. Their weights are buffers, as `fit` finds them once."""

    def __init__(self, members: int, inputs: int, width: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(members, 1, inputs))
        self.register_buffer("deviation", torch.ones(members, 1, inputs))
        edges = (inputs, width, width, 1)
        for name, rows, columns in zip(LAYERS, edges, edges[1:], strict=False):
            self.register_buffer(name, torch.zeros(members, rows, columns))
            self.register_buffer(f"{name}_bias", torch.zeros(members, 1, columns))

    @torch.no_grad()
    def forward(self, terms: Float[Tensor, "f v"], members: Sequence[int]) -> Float[Tensor, "v"]:
        """The mean of what these members say."""
        chosen = [buffer[list(members)] for buffer in self.buffers()]
        parts = [_told(part.T, chosen).mean(0) for part in terms.split(CHUNK, 1)]
        return torch.cat(parts)

    @torch.no_grad()
    def fit(
        self,
        terms: Float[Tensor, "v f"],
        wanted: Float[Tensor, "v"],
        weights: Float[Tensor, "m v"],
        steps: int,
    ) -> None:
        """By so many steps of AdamW on `BATCH` voxels each. weights: how much a voxel counts for a
        member, 0: it is never shown; a member that none counts for learns nothing. Everybody draws
        by its own number: with the same voxels it learns the same, alone or beside others."""
        taught = weights.gt(0).any(1).nonzero()[:, 0].tolist()
        rows = [weights[member].nonzero()[:, 0] for member in taught]
        dice = [torch.Generator().manual_seed(member) for member in taught]
        shown = [terms[own] for own in rows]
        centre = torch.stack([x.mean(0, keepdim=True) for x in shown])
        spread = torch.stack([x.std(0, keepdim=True) for x in shown]).clamp(min=LEAST)
        counts = (
            weights[taught]
            / torch.stack(
                [weights[member, own].mean() for member, own in zip(taught, rows, strict=True)]
            )[:, None]
        )
        means = torch.stack([wanted[own].mean() for own in rows])
        layers = [_begun(buffer[taught], dice) for buffer in list(self.buffers())[2:]]
        layers[-1] += means[:, None, None]
        with torch.enable_grad():
            for layer in layers:
                layer.requires_grad_()
            optimiser = torch.optim.AdamW(layers, lr=RATE, weight_decay=DECAY)
            rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
            for _ in range(steps):
                batch = [
                    own[torch.randint(len(own), (BATCH,), generator=source)]
                    for own, source in zip(rows, dice, strict=True)
                ]
                drawn = torch.stack(batch)
                made = _told(terms[drawn], [centre, spread, *layers])
                weight = counts.gather(1, drawn)
                loss = (weight * (made - wanted[drawn]).square()).mean(1).sum()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                rates.step()
        for buffer, found in zip(self.buffers(), [centre, spread, *layers], strict=True):
            buffer[taught] = found.detach().to(buffer)


def _told(terms: Float[Tensor, "*m v f"], buffers: Sequence[Tensor]) -> Float[Tensor, "m v"]:
    """What each member says, by its buffers."""
    centre, deviation, first, b, second, c, last, d = buffers
    hidden = F.relu(torch.baddbmm(b, (terms - centre) / deviation, first))
    hidden = F.relu(torch.baddbmm(c, hidden, second))
    return torch.baddbmm(d, hidden, last)[..., 0]


def _begun(like: Float[Tensor, "m r c"], dice: Sequence[torch.Generator]) -> Tensor:
    """Weights before the first step: of the hidden layers as `nn.Linear` has them, of the last
    (one column) and of biases 0."""
    rows, columns = like.shape[1:]
    if min(rows, columns) == 1:
        return torch.zeros_like(like)
    drawn = [torch.rand(rows, columns, generator=source) for source in dice]
    return (2 * torch.stack(drawn) - 1) / rows**0.5
