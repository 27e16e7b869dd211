"""One dataset of an HDF5 file: what it declares is checked when it is opened, what it stores when it is read."""

from __future__ import annotations

import itertools
import math
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ugodit.data.limits import check_memory
from ugodit.errors import InputError, named
from ugodit.io.hdf5_errors import guarded
from ugodit.io.hdf5_heaps import check_heaps

MAX_CHUNK_BYTES = 1 << 29
"""HDF5 reads chunks whole, however few of their samples are wanted."""
MAX_CHUNKS = 1 << 18
"""In one read: HDF5 keeps a record of each."""
MAX_CHUNKS_STORED = 1 << 22
"""In one dataset whose chunks go through filters: each is looked at."""
MAX_TEXT_BYTES = 1 << 22
MAX_LONGEST_BYTES = 1 << 26
"""Of any text in the file: which one it is, is only known when it is read."""
DAMAGED = "a chunk does not hold what it declares; the file is damaged: copy it again"

_DEFLATE, _SHUFFLE, _FLETCHER32, _LZF = 1, 2, 3, 32000
_FILTERS = {_DEFLATE, _SHUFFLE, _FLETCHER32, _LZF}
_DEFLATE_RATIO = 1032
"""One byte inflates to this many at most."""


class HDF5Dataset:
    """A dataset of known shape and type, to be read as a whole or by its first index."""

    def __init__(self, where: str, dataset: h5py.Dataset) -> None:
        """where: names file and dataset in errors. InputError for types, sizes and filters that are not read here."""
        self.where = where
        self._dataset = dataset
        if dataset.id.get_space().get_simple_extent_type() == h5py.h5s.NULL:
            raise InputError(f"{where}: expected data, got an empty dataspace; write the dataset again")
        self.shape: tuple[int, ...] = tuple(int(size) for size in dataset.shape)
        try:
            self.dtype: np.dtype[Any] = dataset.dtype
        except Exception as error:  # h5py has no one exception for types without an equivalent in NumPy
            raise InputError(f"{where}: has a type that NumPy does not know; store it as numbers") from error
        self.itemsize = max(self.dtype.itemsize, dataset.id.get_type().get_size())
        self._filters: list[int] = []
        self._chunk, self._compressed = self._check_storage()

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        """Its type and shape, for an error."""
        return f"{self.dtype} {self.shape}"

    def read(self, index: int | None = None) -> NDArray[Any]:
        """All of it, or what is at `index` of its first axis, as numbers. InputError where that cannot be read."""
        if self.dtype.kind not in "biufc":
            raise InputError(f"{self.where}: expected numbers, got {self.dtype}")
        where = self.where if index is None else f"{self.where}, slice {index}"
        with guarded(where), np.errstate(all="ignore"):
            with named(where):
                self._check_read(index)
            return np.asarray(self._dataset[()] if index is None else self._dataset[index])

    def read_text(self) -> bytes:
        """A single string, as its bytes. InputError for anything else."""
        with guarded(self.where):
            if h5py.check_string_dtype(self.dtype) is None or self.shape != () or self.itemsize > MAX_TEXT_BYTES:
                raise InputError(f"{self.where}: expected one string of XML, got {self}; remove the dataset")
            self._check_read(None)
            if check_heaps(Path(self._dataset.file.filename)).longest > MAX_LONGEST_BYTES:
                raise InputError(
                    f"{self.where}: the file has texts of more than {MAX_LONGEST_BYTES} bytes; remove them"
                )
            text = self._dataset[()]
            if not isinstance(text, (str, bytes)) or len(text) > MAX_TEXT_BYTES:
                raise InputError(f"{self.where}: expected one string of at most {MAX_TEXT_BYTES} bytes")
            return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text

    def check_all_chunks(self) -> None:
        """What is checked before a read, for all of it: HDF5 reads the parts of virtual datasets by itself."""
        with named(self.where):
            self._check_read(None)

    def _check_storage(self) -> tuple[tuple[int, ...] | None, int | None]:
        """The shape of chunks, where there are any, and the filter that compresses them."""
        plist = self._dataset.id.get_create_plist()
        if plist.get_layout() != h5py.h5d.CHUNKED:
            return None, None
        chunk = plist.get_chunk()
        size = math.prod(chunk) * self.itemsize
        if size > MAX_CHUNK_BYTES:
            found = f"chunks {chunk} of {size} bytes"
            raise InputError(
                f"{self.where}: expected chunks of at most {MAX_CHUNK_BYTES} bytes, got {found}; repack it"
            )
        filters = [plist.get_filter(place) for place in range(plist.get_nfilters())]
        codes = self._filters = [code for code, *_ in filters]
        compressing = [code for code in codes if code in (_DEFLATE, _LZF)]
        usual = len(codes) == len(set(codes)) and len(compressing) <= 1 and _SHUFFLE not in codes[1:]
        if not set(codes) <= _FILTERS or not usual:
            names = ", ".join(name.decode("ascii", "backslashreplace") or str(code) for code, _, _, name in filters)
            raise InputError(f"{self.where}: expected gzip, lzf or no compression, got the filters {names}; repack it")
        for code, _, values, _ in filters:
            if code == _LZF and len(values) > 2 and values[2] > size:
                raise InputError(f"{self.where}: its compression does not fit its chunks; the file is damaged")
        return chunk, compressing[0] if compressing else None

    def _check_read(self, index: int | None) -> None:
        """InputError where what would be read does not fit into memory, or inflates to more than it declares."""
        shape = self.shape if index is None else self.shape[1:]
        chunk_bytes = math.prod(self._chunk or (0,)) * self.itemsize
        check_memory(2 * math.prod(shape) * self.itemsize + 3 * chunk_bytes, "what is to be read")
        if self._chunk is None or 0 in self.shape:
            return
        ranges = [range(0, size, step) for size, step in zip(self.shape, self._chunk, strict=True)]
        if index is not None:
            start = index // self._chunk[0] * self._chunk[0]
            ranges[0] = range(start, start + 1)
        if math.prod(len(one) for one in ranges) > MAX_CHUNKS:
            raise InputError(f"expected larger chunks than {self._chunk} in {self.shape}; repack the dataset")
        if self._filters:
            stored = self._chunks_stored
            for offset in itertools.product(*ranges):
                if offset in stored:
                    self._check_chunk(offset, stored[offset], chunk_bytes)

    @cached_property
    def _chunks_stored(self) -> dict[tuple[int, ...], int]:
        """The bytes of each chunk that the file holds, by its offset.

        InputError for an index that HDF5 would follow to its own death: chunks that come twice, lie nowhere or where
        the file begins, or are too short for their checksum.
        """
        found: dict[tuple[int, ...], int] = {}
        least = 4 if _FLETCHER32 in self._filters else 1
        problems: list[str] = []

        def look_at(info: Any) -> int | None:
            offset = tuple(info.chunk_offset)
            steps = zip(offset, self.shape, self._chunk or (), strict=True)
            inside = all(at < size and at % step == 0 for at, size, step in steps)
            if offset in found or not inside or not info.byte_offset or info.size < least:
                problems.append(DAMAGED)
            elif len(found) >= MAX_CHUNKS_STORED:
                problems.append(f"expected at most {MAX_CHUNKS_STORED} chunks; repack the dataset")
            found[offset] = info.size
            return 1 if problems else None  # which ends it

        self._dataset.id.chunk_iter(look_at)
        for problem in problems:
            raise InputError(problem)
        return found

    def _check_chunk(self, offset: tuple[int, ...], stored: int, chunk_bytes: int) -> None:
        """HDF5 inflates a chunk to whatever comes of it, and only then compares that with what was declared."""
        # A chunk that compression would have enlarged is stored as it is; a checksum and zlib's own words come on top.
        if stored > chunk_bytes + chunk_bytes // 100 + 4096:
            raise InputError(DAMAGED)
        if self._compressed is None:
            return
        if self._compressed == _LZF:
            check_memory(100 * stored, "a chunk")
        elif stored * _DEFLATE_RATIO > 4 * chunk_bytes + (1 << 26):
            skipped, content = self._dataset.id.read_direct_chunk(offset)
            if not skipped and len(zlib.decompressobj().decompress(content, chunk_bytes + 1)) > chunk_bytes:
                raise InputError(DAMAGED)
