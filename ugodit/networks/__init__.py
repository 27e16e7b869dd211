"""The networks that propose images: an encoder shared by a group of scans, a decoder for each, or for all."""

from ugodit.networks.config import NetworkConfig, reference_skip, reference_unet
from ugodit.networks.group import GroupNet, Start

__all__ = ["GroupNet", "NetworkConfig", "Start", "reference_skip", "reference_unet"]
