"""Sensitivity maps in files: an HDF5 dataset `maps`, or BART's cfl."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugodit.errors import InputError
from ugodit.io.atomic import write_file
from ugodit.io.cfl import read_cfl, write_cfl

SLICE_AXIS = 13  # BART's


def read_maps(path: str | os.PathLike[str], shape: tuple[int, int, int, int]) -> Tensor:
    """Sensitivity maps for k-space of the given shape (slices, coils, readout, phase encode).

    path: HDF5 (.h5, .hdf5) with a complex dataset `maps`, (S, C, H, W) or, for one slice, (C, H, W), and for more sets
    of maps (S, sets, C, H, W); or NAME.cfl / NAME.hdr with BART's axes (H, W, 1, C, sets, ... slices as axis 13).
    Returns complex64 (S, C, H, W), or (S, sets, C, H, W) for more than one set.
    Raises InputError for a file that is missing or damaged, another shape, NaN or Inf, or nothing but zeros.
    """
    path = Path(path)
    where = f"{path}: maps"
    array = _read_hdf5(path) if path.suffix in (".h5", ".hdf5") else _from_bart(path, read_cfl(path))
    slices, coils, height, width = shape
    found = array.shape
    if array.ndim == 3:
        array = array[None, None]
    elif array.ndim == 4:
        array = array[:, None]
    if array.ndim != 5 or (array.shape[0], *array.shape[2:]) != shape:
        raise InputError(
            f"{where}: expected {(slices, coils, height, width)} (slices, coils, readout, phase encode) as in kspace, "
            f"got {tuple(found)}; estimate them from this scan"
        )
    maps = torch.from_numpy(np.ascontiguousarray(array, dtype=np.complex64))
    if not bool(torch.isfinite(torch.view_as_real(maps)).all()):
        raise InputError(f"{where}: expected finite numbers, got NaN or Inf; write the file again")
    if not bool((maps != 0).any()):
        raise InputError(f"{where}: expected sensitivity maps, got nothing but zeros; write the file again")
    return maps[:, 0] if maps.shape[1] == 1 else maps


def write_maps(
    path: str | os.PathLike[str], maps: Tensor, attributes: Mapping[str, str | int | float] | None = None
) -> None:
    """Write maps (S, C, H, W) or (S, sets, C, H, W), so that `read_maps` and, for a cfl, BART read them.

    path: .h5 or .hdf5 for HDF5, which also holds the attributes; .cfl for BART. The file is whole or not there. Raises
    InputError where it cannot be written, or for another suffix.
    """
    path = Path(path)
    array = maps.detach().to("cpu", torch.complex64).resolve_conj().numpy()
    if array.ndim not in (4, 5):
        raise ValueError(f"maps: expected (S, C, H, W) or (S, sets, C, H, W), got {tuple(maps.shape)}")
    if path.suffix in (".cfl", ".hdr"):
        array = array if array.ndim == 5 else array[:, None]
        axes = np.moveaxis(array, (3, 4, 2, 1, 0), (0, 1, 2, 3, 4))[:, :, None]  # H, W, 1, C, sets, S
        write_cfl(path, axes.reshape(*axes.shape[:5], *[1] * (SLICE_AXIS - 5), axes.shape[5]))
    elif path.suffix in (".h5", ".hdf5"):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file["maps"] = array
            file.attrs.update(dict(attributes or {}))
        write_file(path, buffer.getbuffer())
    else:
        raise InputError(f"{path}: expected a name that ends in .h5 or .cfl for sensitivity maps")


def _read_hdf5(path: Path) -> NDArray[np.complex64]:
    try:
        with h5py.File(path, "r") as file:
            dataset = file.get("maps")
            if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "c":
                names = ", ".join(sorted(file)) or "nothing"
                raise InputError(f"{path}: maps: expected a complex dataset of sensitivity maps, got {names}")
            array: NDArray[np.complex64] = dataset[()]
            return array
    except OSError as error:
        raise InputError(f"{path}: expected an HDF5 file with sensitivity maps, cannot read it ({error})") from error


def _from_bart(path: Path, array: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """BART's axes to (slices, sets, coils, readout, phase encode)."""
    rest = [size for axis, size in enumerate(array.shape) if axis not in (0, 1, 3, 4, SLICE_AXIS)]
    if any(size != 1 for size in rest):
        raise InputError(
            f"{path}: maps: expected BART axes readout, phase 1, coils, maps and slices, got {array.shape}"
        )
    height, width, _, coils, sets = array.shape[:5]
    return array.reshape((height, width, coils, sets, array.shape[SLICE_AXIS]), order="F").transpose(4, 3, 2, 0, 1)
