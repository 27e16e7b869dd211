"""Sensitivity maps from the measured k-space."""

from ugodit.calibration.espirit import estimate_maps

__all__ = ["estimate_maps"]
