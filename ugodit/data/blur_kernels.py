"""Blur kernels: Gaussian, random motion, and what any kernel has to be.

A kernel is the image of a point (a point spread function): float64 (rows, columns), odd sizes, entries of 0 or more
that add up to 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugodit.errors import InputError

Kernel = NDArray[np.float64]

MAX_KERNEL = 511
"""Pixels of a kernel's side."""

_STEPS = 8
"""Of a motion's path, for each pixel of the kernel's side: fine enough to leave no gap."""
_WANDERING = 3.0
"""Standard deviation, in radians, of how far the direction has turned at the end of a motion of intensity 1."""


def gaussian_kernel(size: int, width: float) -> Kernel:
    """(size, size): a Gaussian of standard deviation `width` pixels, cut off at four of them as SciPy and DPS do."""
    check_size(size)
    if not 0 < width <= MAX_KERNEL:
        raise InputError(f"`width`: expected a number above 0, up to {MAX_KERNEL}, of pixels, got {width}")
    distance = np.abs(np.arange(size) - size // 2)
    profile = np.where(distance <= int(4 * width + 0.5), np.exp(-0.5 * (distance / width) ** 2), 0.0)
    profile /= profile.sum()
    return np.outer(profile, profile)


def motion_kernel(size: int, intensity: float, seed: int) -> Kernel:
    """(size, size): the path of a point while a camera is moved by a random walk of its direction.

    Intensity 0 is a straight line at a random angle; at 1 the direction has turned by some 170 degrees (one standard
    deviation) at the end. The path fills the kernel as far as it goes, its centre of gravity is the kernel's centre (so
    that a blurred image stays in place), and it is spread bilinearly over pixels. The same seed gives the same kernel
    everywhere: numpy's legacy Mersenne Twister is frozen.
    """
    check_size(size)
    if not 0 <= intensity <= 1:
        raise InputError(f"`intensity`: expected a number from 0 to 1, got {intensity}")
    generator = seeded(seed)
    start = generator.uniform(0, 2 * math.pi)
    steps = _STEPS * size
    turns = generator.standard_normal(steps) * (intensity * _WANDERING / math.sqrt(steps))
    heading = start + np.cumsum(turns)
    path = np.cumsum(np.stack((np.sin(heading), np.cos(heading)), axis=1), axis=0)
    path -= path.mean(0)
    # The outermost point touches the outermost pixel's centre.
    path *= (size // 2) / np.abs(path).max()
    return _spread(path, size)


def _spread(path: NDArray[np.float64], size: int) -> Kernel:
    """Points (n, 2) round the centre, each spread over the four pixels that it lies between."""
    kernel = np.zeros((size + 1, size + 1))
    place = path + size // 2
    corner = np.minimum(np.floor(place).astype(int), size - 1)
    part = place - corner
    for down in (0, 1):
        for across in (0, 1):
            weight = np.abs(1 - down - part[:, 0]) * np.abs(1 - across - part[:, 1])
            np.add.at(kernel, (corner[:, 0] + down, corner[:, 1] + across), weight)
    kernel = kernel[:size, :size]
    return kernel / kernel.sum()


def checked_kernel(kernel: Any) -> Kernel:
    """An array of any numbers as a kernel: its sum made 1. InputError for what cannot be one."""
    try:
        found = np.asarray(kernel, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("`kernel`: expected rows of numbers, all of one length") from None
    if found.ndim != 2:
        raise InputError(f"`kernel`: expected rows and columns, got an array of shape {found.shape}")
    if not all(side % 2 and side <= MAX_KERNEL for side in found.shape):
        raise InputError(
            f"`kernel`: expected an odd number of rows and columns, {MAX_KERNEL} at most, got {found.shape[0]} x "
            f"{found.shape[1]}; add a row or column of zeros"
        )
    with np.errstate(all="ignore"):  # a sum beyond double precision is refused as such
        total = found.sum()
    if not np.isfinite(found).all() or (found < 0).any() or not 0 < total < np.inf:
        raise InputError("`kernel`: expected finite numbers of 0 or more, not all 0, got others")
    return found / total


def check_size(size: int) -> None:
    """InputError for a side that no kernel has."""
    if not (3 <= size <= MAX_KERNEL and size % 2):
        raise InputError(f"`size`: expected an odd number from 3 to {MAX_KERNEL} of pixels, got {size}")


def seeded(seed: int) -> np.random.RandomState:
    """A generator whose stream is the same in every version of numpy. InputError for a seed that it does not take."""
    if not 0 <= seed < 2**32:
        raise InputError(f"`seed`: expected a whole number from 0 to 2^32 - 1, got {seed}")
    return np.random.RandomState(seed)
