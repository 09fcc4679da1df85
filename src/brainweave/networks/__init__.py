"""Networks: what is learnt."""

from brainweave.networks.base import NetworkConfig
from brainweave.networks.transformer import Transformer, TransformerConfig
from brainweave.networks.unet import UNet, UNetConfig

__all__ = ["NetworkConfig", "Transformer", "TransformerConfig", "UNet", "UNetConfig"]
