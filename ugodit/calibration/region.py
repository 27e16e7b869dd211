"""Where the calibration data of a scan lie: the fully sampled lines round the centre of k-space (the ACS)."""

from __future__ import annotations

import torch
from torch import Tensor

from ugodit.errors import InputError

MAX_WIDTH = 24  # BART's and sigpy's calibration width; wider regions cost more and, measured, gain nothing


def sampled_run(sampled: Tensor) -> tuple[int, int]:
    """The half-open range of consecutive True entries of a 1-D bool tensor that holds its centre n // 2.

    Empty, (n // 2, n // 2), where the centre itself was not measured.
    """
    width = sampled.numel()
    flags = sampled.tolist()
    start = stop = width // 2
    while stop < width and flags[stop]:
        stop += 1
    if stop == start:
        return start, start
    while start > 0 and flags[start - 1]:
        start -= 1
    return start, stop


def central_block(sampled: Tensor, limit: int | None) -> tuple[slice, slice]:
    """Rows and columns of the calibration block.

    sampled: bool (W,), or (H, W) for masks along both axes. The block is as wide as the run of measured lines round
    the centre, at most `limit` (None: MAX_WIDTH), and as close to the centre as it can be. For a one-dimensional mask
    the rows are left to the caller: every row is measured; (slice(None), columns) comes back.
    """
    limit = MAX_WIDTH if limit is None else limit
    if sampled.ndim == 1:
        return slice(None), _centred(sampled_run(sampled), limit, sampled.numel())
    height, width = sampled.shape
    size = 0
    while size < min(limit, height, width) and bool(sampled[_box(height, size + 1), _box(width, size + 1)].all()):
        size += 1
    return _box(height, size), _box(width, size)


def calibration_data(kspace: Tensor, acs_width: int | None, mask: Tensor | None) -> Tensor:
    """The calibration block (B, C, rows, columns) of full k-space (B, C, H, W), as a view.

    acs_width: lines to use at most; None: all of the ACS up to MAX_WIDTH. mask: bool (W,) or (H, W); None: found from
    which entries are not zero. Raises InputError where the centre of k-space was not measured.
    """
    height, width = kspace.shape[-2:]
    sampled = mask.bool() if mask is not None else (kspace != 0).any(dim=0).any(dim=0).any(dim=0)
    rows, columns = central_block(sampled, acs_width)
    if sampled.ndim == 1:
        rows = _box(height, min(acs_width or MAX_WIDTH, height))
    block = kspace[..., rows, columns]
    if block.shape[-1] == 0 or not bool((block != 0).any()):
        raise InputError(
            f"kspace: expected measured lines round the centre (column {width // 2} of {width}) to calibrate from, "
            "got none; give sensitivity maps from a file, or a mask with a calibration region"
        )
    return block


def _box(length: int, size: int) -> slice:
    start = length // 2 - size // 2
    return slice(start, start + size)


def _centred(run: tuple[int, int], limit: int, length: int) -> slice:
    start, stop = run
    size = min(limit, stop - start)
    first = min(max(length // 2 - size // 2, start), stop - size)
    return slice(first, first + size)
