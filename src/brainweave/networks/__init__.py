"""Networks: what is learnt."""

from brainweave.networks.base import NetworkConfig
from brainweave.networks.unet import UNet, UNetConfig

__all__ = ["NetworkConfig", "UNet", "UNetConfig"]
