"""The search for a Poisson-disc mask: sigpy's patterns, and a bounded bisection where sigpy's own may never end.

sigpy.mri.poisson halves an interval of slopes until it is empty. Towards an acceleration that no pattern reaches that
takes minutes, or for ever.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 0.1
"""sigpy's: of the acceleration."""
_FINEST = 1e-3
"""Slopes closer together than this make patterns that differ by chance only."""
_REJECTED = 30  # sigpy's: candidates round a sample before it is given up
_SEVERAL_STARTS = 1 << 14
"""Samples up to which several starts are tried: on small grids the first one may find no free neighbour, and its
pattern ends there."""
_STARTS = 8
_DENSEST = 2.5
"""Every grid has patterns of this acceleration; below it the densest pattern is looked at first."""


def search(shape: tuple[int, int], acceleration: float, calibration: int, seed: int) -> NDArray[np.bool_] | None:
    """sigpy's mask of this seed, bool (H, W), or of another start derived from it; None where there is none.

    Ends after 20 patterns a start.
    """
    height, width = shape
    if acceleration > height * width / max(calibration**2, 1) + TOLERANCE:
        return None
    for attempt in range(_STARTS if height * width <= _SEVERAL_STARTS else 2):
        start = (seed + attempt * 1_000_003) % 2**32
        if acceleration < _DENSEST:
            reached = _acceleration(_pattern(shape, calibration, 0.0, start))
            if acceleration + TOLERANCE < reached < 2 * _DENSEST:
                return None
        mask = _bisect(shape, acceleration, calibration, start)
        if mask is not None:
            return mask
    return None


def _bisect(shape: tuple[int, int], acceleration: float, calibration: int, seed: int) -> NDArray[np.bool_] | None:
    """The first pattern within the tolerance, on sigpy's way from slope to slope."""
    low, high = 0.0, float(max(shape))
    while high - low > _FINEST:
        slope = (high + low) / 2
        mask = _pattern(shape, calibration, slope, seed)
        reached = _acceleration(mask)
        if abs(reached - acceleration) < TOLERANCE:
            return mask
        low, high = (slope, high) if reached < acceleration else (low, slope)
    return None


def _acceleration(mask: NDArray[np.bool_]) -> float:
    return mask.size / max(int(mask.sum()), 1)


def _pattern(shape: tuple[int, int], calibration: int, slope: float, seed: int) -> NDArray[np.bool_]:
    """Samples whose distances grow with the slope times the distance from the calibration square; no corners."""
    from sigpy.mri.samp import _poisson  # here, as it brings numba along: seconds that no other mask needs

    height, width = shape
    down, across = (np.maximum(np.abs(np.arange(size) - size / 2) - calibration / 2, 0) for size in shape)
    radius = np.sqrt((across / across.max())[None] ** 2 + (down / down.max())[:, None] ** 2)
    distances = [np.clip((1 + radius * slope) * size / max(shape), 1, None) for size in (width, height)]
    samples = _poisson(width, height, _REJECTED, *distances, (calibration, calibration), seed)
    mask: NDArray[np.bool_] = (samples != 0) & (radius < 1)
    return mask
