"""brainmint's WaveletFusionAutoencoder, the compressor of WFDM (arXiv:2606.00689): latent
diffusion's autoencoder behind two levels of Haar wavelets, which flow in and out at its first two.
"""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

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
from brainweave.representations.haar import SUBBANDS, analyse, synthesise

EXACT = 8**-0.5  # the gain of an orthonormal transform
ORDER = ("LLL", "LLH", "LHL", "HLL", "LHH", "HLH", "HHL", "HHH")  # brainmint's, unlike `SUBBANDS`
AGAIN = 4  # subbands, the first ones, that are transformed once more

Bands = Float[Tensor, "b _ _ _ _"]


class WaveletFusionConfig(LevelsConfig):
    """The first level is at half the resolution of a volume, like its wavelets.

    flow: channels that wavelets flow in and out through. haar_gain: the factor of a sum of eight
    voxels, at every transform and at every inverse.
    """

    widths: tuple[int, ...] = Field(default=(128, 256), min_length=2)
    flow: int = Field(default=64, ge=1)
    haar_gain: float = Field(default=EXACT, gt=0)

    @property
    def normed(self) -> tuple[int, ...]:
        return (*self.widths, self.widths[0] + self.flow, self.flow)

    @property
    def factors(self) -> Shape:
        edge = 2 ** len(self.widths)
        return edge, edge, edge

    @property
    def finest(self) -> tuple[int, int]:
        return max(self.flow, self.widths[0]), 2

    @property
    def copies(self) -> int:
        return 5 * max(self.in_channels, self.coming_back)  # of the volume, as wavelets

    def build(self) -> "WaveletFusion":
        return WaveletFusion(self)


class WaveletFusion(LevelsAutoencoder):
    """The autoencoder of a `WaveletFusionConfig`.

    fine: at half the resolution; coarse: at a quarter and below.
    """

    config: WaveletFusionConfig

    def __init__(self, config: WaveletFusionConfig) -> None:
        super().__init__(config)
        self.fine_encoder, self.coarse_encoder = _encoders(config)
        self.coarse_decoder, self.fine_decoder = _decoders(config)
        again = 8 * AGAIN
        self.inflow = nn.Sequential(Entry(again * config.in_channels, config.flow))
        self.outflow = nn.Sequential(Entry(config.flow, again * config.coming_back))

    def encoded(self, x: Volumes, room: Room | None) -> Latents:
        return through(self.coarse_encoder, self._features(x, room), room)

    def decoded(self, z: Latents, room: Room | None) -> Volumes:
        h = through(self.coarse_decoder, z, room)
        flow, h = h[:, : self.config.flow], h[:, self.config.flow :]
        low = self._synthesised(through(self.outflow, flow, room))
        first, rest = through(self.fine_decoder, h, room).tensor_split([low.shape[1]], dim=1)
        return self._synthesised(torch.cat([first + low, rest], dim=1))

    def _features(self, x: Volumes, room: Room | None) -> Bands:
        """What comes in at a quarter of the resolution."""
        first = self._analysed(x)
        flow = through(self.inflow, self._analysed(first[:, : AGAIN * x.shape[1]]), room)
        return torch.cat([flow, through(self.fine_encoder, first, room)], dim=1)

    def _analysed(self, x: Bands) -> Bands:
        bands = dict(zip(SUBBANDS, analyse(x).chunk(8, dim=1), strict=True))
        ordered = torch.cat([bands[name] for name in ORDER], dim=1)
        return (ordered * (self.config.haar_gain / EXACT)).to(x.dtype)

    def _synthesised(self, x: Bands) -> Bands:
        bands = dict(zip(ORDER, x.chunk(8, dim=1), strict=True))
        ordered = torch.cat([bands[name] for name in SUBBANDS], dim=1)
        return synthesise(ordered) * (self.config.haar_gain / EXACT)


def _encoders(config: WaveletFusionConfig) -> tuple[nn.Sequential, nn.Sequential]:
    """Up to where the second wavelets flow in, and from there."""
    (width, *widths), (depth, *depths), flow = config.widths, config.depths, config.flow
    entry = Entry(8 * config.in_channels, flow)
    fine = [entry, *level(config, 0, (flow, *[width] * depth)), Down(width)]
    coarse: list[Layer] = []
    before = (width + flow, *widths)
    for index, (narrow, wide, count) in enumerate(
        zip(before, widths, depths, strict=False), start=1
    ):
        coarse += [Down(narrow)] if coarse else []
        coarse += level(config, index, (narrow, *[wide] * count))
    coarse += middle(config) if config.encoder_attention else []
    return nn.Sequential(*fine), nn.Sequential(
        *coarse, Head(config, widths[-1], config.latent_channels)
    )


def _decoders(config: WaveletFusionConfig) -> tuple[nn.Sequential, nn.Sequential]:
    """Up to where the second wavelets flow out, and from there. Each level ends with the channels
    of the next."""
    width, flow, last = config.widths[0], config.flow, len(config.widths) - 1
    coarse: list[Layer] = [Entry(config.latent_channels, config.widths[last])]
    coarse += middle(config) if config.decoder_attention else []
    for index in range(last, 0, -1):
        wide = config.widths[index]
        narrow = config.widths[index - 1] + (flow if index == 1 else 0)
        coarse += level(config, index, (*[wide] * config.depths[index], narrow), late=True)
        coarse += [Up(narrow, config.upsample)] if index > 1 else []
    fine = [
        Up(width, config.upsample),
        *level(config, 0, (*[width] * config.depths[0], flow), late=True),
        Head(config, flow, 8 * config.coming_back),
    ]
    return nn.Sequential(*coarse), nn.Sequential(*fine)
