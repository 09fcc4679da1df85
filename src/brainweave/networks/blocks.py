"""The blocks of the networks: residual, attention, resampling."""

import math
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from brainweave import lean

Resample = Literal["halve", "double"]
Modulation = Literal["scale_shift", "shift"]
Layer = TypeVar("Layer", nn.Linear, nn.Conv3d)


@dataclass(frozen=True)
class Shared:
    """What all residual blocks of a network have in common; see `UNetConfig` for each."""

    time_width: int
    condition_width: int
    groups: int
    norm_eps: float
    skip_kernel: int
    dropout: float
    modulation: Modulation

    def norm(self, channels: int) -> nn.GroupNorm:
        """The norm of so many channels."""
        return nn.GroupNorm(groups_of(channels, self.groups), channels, eps=self.norm_eps)


def groups_of(channels: int, wanted: int) -> int:
    """FlowLet's rule: `wanted` if it divides, else the next smaller divisor, below c / 2 for few
    channels: 16 -> 8, 24 -> 12, 48 -> 24, 64 -> 32 for 32 wanted."""
    limit = wanted if channels >= wanted else max(channels // 2, 1)
    return next(n for n in range(limit, 0, -1) if channels % n == 0)


def fourier(clock: Float[Tensor, "b"], width: int) -> Float[Tensor, "b width"]:
    """cos, then sin, of `clock` at width // 2 rates from 1 down towards 1e-4 (arXiv:2006.11239).

    float32, or float64 if the clock is."""
    half, kind = width // 2, torch.promote_types(clock.dtype, torch.float32)
    rates = torch.exp(-math.log(1e4) / half * torch.arange(half, device=clock.device).to(kind))
    angles = clock.to(kind)[:, None] * rates
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, width % 2))


def places(like: Float[Tensor, "b c i j k"], frequencies: int) -> Float[Tensor, "b f i j k"]:
    """cos and sin of every voxel's place, -pi / 2 to pi / 2 along each axis, 1, 2, 4, ... times."""
    axes = [
        torch.linspace(-0.5, 0.5, edge, device=like.device) * math.pi for edge in like.shape[2:]
    ]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    angles = torch.cat([grid * 2.0**power for power in range(frequencies)])
    features = torch.cat([angles.cos(), angles.sin()]).to(like.dtype)
    return features.expand(len(like), -1, -1, -1, -1)


def modulate(x: Tensor, scale_shift: Float[Tensor, "b two_c"]) -> Tensor:
    """x (1 + scale) + shift per volume and channel (FiLM, arXiv:1709.07871)."""
    scale, shift = scale_shift[:, :, None, None, None].chunk(2, dim=1)
    return torch.addcmul(shift.to(x.dtype), x, 1 + scale.to(x.dtype))


class ResBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice; time and conditions act around the second norm.

    They scale and shift after it or, as "shift", are added before it, as in guided diffusion's
    default. resample: applied to the branch after its first norm and to the skip.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        shared: Shared,
        resample: Resample | None = None,
    ) -> None:
        super().__init__()
        self.resample = resample
        self.shifts = shared.modulation == "shift"
        width, heard = (1 if self.shifts else 2) * out_channels, shared.condition_width
        self.norm_in = shared.norm(in_channels)
        self.conv_in = nn.Conv3d(in_channels, out_channels, 3, padding=1)
        self.time_film = nn.Linear(shared.time_width, width)
        self.film = nn.Linear(heard, width) if heard else None
        self.norm_out = shared.norm(out_channels)
        self.dropout = nn.Dropout(shared.dropout)
        self.conv_out = zeroed(nn.Conv3d(out_channels, out_channels, 3, padding=1))
        self.skip: nn.Module = nn.Identity()
        if in_channels != out_channels:
            kernel = shared.skip_kernel
            self.skip = nn.Conv3d(in_channels, out_channels, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, time: Tensor, vector: Tensor | None) -> Tensor:
        h = F.silu(self.norm_in(x))
        if self.resample is not None:
            resampled = halve if self.resample == "halve" else double
            h, x = resampled(h), resampled(x)
        h, said = self.conv_in(h), self._said(time, vector)
        if self.shifts:
            h = self.norm_out(h + torch.stack(said).sum(0)[:, :, None, None, None].to(h.dtype))
        else:
            h = self.norm_out(h)
            for scale_shift in said:
                h = modulate(h, scale_shift)
        return self.skip(x) + self.conv_out(self.dropout(F.silu(h)))

    def infer(self, parts: list[Tensor], time: Tensor, vector: Tensor | None) -> Tensor:
        """`forward` of the concatenated parts, [1 c i j k] each, by the means of `lean`.

        Two parts may be written over.
        """
        said, doubled = self._said(time, vector), self.resample == "double"
        shift = torch.stack(said).sum(0)[0] if self.shifts else None
        with torch.autocast(parts[0].device.type, enabled=False):
            norm = lean.measured(parts, self.norm_in)
            if isinstance(self.skip, nn.Conv3d):
                h, *parts = lean.branched(parts, self.conv_in, self.skip, norm=norm, shift=shift)
            elif self.resample == "halve":
                h = lean.convolve([lean.halved(parts, norm=norm)], self.conv_in, shift=shift)
                parts = [lean.halved(parts)]
            else:
                h = lean.convolve(parts, self.conv_in, norm=norm, shift=shift, doubled=doubled)
            norm = lean.measured([h], self.norm_out)
            for scale_shift in () if self.shifts else said:
                norm = norm.modulated(scale_shift)
            where, scale = lean.bounds(self.norm_out.num_channels, h), 2 if doubled else 1
            skip = lean.slabs(parts, [(start // scale, stop // scale) for start, stop in where])
            plus = map(double, skip) if doubled else skip
            return lean.convolve_into(h, self.conv_out, norm=norm, where=where, plus=plus)

    def _said(self, time: Tensor, vector: Tensor | None) -> list[Tensor]:
        """What time and conditions say to this block: shifts, or scales and shifts."""
        said = [self.time_film(F.silu(time))]
        if vector is not None and self.film is not None:
            said.append(self.film(F.silu(vector)))
        return said


class AttentionBlock(nn.Module):
    """Self-attention over voxels, then cross-attention to the condition tokens.

    post_norm: the normalised sequence is itself the residual stream, as in FlowLet; otherwise each
        attention is normalised at its entry and the stream keeps its amplitude.
    """

    def __init__(
        self,
        channels: int,
        *,
        condition_width: int,
        heads: int,
        groups: int,
        post_norm: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.post_norm = post_norm
        self.norm = nn.GroupNorm(groups_of(channels, groups), channels, eps=1e-5)
        self.proj_in = nn.Conv3d(channels, channels, 1)
        self.norm_self = nn.LayerNorm(channels, eps=1e-6)
        self.attention = Attention(channels, channels, heads, dropout)
        self.norm_cross: nn.Module | None = None
        self.norm_context: nn.Module | None = None
        self.cross: Attention | None = None
        if condition_width:
            if not post_norm:
                self.norm_cross = nn.LayerNorm(channels, eps=1e-6)
            self.norm_context = nn.LayerNorm(condition_width, eps=1e-6)
            self.cross = Attention(channels, condition_width, heads, dropout)
        self.proj_out = zeroed(nn.Conv3d(channels, channels, 1))

    def forward(self, x: Tensor, tokens: Tensor | None) -> Tensor:
        z = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        if self.post_norm:
            z = self.norm_self(z)
            z = z + self.attention(z, z)
        else:
            here = self.norm_self(z)
            z = z + self.attention(here, here)
        if tokens is not None and self.cross is not None and self.norm_context is not None:
            query = z if self.norm_cross is None else self.norm_cross(z)
            z = z + self.cross(query, self.norm_context(tokens))
        return x + self.proj_out(z.transpose(1, 2).unflatten(2, x.shape[2:]))


class Attention(nn.Module):
    """Multi-head scaled dot-product attention without biases in q, k, v.

    qk_norm: queries and keys are divided by their root mean square in a head and scaled per channel
        (RMSNorm, as in arXiv:2403.03206), so that logits stay bounded.
    """

    def __init__(
        self, channels: int, context: int, heads: int, dropout: float, *, qk_norm: bool = False
    ) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(context, channels, bias=False)
        self.value = nn.Linear(context, channels, bias=False)
        self.out = nn.Linear(channels, channels)
        self.norms = nn.ModuleList()
        if qk_norm:
            self.norms.extend(nn.RMSNorm(channels // heads, eps=1e-6) for _ in "qk")

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        q, k, v = self.query(x), self.key(context), self.value(context)
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        if self.norms:
            q, k = (_normed(part, norm) for part, norm in zip((q, k), self.norms, strict=True))
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        return self.out(mixed.transpose(1, 2).flatten(2))


def _normed(x: Tensor, norm: nn.Module) -> Tensor:
    """A norm in the precision of its weight, whatever that of x."""
    return norm(x.to(next(norm.parameters()).dtype)).to(x.dtype)


def zeroed(layer: Layer) -> Layer:
    """The layer with weights and bias zero: its block starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def halve(x: Tensor) -> Tensor:
    """Mean over blocks of 2 x 2 x 2 voxels."""
    return F.avg_pool3d(x, 2)


def double(x: Tensor) -> Tensor:
    """Every voxel eight times."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
