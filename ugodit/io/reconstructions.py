"""Reconstructions in files: `reconstruction` (slices, rows, columns), as fastMRI's own evaluation reads them.

HDF5 is the one format so far. Another is a module beside this one, with a function that `WRITERS` names by suffix.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ugodit.data.limits import check_images_size
from ugodit.errors import InputError, named
from ugodit.io.atomic import write_file
from ugodit.io.hdf5 import hdf5_bytes, open_hdf5


def write_reconstruction(
    path: str | os.PathLike[str],
    reconstruction: ArrayLike,
    *,
    mask: ArrayLike | None,
    attributes: Mapping[str, Any],
    extra: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write a reconstruction as fastMRI's evaluation reads it.

    `reconstruction` (slices, rows, columns) is stored as float32, with the mask (W,) or (H, W) or (slices, ...) that
    was used, settings as attributes, and `extra` datasets by name (sensitivity maps, say). Of a volume of which only
    some slices were reconstructed, the attribute `slices` lists them: `evaluate` needs it.

    Attributes that are None are left out. The file appears whole or not at all; a full disk, a read-only or missing
    folder raises InputError.
    """
    image = np.asarray(reconstruction, dtype=np.float32)
    if image.ndim != 3:
        raise ValueError(f"reconstruction: expected (slices, rows, columns), got {image.shape}")
    suffix = Path(path).suffix
    if suffix not in WRITERS:
        raise InputError(f"{path}: expected a name that ends in {' or '.join(WRITERS)} for a reconstruction")
    datasets: dict[str, Any] = {"reconstruction": image, **(extra or {})}
    if mask is not None:
        datasets["mask"] = np.asarray(mask, dtype=bool)
    write_file(path, WRITERS[suffix](datasets, attributes))


WRITERS = {".h5": hdf5_bytes, ".hdf5": hdf5_bytes}
"""A format's whole file, as bytes, from datasets and attributes by name; by the suffix of the file's name."""


def read_reconstruction(
    path: str | os.PathLike[str], name: str = "reconstruction", *, follow_links: bool = False
) -> NDArray[np.float32]:
    """Read the float32 (slices, rows, columns) dataset `name`, checked to be finite. Raises InputError.

    follow_links: as for `open_hdf5`.
    """
    path = Path(path)
    with open_hdf5(path, follow_links) as file:
        dataset = file.dataset(name)
        if dataset.ndim != 3 or dataset.dtype.kind not in "fiu" or 0 in dataset.shape:
            raise InputError(f"{dataset.where}: expected real numbers (slices, rows, columns), got {dataset}")
        with named(dataset.where):
            check_images_size(dataset.shape, dataset.itemsize)
        with np.errstate(all="ignore"):  # a double beyond single precision becomes Inf, and is refused as such
            image = dataset.read().astype(np.float32, copy=False)
    if not np.isfinite(image).all():
        raise InputError(f"{path}: {name}: expected finite numbers, got NaN or Inf; reconstruct the volume again")
    return image


def read_attributes(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The attributes of an HDF5 file as plain Python values. Raises InputError where the file cannot be opened."""
    with open_hdf5(Path(path)) as file:
        return file.attributes()


def checksum(arrays: Mapping[str, NDArray[Any]], text: str) -> str:
    """sha256 (hexadecimal) of arrays by name, and of a text that belongs to them."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def read_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """All datasets of a file of ours, in groups as group/name, and its attributes. InputError where it is damaged."""
    with open_hdf5(Path(path)) as file:
        return {name: file.dataset(name).read() for name in file.dataset_names()}, file.attributes()
