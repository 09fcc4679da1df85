"""cWDM's U-Net as its equations, by the names of its own tensors, to compare with."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]


def weights_of(config: dict) -> Weights:
    """Random tensors with the names and shapes that such a network has."""
    width, blocks, additive = (
        config["num_channels"],
        config["num_res_blocks"],
        config["additive_skips"],
    )
    shapes: dict[str, tuple[int, ...]] = {"time_embed.0": (4 * width, width)}
    shapes["time_embed.2"] = (4 * width, 4 * width)
    shapes["input_blocks.0.0"] = (width, config["in_channels"], 3, 3, 3)
    wide = [width * multiplier for multiplier in config["channel_mult"]]
    now, kept = width, [width]
    for level, channels in enumerate(wide):
        for _ in range(blocks):
            shapes |= _block(f"input_blocks.{len(kept)}.0", now, channels, width)
            kept.append(now := channels)
        if level < len(wide) - 1:
            shapes |= _block(f"input_blocks.{len(kept)}.0", now, now, width)
            kept.append(now)
    for index in (0, 1):
        shapes |= _block(f"middle_block.{index}", now, now, width)
    for stage in range(len(kept)):
        level, skip = len(wide) - 1 - stage // (blocks + 1), kept.pop()
        channels = (kept[-1] if kept else width) if additive else wide[level]
        entry = now if additive else now + skip
        shapes |= _block(f"output_blocks.{stage}.0", entry, channels, width)
        now = channels
        if level and stage % (blocks + 1) == blocks:
            shapes |= _block(f"output_blocks.{stage}.1", now, now, width)
    shapes |= {"out.0": (now,), "out.2": (8, now, 3, 3, 3)}
    source = torch.Generator().manual_seed(0)
    return dict(pair for name, shape in shapes.items() for pair in _drawn(name, shape, source))


def output(weights: Weights, config: dict, x: Tensor, t: Tensor) -> Tensor:
    """The network at x [b in i j k] and step t [b]."""
    half, groups = config["num_channels"] // 2, config["num_groups"]
    angles = t[:, None] * torch.exp(-math.log(1e4) * torch.arange(half) / half)
    time = _linear(weights, "time_embed.0", torch.cat([angles.cos(), angles.sin()], dim=1))
    time = _linear(weights, "time_embed.2", F.silu(time))

    def block(name: str, x: Tensor, resample=lambda x: x) -> Tensor:
        h = resample(F.silu(_norm(weights, f"{name}.in_layers.0", x, groups)))
        x, h = resample(x), _conv(weights, f"{name}.in_layers.2", h)
        h = h + _linear(weights, f"{name}.emb_layers.1", F.silu(time))[:, :, None, None, None]
        h = F.silu(_norm(weights, f"{name}.out_layers.0", h, groups))
        if f"{name}.skip_connection.weight" in weights:
            x = _conv(weights, f"{name}.skip_connection", x)
        return x + _conv(weights, f"{name}.out_layers.3", h)

    stages, each = len(config["channel_mult"]), config["num_res_blocks"] + 1
    kept = [x := _conv(weights, "input_blocks.0.0", x)]
    for stage in range(1, stages * each):
        halving = (lambda x: F.avg_pool3d(x, 2)) if stage % each == 0 else (lambda x: x)
        kept.append(x := block(f"input_blocks.{stage}.0", x, halving))
    x = block("middle_block.1", block("middle_block.0", x))
    for stage in range(stages * each):
        skip = kept.pop()
        x = (x + skip) / 2 if config["additive_skips"] else torch.cat([x, skip], dim=1)
        x = block(f"output_blocks.{stage}.0", x)
        if f"output_blocks.{stage}.1.out_layers.3.weight" in weights:
            x = block(f"output_blocks.{stage}.1", x, lambda x: F.interpolate(x, scale_factor=2))
    return _conv(weights, "out.2", F.silu(_norm(weights, "out.0", x, groups)))


def _block(name: str, entry: int, channels: int, width: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        f"{name}.in_layers.0": (entry,),
        f"{name}.in_layers.2": (channels, entry, 3, 3, 3),
        f"{name}.emb_layers.1": (channels, 4 * width),
        f"{name}.out_layers.0": (channels,),
        f"{name}.out_layers.3": (channels, channels, 3, 3, 3),
    }
    if entry != channels:
        shapes[f"{name}.skip_connection"] = (channels, entry, 1, 1, 1)
    return shapes


def _drawn(name: str, shape: tuple[int, ...], source: torch.Generator) -> list[tuple[str, Tensor]]:
    """Weight and bias; those of convolutions keep the spread of what passes, roughly."""
    fan = math.prod(shape[1:])
    weight = torch.randn(shape, generator=source) * fan**-0.5 + (1 if len(shape) == 1 else 0)
    bias = 0.1 * torch.randn(shape[0], generator=source)
    return [(f"{name}.weight", weight), (f"{name}.bias", bias)]


def _linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _conv(weights: Weights, name: str, x: Tensor) -> Tensor:
    kernel = weights[f"{name}.weight"]
    return F.conv3d(x, kernel, weights[f"{name}.bias"], padding=kernel.shape[-1] // 2)


def _norm(weights: Weights, name: str, x: Tensor, groups: int) -> Tensor:
    return F.group_norm(x, groups, weights[f"{name}.weight"], weights[f"{name}.bias"], eps=1e-5)
