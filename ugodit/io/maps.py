"""Sensitivity maps in files: an HDF5 dataset `maps`, or BART's cfl."""

from __future__ import annotations

import hashlib
import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugodit.data.limits import check_memory
from ugodit.errors import InputError, named
from ugodit.io.atomic import write_file
from ugodit.io.cfl import read_cfl, write_cfl
from ugodit.io.hdf5 import HDF5File, opened_hdf5
from ugodit.io.hdf5_dataset import HDF5Dataset

SLICE_AXIS = 13  # BART's
HDF5 = (".h5", ".hdf5")
SMALLEST, LARGEST = 1e-15, 1e15
"""Magnitudes of maps, at their largest: they are of order one, whatever the scan's scale. Beyond these, squares leave
single precision."""


@dataclass(frozen=True)
class MapsFile:
    """Sensitivity maps in a file, checked against a scan's shape by `open_maps` and read slice by slice."""

    path: Path
    coils: tuple[int, int, int]
    """(coils, readout, phase encode)"""
    sets: int
    places: Mapping[int, int]
    """Where in the file the maps of a slice of the scan are."""
    follow_links: bool = False

    def read(self, index: int) -> Tensor:
        """complex64 (C, H, W), or (sets, C, H, W) for more than one set: the maps of slice `index` of the scan.

        Raises InputError where they cannot be read, for NaN or Inf, and for magnitudes that are no maps'.
        """
        maps = torch.from_numpy(_read(self.path, self.places[index], self.follow_links))
        where = f"{self.path}: maps, slice {index}"
        if not bool(torch.isfinite(torch.view_as_real(maps)).all()):
            raise InputError(f"{where}: expected finite numbers, got NaN or Inf; write the file again")
        largest = float(torch.view_as_real(maps).abs().max())
        if largest > 0 and not SMALLEST <= largest <= LARGEST:
            raise InputError(f"{where}: expected magnitudes of about 1, got up to {largest:g}; scale the maps")
        return maps[0] if self.sets == 1 else maps

    def digest(self) -> str:
        """sha256 (hexadecimal) of the file, or of the maps where they lie in several."""
        if self.follow_links:
            digest = hashlib.sha256()
            for index in self.places:
                digest.update(self.read(index).numpy().data)
            return digest.hexdigest()
        try:
            with _data(self.path).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror})") from error


def open_maps(
    path: str | os.PathLike[str],
    shape: tuple[int, int, int, int],
    slices: Sequence[int] | None = None,
    *,
    follow_links: bool = False,
) -> MapsFile:
    """Maps for k-space of the given shape (slices, coils, readout, phase encode), checked as far as their shape goes.

    path: as for `read_maps`. slices: those that will be read, if not all; a file may then hold just these, in this
    order. An HDF5 attribute `slices`, which `write_maps` takes, says which slices of the scan the file holds.
    follow_links: as for `open_hdf5`.
    Raises InputError for a file that is missing or damaged, or of another shape.
    """
    path = Path(path)
    found, layout, listed = _layout(path, follow_links)
    wanted = range(shape[0]) if slices is None else slices
    if listed is None and layout is not None:
        listed = list(wanted) if layout[0] == len(wanted) else list(range(shape[0]))
    if layout is None or listed is None or layout[2:] != shape[1:] or layout[0] != len(listed):
        fewer = "" if len(wanted) == shape[0] else f", or the {len(wanted)} slices asked for"
        raise InputError(
            f"{path}: maps: expected {shape} (slices, coils, readout, phase encode) as the scan's kspace{fewer}, "
            f"got {found}; write maps of the scan's own coils and full field of view"
        )
    missing = sorted(set(wanted) - set(listed))
    if missing:
        raise InputError(f"{path}: maps: expected those of slice {missing[0]}, got slices {listed}; add the others")
    with named(f"{path}: maps"):
        check_memory(4 * 8 * math.prod(layout[1:]), "a slice")
    return MapsFile(path, layout[2:], layout[1], {index: listed.index(index) for index in wanted}, follow_links)


def read_maps(path: str | os.PathLike[str], shape: tuple[int, int, int, int]) -> Tensor:
    """Sensitivity maps for k-space of the given shape (slices, coils, readout, phase encode).

    path: HDF5 (.h5, .hdf5) with a complex dataset `maps`, (S, C, H, W) or, for one slice, (C, H, W), and for more sets
    of maps (S, sets, C, H, W); or NAME.cfl / NAME.hdr with BART's axes (H, W, 1, C, sets, ... slices as axis 13).
    Returns complex64 (S, C, H, W), or (S, sets, C, H, W) for more than one set.
    Raises InputError for a file that is missing or damaged, another shape, NaN or Inf, or nothing but zeros.
    """
    file = open_maps(path, shape)
    maps = torch.stack([file.read(index) for index in range(shape[0])])
    if not bool((maps != 0).any()):
        raise InputError(f"{path}: maps: expected sensitivity maps, got nothing but zeros; write the file again")
    return maps


