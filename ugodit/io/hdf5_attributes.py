"""A file's attributes as plain Python values, of which there is no more than a limit in all."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ugodit.errors import InputError
from ugodit.io.hdf5_errors import guarded
from ugodit.io.hdf5_heaps import Heaps, check_heaps

MAX_ATTRIBUTES = 1000
MAX_BYTES = 1 << 24
"""Of all attributes that are read, beside the contents of their texts; every value counts for 16 at least."""
MAX_TEXT_BYTES = 1 << 28
"""Of their texts, which may be the same one many times in the file, but not in memory."""
_VALUE_BYTES = 16
"""Of a value in memory, at least; and in a file, of what stands for a text of any length."""


class HDF5Attributes:
    """The attributes of a file's root group."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self._path, self._file = path, file
        self._heaps: Heaps | InputError | None = None
        self._costs: dict[str, tuple[int, int]] = {}
        """Bytes, and bytes of texts, of those that were read."""

    def read_all(self) -> dict[str, Any]:
        """All of them; those that have no plain value (times, references), or would be too large, are left out."""
        found: dict[str, Any] = {}
        for name in self._names():
            with contextlib.suppress(InputError):
                found[name] = self.read(name)
        return found

    def read(self, name: str) -> Any:
        """One of them; None where there is none, or an empty one. InputError where it cannot be read."""
        where = f"{self._path}: attribute `{name}`"
        with guarded(where):
            if not h5py.h5a.exists(self._file.id, name.encode()):
                return None
            self._costs[name] = 0, 0
            costs = self._cost(h5py.h5a.open(self._file.id, name.encode()), where)
            own, texts = (sum(column) for column in zip(costs, *self._costs.values(), strict=True))
            if own > MAX_BYTES or texts > MAX_TEXT_BYTES:
                most = f"{MAX_BYTES} bytes of attributes in all, and {MAX_TEXT_BYTES} of their texts"
                raise InputError(f"{where}: expected at most {most}; write the file anew without it")
            self._costs[name] = costs
            return plain(self._file.attrs[name])

    def _cost(self, found: h5py.h5a.AttrID, where: str) -> tuple[int, int]:
        """How many bytes an attribute has, and its texts, at most."""
        size, kind = int(found.get_storage_size()), found.get_type()
        if not kind.detect_class(h5py.h5t.VLEN) and not _has_texts(kind):
            values = size if kind.get_class() == h5py.h5t.ARRAY else size // max(kind.get_size(), 1)
            return max(size, _VALUE_BYTES * values), 0
        lists = kind.get_class() == h5py.h5t.VLEN
        if (not lists and kind.get_class() != h5py.h5t.STRING) or (lists and not _is_number(kind.get_super())):
            raise InputError(f"{where}: expected numbers or texts, got texts or lists within others")
        heaps = self._looked_through()
        count = -(-size // _VALUE_BYTES)
        contents = heaps.most(count, MAX_TEXT_BYTES >> 4)
        return (size + _VALUE_BYTES * contents, 0) if lists else (size, contents)

    def _looked_through(self) -> Heaps:
        """The file's heaps, or what is wrong with them: looked through once, however many texts there are."""
        if self._heaps is None:
            try:
                self._heaps = check_heaps(self._path)
            except InputError as error:
                self._heaps = error
        if isinstance(self._heaps, InputError):
            raise InputError(str(self._heaps))
        return self._heaps

    def _names(self) -> list[str]:
        found: list[str] = []

        def add(name: bytes, *_: object) -> bool | None:
            try:
                found.append(name.decode())
            except UnicodeDecodeError:
                return None  # no name that anything here asks for
            return True if len(found) >= MAX_ATTRIBUTES else None

        with guarded(str(self._path)):
            h5py.h5a.iterate(self._file.id, add)
        return found


def _has_texts(kind: h5py.h5t.TypeID) -> bool:
    """Whether there are texts of any length in it."""
    if kind.get_class() == h5py.h5t.STRING:
        return bool(kind.is_variable_str())
    return kind.get_class() in (h5py.h5t.ARRAY, h5py.h5t.COMPOUND) and bool(kind.detect_class(h5py.h5t.STRING))


def _is_number(kind: h5py.h5t.TypeID) -> bool:
    return kind.get_class() in (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM)


def plain(value: Any) -> Any:
    """An HDF5 attribute as Python's own type: numpy scalars and bytes make poor JSON. ValueError where it has none."""
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    if isinstance(value, list):
        return [plain(one) for one in value]
    if value is None or isinstance(value, (str, bool, int, float, complex)):
        return value
    raise ValueError(f"no plain value: {type(value).__name__}")
