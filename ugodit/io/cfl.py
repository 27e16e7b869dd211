"""BART's cfl files: NAME.hdr, text with the dimensions, and NAME.cfl, complex64 in Fortran order."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ugodit.errors import InputError
from ugodit.io.atomic import write_file
from ugodit.io.files import read_bytes, require_regular_file

DIMENSIONS = 16
MAX_HEADER_BYTES = 1 << 20


def read_cfl(path: str | os.PathLike[str]) -> NDArray[np.complex64]:
    """The array in NAME.cfl, complex64, with BART's order of axes (readout, phase 1, phase 2, coils, maps, ...).

    path: with or without its suffix. Always 16 axes. A view of the file: nothing is read before it is used. Raises
    InputError for a file that is missing, is not a cfl, or is shorter than its header says.
    """
    header, data = _names(path)
    try:
        lines = read_bytes(header, "a BART header", MAX_HEADER_BYTES).decode().splitlines()
    except (InputError, UnicodeDecodeError) as error:
        raise InputError(f"{header}: expected a BART header beside {data.name}, cannot read it ({error})") from error
    shape = _dimensions(header, lines)
    expected = math.prod(shape) * 8
    found = require_regular_file(data, "BART's samples")
    if found != expected:
        raise InputError(f"{data}: expected {expected} bytes for dimensions {shape}, got {found}; copy the file again")
    try:
        array: NDArray[np.complex64] = np.memmap(data, dtype="<c8", mode="r", shape=shape, order="F")
    except (OSError, ValueError) as error:
        raise InputError(f"{data}: cannot be read ({error})") from error
    return array


def write_cfl(path: str | os.PathLike[str], array: NDArray[Any]) -> None:
    """Write a complex array of at most 16 axes, in BART's order, as NAME.hdr and NAME.cfl.

    The data first, then the header, each whole or not at all. Raises InputError where they cannot be written.
    """
    if array.ndim > DIMENSIONS:
        raise ValueError(f"array: expected at most {DIMENSIONS} axes, got {array.ndim}")
    header, data = _names(path)
    shape = (*array.shape, *[1] * (DIMENSIONS - array.ndim))
    write_file(data, np.ascontiguousarray(array.T, dtype="<c8").data.cast("B"))
    write_file(header, f"# Dimensions\n{' '.join(map(str, shape))}\n".encode())


def _names(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    path = Path(path)
    if not path.name:
        raise InputError(f"{path}: expected the name of a file, NAME.cfl, got a folder")
    stem = path.with_suffix("") if path.suffix in (".cfl", ".hdr") else path
    return stem.with_name(stem.name + ".hdr"), stem.with_name(stem.name + ".cfl")


def _dimensions(header: Path, lines: list[str]) -> tuple[int, ...]:
    try:
        start = next(i for i, line in enumerate(lines) if line.strip() == "# Dimensions")
        shape = [int(word) for word in lines[start + 1].split()]
    except (StopIteration, IndexError, ValueError):
        shape = []
    if not 0 < len(shape) <= DIMENSIONS or min(shape) < 1:
        raise InputError(
            f"{header}: expected a line '# Dimensions' and then up to {DIMENSIONS} sizes, got no such thing"
        )
    return (*shape, *[1] * (DIMENSIONS - len(shape)))
