"""HDF5 files: opened with one line for what is wrong, written whole or not at all."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ugodit.errors import InputError


def open_hdf5(path: Path) -> h5py.File:
    """The file, open for reading. InputError where it is missing, not HDF5 or damaged."""
    if not path.exists():
        raise InputError(f"{path}: there is no such file")
    if not path.is_file():
        raise InputError(f"{path}: expected an HDF5 file, got a folder or a device")
    try:
        with path.open("rb") as raw:
            signature = raw.read(8)
        # HDF5 may start after a user block of 512, 1024, ... bytes; nobody's scans do, and h5py finds those.
        if signature != b"\x89HDF\r\n\x1a\n" and not h5py.is_hdf5(path):
            raise InputError(f"{path}: expected an HDF5 file in fastMRI's layout, got something else")
        return h5py.File(path, "r")
    except OSError as error:
        if isinstance(error, PermissionError):
            raise InputError(f"{path}: cannot be read (permission denied)") from error
        reason = "it is truncated" if "truncated" in str(error) else "its HDF5 structure is damaged"
        raise InputError(f"{path}: cannot be opened, {reason}: copy it again") from error


def find_dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    """The dataset of that name. InputError where there is none, or where it cannot be read."""
    try:
        found = file.get(name)
    except (OSError, RuntimeError, KeyError) as error:
        raise InputError(f"{path}: {name}: cannot be read; the file is damaged: copy it again") from error
    if not isinstance(found, h5py.Dataset):
        names = ", ".join(sorted(file)) or "nothing"
        raise InputError(f"{path}: expected a dataset `{name}` (fastMRI's layout), found only {names}")
    return found


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


def plain(value: Any) -> Any:
    """An HDF5 attribute as Python's own type: numpy scalars and bytes make poor JSON."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value
