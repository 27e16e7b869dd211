"""fastMRI's HDF5 layout of multi-coil k-space.

A volume holds `kspace` (slices, coils, readout, phase encode) and, as far as known, `ismrmrd_header` (XML),
`reconstruction_rss` (slices, rows, columns) and `mask` (phase encode) or (readout, phase encode).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ugodit.data.geometry import center_crop
from ugodit.data.limits import check_images_size, check_kspace_size
from ugodit.data.scan import Scan
from ugodit.data.volume import Sliceable
from ugodit.errors import InputError, named
from ugodit.io.atomic import write_file
from ugodit.io.hdf5 import HDF5File, hdf5_bytes, open_hdf5
from ugodit.io.hdf5_dataset import HDF5Dataset
from ugodit.io.ismrmrd_header import format_header, parse_header

SMALLEST, LARGEST = 1e-30, 1e30
"""Of k-space, at its largest: beyond these, images or their squares leave single precision."""


class FastMRIVolume(Sliceable):
    """A multi-coil file, open for reading; made by `open_fastmri`. Slices are read one by one, never the whole file."""

    def __init__(self, path: Path, file: HDF5File) -> None:
        self.path = path
        self.name = path.stem
        self._file = file
        self._kspace = file.dataset("kspace")
        self.shape: tuple[int, int, int, int] = _checked_shape(self._kspace)
        """(slices, coils, readout, phase encode)"""
        self.n_slices: int = self.shape[0]
        self.attributes: dict[str, Any] = file.attributes()
        self.mask: torch.Tensor | None = _read_mask(file, self.shape)
        """bool (W,) or (H, W) where the file carries its own mask, else None"""
        self._rss = _find_target(file, self.n_slices)
        self.crop: tuple[int, int] = _crop(file, self.shape, self._rss)
        """(rows, columns) of the reconstruction, by fastMRI's rules"""

    def scan(self, index: int) -> Scan:
        """Read one slice.

        Raises InputError where the slice does not exist or cannot be read, and for k-space with NaN or Inf in it, or of
        nothing but zeros.
        """
        if not 0 <= index < self.n_slices:
            raise InputError(f"{self.path}: expected a slice from 0 to {self.n_slices - 1}, got {index}")
        where = f"{self.path}: kspace, slice {index}"
        samples = self._kspace.read(index)
        with np.errstate(all="ignore"):  # a double beyond single precision becomes Inf, and is refused as such
            kspace = torch.from_numpy(samples.astype(np.complex64, copy=False))
        if not torch.isfinite(torch.view_as_real(kspace)).all():
            raise InputError(f"{where}: expected finite numbers, got NaN or Inf; export the file again")
        largest = float(torch.view_as_real(kspace).abs().max())
        if largest > 0 and not SMALLEST <= largest <= LARGEST:
            expected = f"expected a largest magnitude from {SMALLEST:g} to {LARGEST:g}"
            raise InputError(f"{where}: {expected}, got {largest:g}; scale the k-space")
        acquired = (kspace != 0).flatten(0, 1).any(0)
        if not acquired.any():
            raise InputError(f"{where}: every sample is zero: nothing was measured; leave this slice out (`slices`)")
        mask = self.mask
        if mask is not None:
            # fastMRI pads k-space with lines of zeros (padding_left, padding_right) that its masks count as sampled.
            mask = mask & acquired
            kspace = kspace * mask
        return Scan(self.name, index, kspace, mask, self.crop, self._target(index))

    def target_maximum(self) -> float:
        """The largest value of the volume's targets, all slices: what fastMRI's metrics take as intensity range.

        InputError where that is not above 0.
        """
        targets = (self._target(index) for index in range(self.n_slices))
        largest = max(float(target.max()) for target in targets if target is not None)
        if not largest > np.finfo(np.float32).tiny:
            raise InputError(
                f"{self.path}: reconstruction_rss: expected a positive maximum, got {largest:g}; "
                "remove the dataset to go without a target"
            )
        return largest

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _target(self, index: int) -> torch.Tensor | None:
        if self._rss is None:
            return None
        with np.errstate(all="ignore"):  # as for k-space
            target = self._rss.read(index).astype(np.float32, copy=False)
        for good, what in ((np.isfinite(target), "NaN or Inf"), (target >= 0, "negative ones")):
            if not good.all():
                raise InputError(
                    f"{self.path}: reconstruction_rss, slice {index}: expected finite numbers from 0, got {what}; "
                    "remove the dataset to go without a target"
                )
        return torch.from_numpy(center_crop(target, self.crop).copy())


