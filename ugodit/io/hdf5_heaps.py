"""Where HDF5 keeps texts of any length: its global heaps, looked through before HDF5 is asked for one.

libhdf5 steps from object to object of a heap by the sizes they declare. Over a damaged size it steps for ever.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from ugodit.errors import InputError

LOOKED_THROUGH = 1 << 26
"""Bytes at a file's beginning and at its end; what writes scans keeps its heaps there."""
SMALLEST = 4096
"""Bytes of a heap, at least."""
_HEADER, _OBJECT = struct.Struct("<4sB3sQ"), struct.Struct("<HH4xQ")


def check_heaps(path: Path) -> None:
    """InputError where a global heap of the file is damaged."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            size = len(content)
            for start, stop in ((0, LOOKED_THROUGH), (max(size - LOOKED_THROUGH, LOOKED_THROUGH), size)):
                place = content.find(b"GCOL", start, stop)
                while place >= 0:
                    if not _is_whole(content, place):
                        raise InputError(f"{path}: its texts cannot be read; the file is damaged: copy it again")
                    place = content.find(b"GCOL", place + 4, stop)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read ({error})") from error


def _is_whole(content: mmap.mmap, place: int) -> bool:
    """Whether the objects of a heap follow one another to its end. True for samples that happen to spell its name."""
    if place + _HEADER.size > len(content):
        return True
    _, version, zeros, size = _HEADER.unpack_from(content, place)
    end = place + size
    if version != 1 or any(zeros) or size < SMALLEST or end > len(content):
        return True  # no heap, or one that libhdf5 itself refuses
    place += _HEADER.size
    while end - place >= _OBJECT.size:
        index, _, length = _OBJECT.unpack_from(content, place)
        if index == 0:  # the free space, which counts its own header
            return bool(place + length == end)
        place += _OBJECT.size + (length + 7) // 8 * 8
    return place <= end
