"""A scan as if fewer samples had been acquired, and what a mask measures round the centre of k-space."""

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from ugodit.data.geometry import central
from ugodit.data.masks import Mask
from ugodit.data.scan import Scan
from ugodit.errors import InputError


def central_run(mask: NDArray[np.bool_] | torch.Tensor) -> tuple[int, int]:
    """The half-open range of consecutive sampled lines of a (W,) mask that holds its centre W // 2.

    Empty, (W // 2, W // 2), where the centre itself is not sampled.
    """
    flags = _sampled(mask).tolist()
    start = stop = len(flags) // 2
    while stop < len(flags) and flags[stop]:
        stop += 1
    while stop > len(flags) // 2 and start > 0 and flags[start - 1]:
        start -= 1
    return start, stop


def acs_width(mask: NDArray[np.bool_] | torch.Tensor) -> int:
    """How many lines round the centre are all sampled: the side of the largest calibration block centred on n // 2.

    For a (W,) mask a number of lines; for (H, W) the side of a square. 0 where the centre itself is not sampled. Of an
    even number of central lines in an odd width fastMRI's masks put one on the far side: that one is not counted.
    """
    sampled = _sampled(mask)
    if sampled.ndim == 1:
        start, stop = central_run(sampled)
        before, after = len(sampled) // 2 - start, stop - len(sampled) // 2
        return 2 * min(before, after) + (after > before)
    width = 0
    while width < min(sampled.shape) and sampled[tuple(central(n, width + 1) for n in sampled.shape)].all():
        width += 1
    return width


def _sampled(mask: NDArray[np.bool_] | torch.Tensor) -> Mask:
    return np.asarray(mask.cpu() if isinstance(mask, torch.Tensor) else mask).astype(bool)


def undersample(scan: Scan, mask: NDArray[np.bool_] | torch.Tensor) -> Scan:
    """The scan as if only the samples in `mask`, (W,) or (H, W), had been acquired.

    Lines that no coil has anything in were never acquired (fastMRI pads its k-space with them): they leave the mask, as
    in fastMRI's own training. Raises InputError for a scan that is already undersampled, a mask that does not fit, and
    one that leaves nothing.
    """
    where = f"{scan.name}, slice {scan.slice_index}"
    if scan.mask is not None:
        raise InputError(f"{where}: it carries its own mask: expected fully sampled k-space; use it as it is")
    chosen = torch.as_tensor(mask)
    rows, columns = scan.kspace.shape[-2:]
    if chosen.dtype != torch.bool or tuple(chosen.shape) not in ((columns,), (rows, columns)):
        found = f"{chosen.dtype} {tuple(chosen.shape)}"
        raise InputError(f"{where}: mask: expected bool ({columns},) or ({rows}, {columns}), got {found}")
    chosen = chosen & (scan.kspace != 0).flatten(0, 1).any(0)
    if not chosen.any():
        raise InputError(f"{where}: the mask keeps no measured line; choose a lower acceleration")
    return dataclasses.replace(scan, kspace=scan.kspace * chosen, mask=chosen)
