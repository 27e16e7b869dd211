"""Where the calibration data of a scan lie: the fully sampled samples round the centre of k-space (the ACS)."""

from __future__ import annotations

import torch
from torch import Tensor

from ugodit.data.geometry import central
from ugodit.data.undersampling import acs_width, central_run
from ugodit.errors import InputError

MAX_WIDTH = 24  # BART's and sigpy's calibration width
WHAT_TO_DO = "sample more of the centre (`center_fraction`) or give sensitivity maps (`maps`)"


def calibration_data(kspace: Tensor, acs_width: int | None, mask: Tensor | None) -> Tensor:
    """The calibration block (B, C, rows, columns) of full k-space (B, C, H, W), as a view.

    acs_width: lines to use at most; None: MAX_WIDTH. mask: bool (W,) or (H, W), or any real weights that are 0 where
    nothing was measured; None: found from which entries are not zero. Along each axis the block is the run of measured
    samples round the centre, at most acs_width of them; where there are fewer lines, more readout samples make up for
    them, to a block as large as MAX_WIDTH squared. For a mask that varies along both axes at once: the largest central
    square.
    Raises InputError where the centre of k-space was not measured, and for NaN or Inf in it.
    """
    if acs_width is not None and acs_width < 1:
        raise InputError(f"acs_width: expected at least 1 line, got {acs_width}; leave it out to use what was measured")
    height, width = kspace.shape[-2:]
    if mask is None:
        measured = (kspace != 0).any(dim=0).any(dim=0)
    elif mask.shape not in ((width,), (height, width)):
        raise ValueError(f"mask: expected shape {(width,)} or {(height, width)}, got {tuple(mask.shape)}")
    else:
        measured = (mask != 0).expand(height, width)
    rows, columns = _block(measured, acs_width or MAX_WIDTH)
    block = kspace[..., rows, columns]
    if block.numel() == 0 or not bool((block != 0).any()):
        raise InputError(
            f"kspace: expected measured, non-zero samples round the centre (column {width // 2} of {width}) to "
            f"calibrate from, got none; {WHAT_TO_DO}"
        )
    if not bool(torch.isfinite(torch.view_as_real(block)).all()):
        raise InputError(
            "kspace: expected finite numbers round the centre to calibrate from, got NaN or Inf; export the scan again"
        )
    return block


def _block(measured: Tensor, limit: int) -> tuple[slice, slice]:
    height, width = measured.shape
    rows, columns = measured.any(dim=1), measured.any(dim=0)
    if bool((measured == (rows[:, None] & columns)).all()):
        chosen = _centred(central_run(columns), limit, width)
        lines = max(chosen.stop - chosen.start, 1)
        return _centred(central_run(rows), max(limit, MAX_WIDTH**2 // lines), height), chosen
    size = min(limit, acs_width(measured))
    return central(height, size), central(width, size)


def _centred(run: tuple[int, int], limit: int, length: int) -> slice:
    start, stop = run
    size = min(limit, stop - start)
    first = min(max(length // 2 - size // 2, start), stop - size)
    return slice(first, first + size)
