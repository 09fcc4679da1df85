"""One 3D diffusion transformer: DiT on patches of coefficients, with cross-attention to tokens."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from brainweave.conditions.base import Signal
from brainweave.networks.base import NetworkConfig
from brainweave.networks.blocks import Attention, fourier, zeroed

Tokens = Float[Tensor, "b n width"]
Counts = tuple[int, int, int]  # of patches along each axis


class TransformerConfig(NetworkConfig):
    """A diffusion transformer (arXiv:2212.09748) whose tokens are cubes of patch^3 cells.

    On wavelet coefficients as WaveDiT (arXiv:2606.08670), but every patch attends to all others,
    which costs the square of their number. width: of a token; depth: blocks; heads: of attention;
    mlp_ratio: hidden width of the MLPs per width; dropout: of attention and MLPs. time_scale,
    cross_attention, checkpointing, gain: as in `UNetConfig`. The defaults are DiT-S/2's.
    """

    patch: int = Field(default=2, ge=1)
    width: int = Field(default=384, ge=6)
    depth: int = Field(default=12, ge=1)
    heads: int = Field(default=6, ge=1)
    mlp_ratio: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    time_scale: float = Field(default=1000.0, gt=0)
    cross_attention: bool = True
    checkpointing: bool = False
    gain: bool = False

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "TransformerConfig":
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide the width {self.width}")
        return self

    @property
    def factor(self) -> int:
        return self.patch

    @property
    def attends(self) -> bool:
        return self.cross_attention and self.condition_width > 0

    def build(self, in_channels: int, out_channels: int) -> "Transformer":
        return Transformer(self, in_channels, out_channels)


class Transformer(nn.Module):
    """forward(x [b in i j k], clock [b], signal) -> [b out i j k], edges multiples of `factor`.

    The output has the type of x, also under autocast, and so has the residual stream.
    """

    def __init__(self, config: TransformerConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.config = config
        width, cells = config.width, config.patch**3
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        heard = config.condition_width
        self.film = nn.Linear(heard, width) if heard else None
        self.stem = nn.Linear(cells * in_channels, width)
        _draw(self)
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.depth))
        self.modulation = zeroed(nn.Linear(width, 2 * width))
        heads = 2 * out_channels if config.gain else out_channels
        self.head = zeroed(nn.Linear(width, cells * heads))

    def forward(self, x: Tensor, clock: Tensor, signal: Signal) -> Tensor:
        seen = x if signal.planes is None else torch.cat([x, signal.planes], dim=1)
        patch, width = self.config.patch, self.config.width
        i, j, k = (edge // patch for edge in x.shape[2:])
        z = self.stem(patches(seen, patch)) + positions((i, j, k), width, x.device).to(x.dtype)
        said = self._said(clock, signal)
        for block in self.blocks:
            if self.config.checkpointing and torch.is_grad_enabled():
                z = checkpoint(block, z, said, signal.tokens, use_reentrant=False)
            else:
                z = block(z, said, signal.tokens)
        shift, scale = self.modulation(F.silu(said))[:, None].chunk(2, dim=2)
        out = joined(self.head(_modulated(z, shift, scale)), patch, (i, j, k)).to(x.dtype)
        if not self.config.gain:
            return out
        bias, gain = out.chunk(2, dim=1)
        return bias + gain * x

    def _said(self, clock: Tensor, signal: Signal) -> Float[Tensor, "b width"]:
        """What time and conditions say to all blocks."""
        said = self.time(fourier(clock * self.config.time_scale, self.config.width))
        if signal.vector is not None and self.film is not None:
            said = said + self.film(signal.vector)
        return said


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention to the condition tokens, MLP.

    Time and conditions scale and shift what the first and the last see, and gate what they add
    (adaLN-zero, arXiv:2212.09748, section 3.2); cross-attention stands between them ungated, as in
    arXiv:2310.00426. All start at zero: an untrained block is the identity.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, heads, dropout = config.width, config.heads, config.dropout
        hidden = config.mlp_ratio * width
        self.modulation = nn.Linear(width, 6 * width)
        self.attention = Attention(width, width, heads, dropout, qk_norm=True)
        self.norm_context: nn.Module | None = None
        self.cross: Attention | None = None
        if config.attends:
            self.norm_context = nn.LayerNorm(config.condition_width, eps=1e-6)
            self.cross = Attention(width, config.condition_width, heads, dropout, qk_norm=True)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(approximate="tanh"),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
        )
        _draw(self)
        zeroed(self.modulation)
        if self.cross is not None:
            zeroed(self.cross.out)

    def forward(self, z: Tokens, said: Float[Tensor, "b width"], tokens: Tensor | None) -> Tokens:
        six = self.modulation(F.silu(said))[:, None].chunk(6, dim=2)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = six
        here = _modulated(z, shift, scale)
        z = z + gate * self.attention(here, here)
        if tokens is not None and self.cross is not None and self.norm_context is not None:
            z = z + self.cross(_norm(z), self.norm_context(tokens))
        return z + mlp_gate * self.mlp(_modulated(z, mlp_shift, mlp_scale))


def patches(x: Float[Tensor, "b c i j k"], edge: int) -> Float[Tensor, "b n cells"]:
    """The cubes of edge^3 cells as rows, the last axis fastest; in a row channel by channel."""
    x = x.unflatten(4, (-1, edge)).unflatten(3, (-1, edge)).unflatten(2, (-1, edge))
    return x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)


def joined(
    rows: Float[Tensor, "b n cells"], edge: int, counts: Counts
) -> Float[Tensor, "b c i j k"]:
    """The inverse of `patches`, of which there are so many along each axis."""
    x = rows.unflatten(1, counts).unflatten(4, (-1, edge, edge, edge))
    return x.permute(0, 4, 1, 5, 2, 6, 3, 7).flatten(6).flatten(4, 5).flatten(2, 3)


def positions(counts: Counts, width: int, device: torch.device) -> Float[Tensor, "n width"]:
    """cos and sin of every patch's place along each axis, a third of the width for each.

    Places are counted in patches from the middle of the grid, as volumes are cropped and padded
    about theirs: a larger grid has the same places with others around them.
    """
    rows = [fourier(torch.arange(n, device=device) - (n - 1) / 2, width // 3) for n in counts]
    i, j, k = (
        row.expand(*counts, -1) for row in (rows[0][:, None, None], rows[1][:, None], rows[2])
    )
    return F.pad(torch.cat([i, j, k], dim=3).flatten(0, 2), (0, width % 3))


def _norm(z: Tokens) -> Tokens:
    """Every token with mean 0 and variance 1."""
    return F.layer_norm(z, z.shape[2:], eps=1e-6)


def _modulated(z: Tokens, shift: Tensor, scale: Tensor) -> Tokens:
    return torch.addcmul(shift.to(z.dtype), _norm(z), 1 + scale.to(z.dtype))


def _draw(module: nn.Module) -> None:
    """Starts all linear layers as DiT does."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
