"""Masks: seeded, by fastMRI's definitions, and variable-density Poisson disc.

A mask from here is bit for bit fastMRI's (package 0.3.0, `fastmri.data.subsample`) for the same kind, width,
acceleration, center fraction and seed, where the seed is what one passes to `mask_func(shape, seed=seed)`: an
integer, or a tuple of integers such as `tuple(map(ord, file_name))`. Both draw from numpy's legacy Mersenne Twister,
whose stream is frozen.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ugodit.data.limits import MAX_ACCELERATION, MAX_PIXELS
from ugodit.data.poisson import search
from ugodit.errors import InputError

Mask = NDArray[np.bool_]


def cartesian_mask(
    kind: str, width: int, acceleration: float, center_fraction: float, seed: int | Sequence[int]
) -> Mask:
    """A bool (width,) mask of phase-encode lines: a fully sampled centre, and lines outside it by `kind`.

    random: each line with the one probability that makes width / acceleration lines on average.
    equispaced: every acceleration-th line from a random first one (so the centre comes on top: more than
        width / acceleration lines in all).
    equispaced_fraction: evenly spaced, but wider, so that with the centre there are about width / acceleration lines.
    magic: every acceleration-th line, in the two halves of k-space offset so that conjugate symmetry fills the gaps
        (Defazio, arXiv 1912.01101).

    Raises InputError for an unknown kind and for a width, acceleration, center fraction or seed out of range, or that
    do not go together.
    """
    if kind not in _OUTSIDE:
        raise InputError(f"`kind`: expected one of {', '.join(_OUTSIDE)}, got {kind!r}")
    if width < 1:
        raise InputError(f"`width`: expected at least 1 phase-encode line, got {width}")
    check_acceleration(acceleration)
    check_center_fraction(center_fraction)
    center_lines = round(width * center_fraction)
    generator = mask_generator(seed)
    # fastMRI first chooses one of several accelerations; with one there is no choice, but a draw is a draw.
    generator.randint(1)
    mask = _OUTSIDE[kind](generator, width, acceleration, center_lines)
    first = (width - center_lines + 1) // 2
    mask[first : first + center_lines] = True
    return mask


def poisson_disc_mask(shape: tuple[int, int], acceleration: float, calibration: int, seed: int) -> Mask:
    """A bool (H, W) mask whose density falls as 1 / (1 + s |r|), with no two samples close: sigpy's Poisson disc.

    The central calibration x calibration square is fully sampled, the corners of k-space are left out, and s is
    searched for until the acceleration is met within 0.1. It is sigpy's mask of the same seed, where there is one.
    Raises InputError for what is out of range or not reachable.
    """
    height, width = shape
    if height < 2 or width < 2:
        raise InputError(f"`shape`: expected at least 2 x 2 samples, got {height} x {width}")
    if height * width > MAX_PIXELS:
        raise InputError(f"`shape`: expected at most {MAX_PIXELS} samples, got {height} x {width}")
    if not 1 < acceleration <= MAX_ACCELERATION:
        raise InputError(
            f"`acceleration`: expected a number above 1, up to {MAX_ACCELERATION:g}, for a Poisson-disc mask, got "
            f"{acceleration:g}"
        )
    if not 0 <= calibration < min(shape):
        raise InputError(f"`calibration`: expected from 0 to below {min(shape)} lines, got {calibration}")
    mask_generator(seed)
    return _poisson_disc_mask(shape, acceleration, calibration, seed).copy()


@lru_cache(maxsize=16)
def _poisson_disc_mask(shape: tuple[int, int], acceleration: float, calibration: int, seed: int) -> Mask:
    """Searched for once for all slices of a volume: it takes a second."""
    mask = search(shape, acceleration, calibration, int(seed))
    if mask is not None:
        return mask
    height, width = shape
    raise InputError(
        f"`acceleration`: no Poisson-disc mask of {height} x {width} with {calibration} calibration lines reaches "
        f"{acceleration:g}; try another acceleration"
    )


def _random(generator: np.random.RandomState, width: int, acceleration: float, center_lines: int) -> Mask:
    outside = width - center_lines
    # A centre of all lines is in the mask anyway; the probability would be 0 / 0.
    probability = (width / acceleration - center_lines) / outside if outside else 0.0
    return generator.uniform(size=width) < probability


def _equispaced(generator: np.random.RandomState, width: int, acceleration: float, center_lines: int) -> Mask:
    step = _whole(acceleration, "equispaced")
    mask = np.zeros(width, dtype=bool)
    mask[generator.randint(0, step) :: step] = True
    return mask


def _equispaced_fraction(generator: np.random.RandomState, width: int, acceleration: float, center_lines: int) -> Mask:
    if center_lines * acceleration >= width:
        raise InputError(
            f"`center_fraction`: the centre alone has {center_lines} of {width} lines, expected fewer than "
            f"{width / acceleration:.4g} at acceleration {acceleration:g}; lower one of the two"
        )
    step = (acceleration * (center_lines - width)) / (center_lines * acceleration - width)
    first = generator.randint(0, round(step))
    mask = np.zeros(width, dtype=bool)
    mask[np.around(np.arange(first, width - 1, step)).astype(int)] = True
    return mask


def _magic(generator: np.random.RandomState, width: int, acceleration: float, center_lines: int) -> Mask:
    step = _whole(acceleration, "magic")
    offset = generator.randint(0, step)
    # positive[j] is frequency j, negative[j] is frequency -(j + 1): mirrored, the lines of one side lie two beside
    # those of the other, which at acceleration 4 is the middle of its gaps.
    offset_positive, offset_negative = (offset + 1, offset + 2) if offset % 2 == 0 else (offset + 2, offset - 1)
    positive = np.zeros((width + 1) // 2, dtype=bool)
    negative = np.zeros(width // 2, dtype=bool)
    positive[offset_positive::step] = True
    negative[offset_negative::step] = True
    return np.fft.fftshift(np.concatenate((positive, negative[::-1])))


_OUTSIDE: dict[str, Callable[[np.random.RandomState, int, float, int], Mask]] = {
    "random": _random,
    "equispaced": _equispaced,
    "equispaced_fraction": _equispaced_fraction,
    "magic": _magic,
}


def _whole(acceleration: float, kind: str) -> int:
    if acceleration != int(acceleration):
        raise InputError(f"`acceleration`: expected a whole number for a mask of kind {kind}, got {acceleration}")
    return int(acceleration)


KINDS = tuple(_OUTSIDE)
"""Of masks along the phase-encode axis."""
ALL_KINDS = (*KINDS, "poisson")
"""What `Sampling` knows."""


def draw_mask(kind: str, shape: tuple[int, int], acceleration: float, center_fraction: float, seed: int) -> Mask:
    """The mask of any kind for k-space of (H, W) samples: bool (W,), or (H, W) for kinds along both axes.

    Raises InputError for what is out of range or not reachable.
    """
    check_kind(kind)
    rows, columns = shape
    if kind == "poisson":
        calibration = max(round(center_fraction * min(rows, columns)), 1)
        return poisson_disc_mask((rows, columns), acceleration, calibration, seed)
    return cartesian_mask(kind, columns, acceleration, center_fraction, seed)


def check_kind(kind: str) -> None:
    if kind not in ALL_KINDS:
        raise InputError(f"`kind`: expected one of {', '.join(ALL_KINDS)}, got {kind!r}")


def check_acceleration(acceleration: float) -> None:
    if not 1 <= acceleration <= MAX_ACCELERATION:
        raise InputError(f"`acceleration`: expected a number from 1 to {MAX_ACCELERATION:g}, got {acceleration:g}")


def check_center_fraction(center_fraction: float) -> None:
    if not 0 < center_fraction < 1:
        raise InputError(f"`center_fraction`: expected a number above 0 and below 1, got {center_fraction}")


def mask_generator(seed: int | Sequence[int]) -> np.random.RandomState:
    try:
        return np.random.RandomState(seed)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"`seed`: expected whole numbers from 0 to 2^32 - 1, got {seed!r}") from error
