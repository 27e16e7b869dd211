"""Where HDF5 keeps texts of any length: its global heaps, looked through before HDF5 is asked for one.

libhdf5 steps from object to object of a heap by the sizes they declare. Over a damaged size it steps for ever. And any
number of texts may be the same object: a file of megabytes can hold texts of terabytes.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ugodit.errors import InputError

LOOKED_THROUGH = 1 << 26
"""Bytes at a file's beginning and at its end; what writes scans keeps its heaps there."""
SMALLEST = 4096
"""Bytes of a heap, at least."""
MAX_STEPS = 1 << 20
"""Heaps and their objects: heaps may lie over one another, so that their number is no measure of the work."""
LONG = 4096
"""Bytes from which on a text counts as long."""
MAX_LONG = 4
MAX_SEARCHED = 1 << 34
"""Bytes of a file in which long texts are looked for, one by one."""
_SIGNATURE, _MAGIC = b"\x89HDF\r\n\x1a\n", b"GCOL\x01"
_HEADER, _OBJECT, _REFERENCE = struct.Struct("<4sB3xQ"), struct.Struct("<HH4xQ"), struct.Struct("<QI")
_PIECE = 1 << 24


@dataclass
class Heaps:
    """What the heaps of a file hold."""

    path: Path
    longest: int = 0
    """Bytes of the longest object."""
    long: list[tuple[bytes, int]] = field(default_factory=list)
    """How long objects are referred to, and their bytes; no more than are looked for, and one."""
    steps: int = 0

    def most(self, texts: int, limit: int) -> int:
        """How many bytes so many texts have at most; a closer look is taken where that seems more than `limit`."""
        if texts * self.longest <= limit or len(self.long) > MAX_LONG:
            return texts * self.longest
        return texts * LONG + self._long_bytes

    @cached_property
    def _long_bytes(self) -> int:
        return sum(_count(self.path, reference) * size for reference, size in self.long)

    def add(self, content: mmap.mmap, start: int, stop: int) -> None:
        """Look at the heaps that begin in a part of the file. InputError where one is damaged."""
        place = content.find(_MAGIC, start, stop)
        while place >= 0:
            self._count_step()
            if not self._add_heap(content, place):
                raise InputError(f"{self.path}: its texts cannot be read; the file is damaged: copy it again")
            place = content.find(_MAGIC, place + 4, stop)

    def _add_heap(self, content: mmap.mmap, start: int) -> bool:
        """Whether the objects of a heap follow one another to its end. True for samples that happen to spell its name.

        Heaps that begin within this one are looked at too: which of them are true is only known to what refers to them.
        """
        if start + _HEADER.size > len(content):
            return True
        size = _HEADER.unpack_from(content, start)[2]
        end = start + size
        if size < SMALLEST or end > len(content):
            return True  # no heap, or one that libhdf5 itself refuses
        place = start + _HEADER.size
        while end - place >= _OBJECT.size:
            self._count_step()
            index, _, length = _OBJECT.unpack_from(content, place)
            if index == 0:  # the free space, which counts its own header
                return bool(place + length == end)
            place += _OBJECT.size + (length + 7) // 8 * 8
            self.longest = max(self.longest, length)
            if length > LONG and len(self.long) <= MAX_LONG:
                self.long.append((_REFERENCE.pack(start, index), length))
        return place <= end

    def _count_step(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise InputError(f"{self.path}: holds more texts than are looked through; write it anew with fewer")


def check_heaps(path: Path) -> Heaps:
    """What the global heaps of a file hold. InputError where one is damaged, or there is no looking through them."""
    heaps = Heaps(path)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            base, size = _base(path, content), len(content)
            for start, stop in ((0, LOOKED_THROUGH), (max(size - LOOKED_THROUGH, LOOKED_THROUGH), size)):
                heaps.add(content, start, stop)
            if base or size > MAX_SEARCHED:
                heaps.long = [(b"", 0)] * (MAX_LONG + 1)  # which are not looked for
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read ({error})") from error
    return heaps


def _base(path: Path, content: mmap.mmap) -> int:
    """Where the file's addresses count from. InputError unless they have 8 bytes, as what is read here is laid out."""
    base = 0
    while base < len(content) and content[base : base + 8] != _SIGNATURE:
        base = 2 * base or 512  # after a user block
    block = content[base : base + 16].ljust(16, b"\0")
    if (block[13:15] if block[8] < 2 else block[9:11]) != b"\x08\x08":
        raise InputError(f"{path}: its texts are not read: expected HDF5 with addresses of 8 bytes; repack it")
    return base


def _count(path: Path, reference: bytes) -> int:
    """How often the bytes are found in the file, at most."""
    found, before = 0, b""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            found += (before + piece).count(reference)
            before = piece[1 - len(reference) :]
    return found
