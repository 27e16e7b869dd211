"""Scores of a reconstruction's file against the fully sampled scan that it came from."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugodit.data.geometry import center_crop
from ugodit.errors import InputError
from ugodit.evaluation.metrics import nmse, psnr, ssim
from ugodit.io.reconstructions import read_own_or_foreign, read_reconstruction


@dataclass(frozen=True)
class Scores:
    """One volume's quality by fastMRI's definitions, with the target volume's maximum."""

    name: str
    slices: int
    psnr: float
    ssim: float
    nmse: float


def score(
    reconstruction: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    square: bool = False,
    follow_links: bool = False,
) -> Scores:
    """Compare `reconstruction` in one file with `reconstruction_rss` in the other.

    A reconstruction of some slices only says which in its attribute `slices`; one by `ugodit reconstruct` must be as it
    was written. A larger target is cropped to the reconstruction's size; `square` crops both to columns x columns, as
    fastMRI's evaluate.py does. follow_links: the target may lie in another file of the same folder. Raises InputError
    for files that cannot be read or do not belong together.
    """
    reconstruction, target = Path(reconstruction), Path(target)
    image, given = read_own_or_foreign(reconstruction)
    truth = read_reconstruction(target, "reconstruction_rss", follow_links=follow_links)
    maximum = float(truth.max())
    if not maximum > np.finfo(np.float32).tiny:
        raise InputError(f"{target}: reconstruction_rss: expected a positive maximum, got {maximum}; check the file")
    if float(truth.min()) < 0:
        raise InputError(f"{target}: reconstruction_rss: expected numbers from 0, got negative ones; check the file")
    truth = truth[_slices(reconstruction, given, len(image), len(truth))]
    if any(t < i for t, i in zip(truth.shape, image.shape, strict=True)):
        expected = f"expected no more than the target's {truth.shape}, got {image.shape}"
        raise InputError(f"{reconstruction}: reconstruction: {expected}; is {target} its scan?")
    size = image.shape[-2:]
    if square:
        size = (min(size), min(size))
    if min(size) < 7:
        raise InputError(f"{reconstruction}: reconstruction: expected at least 7 x 7 pixels for SSIM, got {size}")
    truth, image = center_crop(truth, size), center_crop(image, size)
    return Scores(
        reconstruction.stem,
        len(image),
        psnr(truth, image, maximum),
        ssim(truth, image, maximum),
        nmse(truth, image),
    )


def _slices(path: Path, given: Any, found: int, available: int) -> NDArray[np.int64]:
    """Which of the target's slices were reconstructed: those that the file says, all where it says nothing (None)."""
    try:
        slices = np.atleast_1d(np.arange(found) if given is None else np.asarray(given))
    except ValueError:  # lists of different lengths
        slices = np.zeros((0, 0))
    if slices.dtype.kind not in "iu" or slices.ndim != 1 or len(slices) != found or slices.min() < 0:
        raise InputError(f"{path}: attribute slices: expected {found} slice numbers, got {given}")
    if len(np.unique(slices)) != found:
        raise InputError(f"{path}: attribute slices: expected every slice once, got {given}")
    if slices.max() >= available:
        expected = f"expected slices below the target's {available}, got up to {slices.max()}"
        raise InputError(f"{path}: reconstruction: {expected}; is it another scan's?")
    if given is None and found != available:
        raise InputError(
            f"{path}: reconstruction: expected the target's {available} slices, got {found} and no attribute `slices` "
            "that says which"
        )
    return slices