def open_fastmri(path: str | os.PathLike[str], *, follow_links: bool = False) -> FastMRIVolume:
    """Open a multi-coil file in fastMRI's layout and check all that can be checked without reading its samples.

    follow_links: as for `open_hdf5`.
    Raises InputError, in one line, for what is not a whole HDF5 file, for single-coil or misshapen or real-valued
    k-space, for more of it than the limits of `data.limits`, and for a mask, a header or a target that does not fit it.
    """
    path = Path(path)
    file = open_hdf5(path, follow_links)
    try:
        return FastMRIVolume(path, file)
    except BaseException:
        file.close()
        raise


def write_volume(
    path: str | os.PathLike[str],
    kspace: NDArray[np.complex64],
    target: NDArray[np.float32],
    *,
    attributes: Mapping[str, Any],
    mask: ArrayLike | None = None,
    pixel_mm: float = 0.5,
) -> None:
    """Write multi-coil k-space (S, C, H, W) in fastMRI's layout.

    `target` is its root-sum-of-squares (S, rows, columns), whose size becomes the header's reconstruction size. Adds
    fastMRI's attributes `max` and `norm` of the target. The file appears whole or not at all (InputError).
    """
    _, coils, rows, columns = kspace.shape
    header = format_header((rows, columns), (target.shape[1], target.shape[2]), coils, pixel_mm)
    datasets: dict[str, Any] = {
        "kspace": kspace.astype(np.complex64, copy=False),
        "reconstruction_rss": target.astype(np.float32, copy=False),
        "ismrmrd_header": header.encode(),
    }
    if mask is not None:
        datasets["mask"] = np.asarray(mask, dtype=bool)
    scale = {"max": float(target.max()), "norm": float(np.linalg.norm(target.astype(np.float64)))}
    write_file(path, hdf5_bytes(datasets, {**scale, **attributes}))


def _checked_shape(kspace: HDF5Dataset) -> tuple[int, int, int, int]:
    """(slices, coils, readout, phase encode)"""
    expected = "expected complex (slices, coils, readout, phase encode)"
    if kspace.ndim == 3:
        raise InputError(
            f"{kspace.where}: {expected}, got {kspace.shape}: single-coil data; give a multi-coil file instead"
        )
    if kspace.ndim != 4 or 0 in kspace.shape:
        raise InputError(f"{kspace.where}: {expected}, got shape {kspace.shape}; rearrange the axes")
    if kspace.dtype.kind != "c":
        raise InputError(f"{kspace.where}: {expected}, got numbers of type {kspace.dtype}; store them as complex64")
    with named(kspace.where):
        check_kspace_size(kspace.shape)
    slices, coils, rows, columns = kspace.shape
    return slices, coils, rows, columns


def _read_mask(file: HDF5File, shape: tuple[int, int, int, int]) -> torch.Tensor | None:
    if "mask" not in file:
        return None
    _, _, rows, columns = shape
    dataset = file.dataset("mask")
    expected = f"expected ({columns},) or ({rows}, {columns}) for k-space of {shape}"
    if dataset.shape not in ((columns,), (rows, columns)) or dataset.dtype.kind not in "biuf":
        raise InputError(f"{dataset.where}: {expected}, got {dataset}; mend or remove the dataset")
    mask = torch.from_numpy(dataset.read() != 0)
    if not mask.any():
        raise InputError(f"{dataset.where}: expected some sampled lines, got none; mend or remove the dataset")
    return mask


def _find_target(file: HDF5File, slices: int) -> HDF5Dataset | None:
    if "reconstruction_rss" not in file:
        return None
    dataset = file.dataset("reconstruction_rss")
    if dataset.ndim != 3 or dataset.shape[0] != slices or dataset.dtype.kind != "f" or 0 in dataset.shape:
        raise InputError(f"{dataset.where}: expected floats ({slices}, rows, columns), got {dataset}")
    with named(dataset.where):
        check_images_size((1, *dataset.shape[1:]), dataset.itemsize)
    return dataset


def _crop(file: HDF5File, shape: tuple[int, int, int, int], rss: HDF5Dataset | None) -> tuple[int, int]:
    """The header's reconstruction size, else the target's, else everything; no more than was measured."""
    _, _, height, width = shape
    wanted: tuple[int, int] | None = None
    if "ismrmrd_header" in file:
        header = file.dataset("ismrmrd_header")
        wanted = parse_header(header.read_text(), header.where).reconstructed
    target = None if rss is None else (rss.shape[1], rss.shape[2])
    rows, columns = wanted or target or (height, width)
    if columns > width and rows == columns:
        rows = width  # a square stays square, as fastMRI does with its few brains of 203 columns
    if target is not None:
        rows, columns = min(rows, target[0]), min(columns, target[1])
    return min(rows, height), min(columns, width)