def write_maps(path: str | os.PathLike[str], maps: Tensor, attributes: Mapping[str, Any] | None = None) -> None:
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
    elif path.suffix in HDF5:
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file["maps"] = array
            file.attrs.update(dict(attributes or {}))
        write_file(path, buffer.getbuffer())
    else:
        raise InputError(f"{path}: expected a name that ends in .h5 or .cfl for sensitivity maps")


CHECKSUM = "checksum"
"""The attribute of files that are read by `read_checked_maps`."""


def maps_checksum(maps: Tensor, key: str) -> str:
    """sha256 (hexadecimal) of maps (C, H, W) and of what they belong to."""
    digest = hashlib.sha256(f"{key} {tuple(maps.shape)} ".encode())
    digest.update(maps.detach().to("cpu", torch.complex64).resolve_conj().contiguous().numpy().data)
    return digest.hexdigest()


def read_checked_maps(path: Path, shape: tuple[int, int, int], key: str) -> Tensor:
    """Maps (C, H, W) that `write_maps` wrote with their checksum. InputError where they are not these very maps."""
    with opened_hdf5(path, False, EXPECTED) as file:
        dataset = _dataset(file)
        if dataset.shape != (1, *shape) or dataset.dtype != np.complex64:
            raise InputError(f"{path}: maps: expected complex64 {(1, *shape)}, got {dataset}")
        maps = torch.from_numpy(dataset.read(0))
        if file.attribute(CHECKSUM) != maps_checksum(maps, key):
            raise InputError(f"{path}: maps: expected the contents of its checksum, got others")
    return maps


EXPECTED = "an HDF5 file with sensitivity maps"

Layout = tuple[int, int, int, int, int]
"""(slices, sets, coils, readout, phase encode)"""


def _layout(path: Path, follow_links: bool) -> tuple[tuple[int, ...], Layout | None, list[int] | None]:
    """The shape in the file, its meaning where it has one, and the slices of the scan that it says it holds."""
    if path.suffix not in HDF5:
        shape = _from_bart(path, read_cfl(path)).shape
        return shape, cast(Layout, shape), None
    with opened_hdf5(path, follow_links, EXPECTED) as file:
        shape, listed = _dataset(file).shape, file.attribute("slices")
    full = {3: (1, 1, *shape), 4: (*shape[:1], 1, *shape[1:]), 5: shape}.get(len(shape))
    if listed is not None:
        listed = listed if isinstance(listed, list) else [listed]
        if not all(isinstance(index, int) and index >= 0 for index in listed):
            raise InputError(f"{path}: attribute `slices`: expected numbers of slices; write the file again")
    return shape, cast(Layout | None, full), listed


def _read(path: Path, place: int, follow_links: bool) -> NDArray[np.complex64]:
    """(sets, coils, readout, phase encode)"""
    if path.suffix not in HDF5:
        array = _from_bart(path, read_cfl(path))[place]
    else:
        with opened_hdf5(path, follow_links, EXPECTED) as file:
            dataset = _dataset(file)
            array = dataset.read(place if dataset.ndim > 3 else None)
    array = array if array.ndim == 4 else array[None]
    with np.errstate(all="ignore"):  # a double beyond single precision becomes Inf, and is refused as such
        return np.array(array, dtype=np.complex64, order="C")


def _dataset(file: HDF5File) -> HDF5Dataset:
    found = file.dataset("maps") if "maps" in file else None
    if found is None or found.dtype.kind != "c":
        raise InputError(
            f"{file.path}: maps: expected a complex dataset `maps` of sensitivity maps, got {file.names()}"
        )
    return found


def _data(path: Path) -> Path:
    if path.suffix in HDF5:
        return path
    stem = path.with_suffix("") if path.suffix in (".cfl", ".hdr") else path
    return stem.with_name(stem.name + ".cfl")


def _from_bart(path: Path, array: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """BART's axes to (slices, sets, coils, readout, phase encode)."""
    rest = [size for axis, size in enumerate(array.shape) if axis not in (0, 1, 3, 4, SLICE_AXIS)]
    if any(size != 1 for size in rest):
        raise InputError(
            f"{path}: maps: expected BART axes readout, phase 1, coils, maps and slices, got {array.shape}"
        )
    height, width, _, coils, sets = array.shape[:5]
    return array.reshape((height, width, coils, sets, array.shape[SLICE_AXIS]), order="F").transpose(4, 3, 2, 0, 1)
