"""Networks: encoder and decoder of a group, and their unrolled form."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ugodit.networks.config import NetworkConfig, reference_skip, reference_unet
    from ugodit.networks.group import GroupNet, Start

__all__ = ["GroupNet", "NetworkConfig", "Start", "reference_skip", "reference_unet"]


def __getattr__(name: str) -> Any:
    # Configurations are read before torch, which the networks themselves need, is imported.
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("ugodit.networks." + ("group" if name in ("GroupNet", "Start") else "config")), name)
