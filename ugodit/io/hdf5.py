"""The one door to HDF5: every read goes through here, and what is wrong with a file comes out as one line.

A file may come from anybody. What it declares is checked before anything is allocated; links to other files are not
followed unless they are asked for, and then only to files beside it; nothing in it is ever called or loaded as code.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py

from ugodit.errors import InputError
from ugodit.io.files import require_regular_file
from ugodit.io.hdf5_attributes import HDF5Attributes
from ugodit.io.hdf5_dataset import HDF5Dataset
from ugodit.io.hdf5_errors import guarded
from ugodit.io.hdf5_links import Follower, resolve

MAX_NAMES = 1000
_NAMES_SHOWN, _NAME_LENGTH = 8, 40


def open_hdf5(path: Path, follow_links: bool = False) -> HDF5File:
    """The file, open for reading. InputError where it is missing, not HDF5 or damaged.

    follow_links: datasets may lie in other files of the same folder (external links, external storage, virtual
    datasets); otherwise they are refused.
    """
    require_regular_file(path, "an HDF5 file")
    try:
        with path.open("rb") as raw:
            signature = raw.read(8)
        # HDF5 may start after a user block of 512, 1024, ... bytes; nobody's scans do, and h5py finds those.
        if signature != b"\x89HDF\r\n\x1a\n" and not h5py.is_hdf5(path):
            raise InputError(f"{path}: expected an HDF5 file in fastMRI's layout, got something else")
        return HDF5File(path, h5py.File(path, "r"), follow_links)
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read (permission denied)") from error
    except InputError:
        raise
    except Exception as error:  # as in `guarded`
        reason = "it is truncated" if "truncated" in str(error) else "its HDF5 structure is damaged"
        raise InputError(f"{path}: cannot be opened, {reason}: copy it again") from error


class HDF5File:
    """An HDF5 file, open for reading; made by `open_hdf5`. Every method raises InputError, and nothing else."""

    def __init__(self, path: Path, file: h5py.File, follow_links: bool) -> None:
        self.path = path
        self._file = file
        self._follower = Follower(path, follow_links)
        self._attributes = HDF5Attributes(path, file)

    def __contains__(self, name: str) -> bool:
        """Whether the root group has a link of that name, wherever it leads."""
        with guarded(self._where(name)):
            return bool(self._file.id.links.exists(name.encode()))

    def dataset(self, name: str) -> HDF5Dataset:
        """The dataset of that name, which may be a path; checked, not read. InputError where there is none."""
        where = self._where(name)
        with guarded(where):
            found = resolve(self._follower, self._file, name, where)
            if found is not None:
                return HDF5Dataset(where, found)
        raise InputError(f"{self.path}: expected a dataset `{name}` (fastMRI's layout), found only {self.names()}")

    def names(self) -> str:
        """The first names in the root group, for an error."""
        found: list[str] = []

        def add(name: bytes) -> bool | None:
            found.append(name.decode("utf-8", "backslashreplace")[:_NAME_LENGTH])
            return True if len(found) > _NAMES_SHOWN else None

        with guarded(str(self.path)):
            self._file.id.links.iterate(add)
        shown = sorted(found[:_NAMES_SHOWN]) + ["..."] * (len(found) > _NAMES_SHOWN)
        return ", ".join(shown) or "nothing"

    def dataset_names(self) -> list[str]:
        """The datasets in the root group, and as group/name those in its groups."""
        found: list[str] = []

        def add_from(group: h5py.h5g.GroupID, prefix: str) -> None:
            for name in _link_names(group):
                if group.links.get_info(name).type == h5py.h5l.TYPE_HARD:
                    within = h5py.h5o.open(group, name)
                    if isinstance(within, h5py.h5d.DatasetID):
                        found.append(prefix + name.decode())
                    elif isinstance(within, h5py.h5g.GroupID) and not prefix:
                        add_from(within, f"{name.decode()}/")

        with guarded(str(self.path)):
            add_from(self._file.id, "")
        return found

    def attributes(self) -> dict[str, Any]:
        """The file's attributes as plain Python values; those that have none (times, references) are left out."""
        return self._attributes.read_all()

    def attribute(self, name: str) -> Any:
        """One attribute as a plain Python value; None where there is none, or an empty one."""
        return self._attributes.read(name)

    def _where(self, name: str) -> str:
        return f"{self.path}: {name}"

    def close(self) -> None:
        """Close it, and the files that links led to."""
        with guarded(str(self.path)):
            self._follower.close()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _link_names(group: h5py.h5g.GroupID) -> list[bytes]:
    """The first names in a group."""
    names: list[bytes] = []

    def add(name: bytes) -> bool | None:
        names.append(name)
        return True if len(names) >= MAX_NAMES else None

    group.links.iterate(add)
    return names


def hdf5_bytes(datasets: Mapping[str, Any], attributes: Mapping[str, Any]) -> memoryview:
    """A whole HDF5 file in memory: h5py cannot close a file on a full disk cleanly, a plain write can fail cleanly."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, value in datasets.items():
            file.create_dataset(name, data=value)
        for key, value in attributes.items():
            if value is not None:
                file.attrs[key] = value
    return buffer.getbuffer()


@contextmanager
def opened_hdf5(path: Path, follow_links: bool, hint: str) -> Iterator[HDF5File]:
    """`open_hdf5` for files that are not scans: `hint` says what was expected."""
    try:
        file = open_hdf5(path, follow_links)
    except InputError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise InputError(f"{path}: expected {hint}, cannot read it ({reason})") from error
    with file:
        yield file
