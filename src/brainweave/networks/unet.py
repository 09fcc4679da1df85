"""One 3D U-Net: FlowLet's with one config, cWDM's with another, leaner ones with others."""

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from brainweave import lean
from brainweave.conditions.base import Signal
from brainweave.networks.base import NetworkConfig
from brainweave.networks.blocks import (
    AttentionBlock,
    Modulation,
    Resample,
    ResBlock,
    Shared,
    fourier,
    places,
    zeroed,
)


class UNetConfig(NetworkConfig):
    """A U-Net of residual blocks with attention at chosen levels and in the middle.

    width: channels of the first level; multipliers: of each level. attention_levels: 0 is the
    finest; middle_attention: between the two blocks of the middle. heads, groups (32 wanted, see
    `groups_of`), norm_eps, dropout: as usual. time_scale: the clock is multiplied by it before its
    Fourier features. modulation: time and conditions scale and shift a norm's output, or are added
    before it. skips: encoder outputs are concatenated in the decoder, or "additive": the stream
    becomes the mean of both, and each decoder stage gives the channels of the next. skip_kernel: of
    the convolution where a block changes its number of channels. post_norm: see `AttentionBlock`.
    cross_attention: attends to condition tokens. resample_inside: a residual block of its own
    halves and doubles, working at the finer side; otherwise plain pooling. checkpointing: recompute
    activations in the backward pass. positions: frequencies per axis of the Fourier features of
    the voxel's place that the first convolution also sees, for cohorts in a common space (0: none).
    gain: the output is bias + gain x_t with both predicted per voxel and channel, as in a Wiener
    filter, so that detail need not pass through the network; meant for data prediction.
    Defaults are ours; `recipes.flowlet` states FlowLet's, `recipes.cwdm` cWDM's.
    """

    width: int = Field(default=64, ge=4)
    multipliers: tuple[int, ...] = Field(default=(1, 2, 4), min_length=1)
    blocks: int = Field(default=2, ge=1)
    attention_levels: tuple[int, ...] = ()
    middle_attention: bool = True
    heads: int = Field(default=8, ge=1)
    groups: int = Field(default=32, ge=1)
    norm_eps: float = Field(default=1e-6, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    time_scale: float = Field(default=1000.0, gt=0)
    modulation: Modulation = "scale_shift"
    skips: Literal["concat", "additive"] = "concat"
    skip_kernel: int = Field(default=1, ge=1)
    post_norm: bool = False
    cross_attention: bool = True
    resample_inside: bool = False
    checkpointing: bool = False
    positions: int = Field(default=0, ge=0)
    gain: bool = False

    @model_validator(mode="after")
    def _heads_divide(self) -> "UNetConfig":
        levels = set(self.attention_levels)
        if self.skips == "additive":  # the decoder's stages narrow one stage early
            levels |= {level - 1 for level in levels if level > 0}
        if self.middle_attention:
            levels.add(len(self.multipliers) - 1)
        for level in levels:
            if level not in range(len(self.multipliers)):
                raise ValueError(f"attention level {level} of {len(self.multipliers)} levels")
            if (channels := self.width * self.multipliers[level]) % self.heads:
                raise ValueError(
                    f"{self.heads} heads do not divide the {channels} channels of level {level}"
                )
        if self.skip_kernel % 2 == 0:
            raise ValueError(f"skip_kernel must be odd, got {self.skip_kernel}")
        return self

    @property
    def factor(self) -> int:
        return 2 ** (len(self.multipliers) - 1)

    @property
    def attends(self) -> bool:
        somewhere = bool(self.attention_levels) or self.middle_attention
        return somewhere and self.cross_attention and self.condition_width > 0

    def build(self, in_channels: int, out_channels: int) -> "UNet":
        return UNet(self, in_channels, out_channels)


class UNet(nn.Module):
    """forward(x [b in i j k], clock [b], signal) -> [b out i j k], edges multiples of `factor`.

    The layout is that of guided diffusion: every encoder stage's output is kept and joined once in
    the decoder, whose stages take (stream, skip) in this order.
    """

    def __init__(self, config: UNetConfig, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.config = config
        width, time_width = config.width, 4 * config.width
        self.time = nn.Sequential(
            nn.Linear(width, time_width), nn.SiLU(), nn.Linear(time_width, time_width)
        )
        channels, kept = width, [width]
        stem = nn.Conv3d(in_channels + 6 * config.positions, width, 3, padding=1)
        encoder = [nn.ModuleList([stem])]
        for level, multiplier in enumerate(config.multipliers):
            for _ in range(config.blocks):
                encoder.append(self._stage(channels, width * multiplier, level))
                channels = width * multiplier
                kept.append(channels)
            if level < len(config.multipliers) - 1:
                encoder.append(self._down(channels))
                kept.append(channels)
        self.encoder = nn.ModuleList(encoder)
        self.middle = self._middle(channels)
        decoder = []
        for level, multiplier in reversed(list(enumerate(config.multipliers))):
            for index in range(config.blocks + 1):
                skip, wider = kept.pop(), width * multiplier
                if config.skips == "additive":
                    skip, wider = 0, kept[-1] if kept else width
                stage = self._stage(channels + skip, wider, level)
                channels = wider
                if level > 0 and index == config.blocks:
                    stage.extend(self._up(channels))
                decoder.append(stage)
        self.decoder = nn.ModuleList(decoder)
        self.norm = self._shared.norm(channels)
        heads = 2 * out_channels if config.gain else out_channels
        self.head = zeroed(nn.Conv3d(channels, heads, 3, padding=1))

    def forward(self, x: Tensor, clock: Tensor, signal: Signal) -> Tensor:
        time = self.time(fourier(clock * self.config.time_scale, self.config.width))
        if lean.applies(self, x, self.config.width):
            each = zip(x.split(1), time.split(1), _alone(signal, len(x)), strict=True)
            out = torch.cat([self._lean(*volume) for volume in each]).contiguous()
        else:
            out = self._plain(x, time, signal)
        if not self.config.gain:
            return out
        bias, gain = out.to(x.dtype).chunk(2, dim=1)
        return bias + gain * x

    def _seen(self, x: Tensor, signal: Signal) -> list[Tensor]:
        """All that the first convolution sees."""
        seen = [x] if signal.planes is None else [x, signal.planes]
        if self.config.positions:
            seen.append(places(x, self.config.positions))
        return seen

    def _plain(self, x: Tensor, time: Tensor, signal: Signal) -> Tensor:
        kept: list[Tensor] = []
        x = torch.cat(self._seen(x, signal), dim=1)
        for stage in self.encoder:
            x = self._run(stage, x, time, signal)
            kept.append(x)
        x = self._run(self.middle, x, time, signal)
        for stage in self.decoder:
            x = self._run(stage, self._joined(x, kept.pop()), time, signal)
        return self.head(nn.functional.silu(self.norm(x)))

    def _lean(self, x: Tensor, time: Tensor, signal: Signal) -> Tensor:
        """The same of one volume without gradients, by the means of `lean`."""
        kept: list[Tensor] = []
        parts = [part.to(lean.working(x)) for part in self._seen(x, signal)]
        for stage in self.encoder:
            self._infer(stage, parts, time, signal)
            kept.append(parts[0])
        self._infer(self.middle, parts, time, signal)
        for stage in self.decoder:
            parts.append(kept.pop())
            if self.config.skips == "additive":
                parts[:] = [parts[0].add_(parts[1]).div_(2)]
            self._infer(stage, parts, time, signal)
        return lean.convolve(parts, self.head, norm=lean.measured(parts, self.norm))

    def _infer(self, stage: nn.Module, parts: list[Tensor], time: Tensor, signal: Signal) -> None:
        """Puts what a stage makes of the concatenated parts in their place, so that none of them
        is kept any longer than a layer needs it."""
        for layer in stage.children():
            if isinstance(layer, ResBlock):
                made = layer.infer(parts, time, signal.vector)
            elif isinstance(layer, nn.Conv3d):
                made = lean.convolve(parts, layer)
            elif isinstance(layer, AttentionBlock):
                made = layer(parts[0], signal.tokens)
            else:
                made = layer(parts[0])
            parts[:] = [made.to(parts[0].dtype, memory_format=lean.LAST)]

    def _joined(self, x: Tensor, skip: Tensor) -> Tensor:
        return torch.cat([x, skip], dim=1) if self.config.skips == "concat" else (x + skip) / 2

    def _run(self, stage: nn.Module, x: Tensor, time: Tensor, signal: Signal) -> Tensor:
        """One stage, layer by layer; each layer hears what is its own."""
        for layer in stage.children():
            heard: tuple[Tensor | None, ...] = ()
            if isinstance(layer, ResBlock):
                heard = (time, signal.vector)
            elif isinstance(layer, AttentionBlock):
                heard = (signal.tokens,)
            if heard and self.config.checkpointing and torch.is_grad_enabled():
                x = checkpoint(layer, x, *heard, use_reentrant=False)
            else:
                x = layer(x, *heard)
        return x

    def _stage(self, in_channels: int, out_channels: int, level: int) -> nn.ModuleList:
        layers: list[nn.Module] = [self._res(in_channels, out_channels)]
        if level in self.config.attention_levels:
            layers.append(self._attention(out_channels))
        return nn.ModuleList(layers)

    def _down(self, channels: int) -> nn.ModuleList:
        if self.config.resample_inside:
            return nn.ModuleList([self._res(channels, channels, "halve")])
        return nn.ModuleList([nn.AvgPool3d(2)])

    def _up(self, channels: int) -> nn.ModuleList:
        if self.config.resample_inside:
            return nn.ModuleList([self._res(channels, channels, "double")])
        return nn.ModuleList([nn.Upsample(scale_factor=2.0, mode="nearest")])

    def _middle(self, channels: int) -> nn.ModuleList:
        layers: list[nn.Module] = [self._res(channels, channels)]
        if self.config.middle_attention:
            layers.append(self._attention(channels))
        return nn.ModuleList([*layers, self._res(channels, channels)])

    def _res(
        self, in_channels: int, out_channels: int, resample: Resample | None = None
    ) -> ResBlock:
        return ResBlock(in_channels, out_channels, self._shared, resample)

    @property
    def _shared(self) -> Shared:
        config = self.config
        return Shared(
            time_width=4 * config.width,
            condition_width=config.condition_width,
            groups=config.groups,
            norm_eps=config.norm_eps,
            skip_kernel=config.skip_kernel,
            dropout=config.dropout,
            modulation=config.modulation,
        )

    def _attention(self, channels: int) -> AttentionBlock:
        config = self.config
        return AttentionBlock(
            channels,
            condition_width=config.condition_width if config.cross_attention else 0,
            heads=config.heads,
            groups=config.groups,
            post_norm=config.post_norm,
            dropout=config.dropout,
        )


def _alone(signal: Signal, count: int) -> list[Signal]:
    """What each of `count` volumes hears."""
    each = [
        (None,) * count if part is None else part.split(1)
        for part in (signal.vector, signal.tokens, signal.planes)
    ]
    return [Signal(*parts) for parts in zip(*each, strict=True)]
