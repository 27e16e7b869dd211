"""Where the calibration data of a scan lie: the fully sampled samples round the centre of k-space (the ACS)."""

from __future__ import annotations

from torch import Tensor

from ugodit.errors import InputError

MAX_WIDTH = 24  # BART's and sigpy's calibration width


def calibration_data(kspace: Tensor, acs_width: int | None, mask: Tensor | None) -> Tensor:
    """The calibration block (B, C, rows, columns) of full k-space (B, C, H, W), as a view.

    acs_width: lines to use at most; None: MAX_WIDTH. mask: bool (W,) or (H, W), or any real weights that are 0 where
    nothing was measured; None: found from which entries are not zero. Along each axis the block is the run of measured
    samples round the centre, at most acs_width of them; where there are fewer lines, more readout samples make up for
    them, to a block as large as MAX_WIDTH squared. For a mask that varies along both axes at once: the largest central
    square.
    Raises InputError where the centre of k-space was not measured.
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
            "calibrate from, got none; give sensitivity maps from a file"
        )
    return block


def sampled_run(measured: Tensor) -> tuple[int, int]:
    """The half-open range of consecutive True entries of a 1-D bool tensor that holds its centre n // 2.

    Empty, (n // 2, n // 2), where the centre itself is False.
    """
    flags = measured.tolist()
    start = stop = len(flags) // 2
    while stop < len(flags) and flags[stop]:
        stop += 1
    while stop > len(flags) // 2 and start > 0 and flags[start - 1]:
        start -= 1
    return start, stop


def _block(measured: Tensor, limit: int) -> tuple[slice, slice]:
    height, width = measured.shape
    rows, columns = measured.any(dim=1), measured.any(dim=0)
    if bool((measured == (rows[:, None] & columns)).all()):
        chosen = _centred(sampled_run(columns), limit, width)
        lines = max(chosen.stop - chosen.start, 1)
        return _centred(sampled_run(rows), max(limit, MAX_WIDTH**2 // lines), height), chosen
    size = 0
    while size < min(limit, height, width) and bool(measured[_box(height, size + 1), _box(width, size + 1)].all()):
        size += 1
    return _box(height, size), _box(width, size)


def _box(length: int, size: int) -> slice:
    start = length // 2 - size // 2
    return slice(start, start + size)


def _centred(run: tuple[int, int], limit: int, length: int) -> slice:
    start, stop = run
    size = min(limit, stop - start)
    first = min(max(length // 2 - size // 2, start), stop - size)
    return slice(first, first + size)
