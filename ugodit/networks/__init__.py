"""The networks that propose images: an encoder shared by a group of scans, a decoder for each."""

from ugodit.networks.config import NetworkConfig, reference_skip, reference_unet
from ugodit.networks.group import GroupNet

__all__ = ["GroupNet", "NetworkConfig", "reference_skip", "reference_unet"]
