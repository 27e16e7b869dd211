"""Blur kernels from files: NumPy's .npy, or text."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ugodit.data.blur_kernels import MAX_KERNEL, Kernel, checked_kernel
from ugodit.errors import InputError, named
from ugodit.io.files import read_bytes

MAX_BYTES = 1 << 23
"""Of a kernel's file: the largest as text, with 30 characters a number."""


def read_kernel(path: str | os.PathLike[str]) -> Kernel:
    """The kernel in a file, float64 (rows, columns) that add up to 1.

    path: NAME.npy with a real array of two axes, or any other name for text: a row a line, numbers between spaces or
    commas, `#` before comments. A kernel is the image of a point, its middle pixel the point's place. Raises InputError
    for a file that is missing, is no such file, or holds what can be no kernel.
    """
    path = Path(path)
    content = read_bytes(path, "a blur kernel", MAX_BYTES)
    with named(str(path)):
        return checked_kernel(_npy(content) if path.suffix == ".npy" else _text(content))


def _npy(content: bytes) -> NDArray[np.generic]:
    """The array, whose size is asked of the header before it is believed."""
    file = io.BytesIO(content)
    try:
        with warnings.catch_warnings(action="ignore"):  # of headers that Python 2 wrote, which are read all the same
            version = npy.read_magic(file)
            read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran_order, dtype = read_header(file)
    except Exception:  # a header is Python's text: its parsers have many ways to fail
        raise InputError("expected NumPy's .npy, cannot read its header; save the kernel again") from None
    if dtype.kind not in "biuf" or len(shape) != 2 or max(shape) > MAX_KERNEL:
        raise InputError(
            f"expected a real array of two axes, of {MAX_KERNEL} x {MAX_KERNEL} at most, got {dtype} {shape}"
        )
    count = shape[0] * shape[1]
    data = content[file.tell() :]
    if len(data) != count * dtype.itemsize:
        raise InputError(f"expected {count * dtype.itemsize} bytes for {shape}, got {len(data)}; copy the file again")
    return np.frombuffer(data, dtype, count).reshape(shape, order="F" if fortran_order else "C")


def _text(content: bytes) -> list[list[float]]:
    rows = []
    try:
        for line in content.decode().splitlines():
            numbers = [float(word) for word in line.partition("#")[0].replace(",", " ").split()]
            if numbers:
                rows.append(numbers)
    except ValueError:
        raise InputError("expected rows of numbers as text, or a file NAME.npy, got something else") from None
    if not rows:
        raise InputError("expected rows of numbers as text, got none")
    return rows
