"""The autoencoder of latent diffusion (arXiv:2112.10752) in 3D: MONAI's AutoencoderKL, and MAISI's
(arXiv:2409.11169), which differs in how it doubles the resolution."""

from torch import nn

from brainweave.representations.autoencoders.base import Latents, Shape, Volumes
from brainweave.representations.autoencoders.blocks import (
    Down,
    Entry,
    Head,
    Layer,
    Up,
    level,
    middle,
    through,
)
from brainweave.representations.autoencoders.levels import LevelsAutoencoder, LevelsConfig
from brainweave.representations.autoencoders.streams import Room


class AutoencoderKLConfig(LevelsConfig):
    """Convolutions from full resolution on; each level but the last halves it. Defaults are
    MAISI's, but for its trilinear up-sampling."""

    @property
    def factors(self) -> Shape:
        edge = 2 ** (len(self.widths) - 1)
        return edge, edge, edge

    @property
    def finest(self) -> tuple[int, int]:
        return max(self.widths[:2]), 1

    def build(self) -> "AutoencoderKL":
        return AutoencoderKL(self)


class AutoencoderKL(LevelsAutoencoder):
    """The autoencoder of an `AutoencoderKLConfig`."""

    config: AutoencoderKLConfig

    def __init__(self, config: AutoencoderKLConfig) -> None:
        super().__init__(config)
        self.encoder, self.decoder = _encoder(config), _decoder(config)

    def encoded(self, x: Volumes, room: Room | None) -> Latents:
        return through(self.encoder, x, room)

    def decoded(self, z: Latents, room: Room | None) -> Volumes:
        return through(self.decoder, z, room)


def _encoder(config: AutoencoderKLConfig) -> nn.Sequential:
    last = config.widths[-1]
    layers: list[Layer] = [Entry(config.in_channels, config.widths[0])]
    before = (config.widths[0], *config.widths)
    for index, (narrow, width, depth) in enumerate(
        zip(before, config.widths, config.depths, strict=False)
    ):
        layers += [Down(narrow)] if index else []
        layers += level(config, index, (narrow, *[width] * depth))
    layers += middle(config) if config.encoder_attention else []
    return nn.Sequential(*layers, Head(config, last, config.latent_channels))


def _decoder(config: AutoencoderKLConfig) -> nn.Sequential:
    first, last = config.widths[0], config.widths[-1]
    layers: list[Layer] = [Entry(config.latent_channels, last)]
    layers += middle(config) if config.decoder_attention else []
    before = (*config.widths[1:], last)
    for index in reversed(range(len(config.widths))):
        width = config.widths[index]
        layers += level(config, index, (before[index], *[width] * config.depths[index]))
        layers += [Up(width, config.upsample)] if index else []
    return nn.Sequential(*layers, Head(config, first, config.coming_back))
