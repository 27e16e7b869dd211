"""Sensitivity maps of many slices written one slice at a time: a volume's may be larger than memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from torch import Tensor

from ugodit.errors import InputError
from ugodit.io.atomic import replacing, write_file

HDF5 = (".h5", ".hdf5")
SLICE_AXIS = 13  # BART's


def write_stacked_maps(
    path: Path, shape: tuple[int, int, int, int], maps: Iterable[Tensor], attributes: Mapping[str, Any]
) -> None:
    """Write maps of `shape` (slices, coils, readout, phase encode), so that `read_maps` and, for a cfl, BART read them.

    Args:
        path: .h5 or .hdf5 for HDF5, which also holds the attributes; .cfl for BART.
        shape: of all maps together.
        maps: complex (C, H, W), slice by slice.
        attributes: of the HDF5 file.

    Raises:
        OutputError: the file cannot be written. It is whole, or not there.
        InputError: another suffix.
    """
    if path.suffix not in (*HDF5, ".cfl"):
        raise InputError(f"{path}: expected a name that ends in .h5 or .cfl for sensitivity maps")
    slices, coils, rows, columns = shape
    hdf5 = path.suffix in HDF5
    with replacing(path) as partial:
        first_byte = _write_hdf5_frame(partial, shape, attributes) if hdf5 else 0
        with partial.open("r+b") as file:
            file.seek(first_byte)
            for one in maps:
                array = one.detach().cpu().resolve_conj().numpy().astype("<c8", copy=False)
                # BART's first axes, in Fortran order: readout, phase encode, (phase 2), coils.
                file.write(np.ascontiguousarray(array if hdf5 else array.transpose(0, 2, 1)).data.cast("B"))
    if not hdf5:
        sizes = [rows, columns, 1, coils, *[1] * (SLICE_AXIS - 4), slices, 1, 1]
        write_file(path.with_suffix(".hdr"), f"# Dimensions\n{' '.join(map(str, sizes))}\n".encode())


def _write_hdf5_frame(path: Path, shape: tuple[int, ...], attributes: Mapping[str, Any]) -> int:
    """Everything but the samples of dataset `maps`; returns the byte that they begin at.

    h5py cannot close a file on a full disk cleanly, a plain write can fail cleanly: so the samples are written by that.
    """
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(path, "w") as file:
        file.attrs.update(dict(attributes))
        kind = h5py.h5t.py_create(np.dtype("<c8"), logical=True)
        dataset = h5py.h5d.create(file.id, b"maps", kind, h5py.h5s.create_simple(shape), layout)
        return int(dataset.get_offset())
