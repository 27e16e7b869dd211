"""Reconstructions in files: `reconstruction` (slices, rows, columns), as fastMRI's own evaluation reads them.

HDF5 is the one format so far. Another is a module beside this one, with a function that `WRITERS` names by suffix.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ugodit.data.limits import MAX_PIXELS, MAX_SIDE, check_images_size, check_memory
from ugodit.errors import InputError, named
from ugodit.io.atomic import write_file
from ugodit.io.files import require_regular_file
from ugodit.io.hdf5 import hdf5_bytes, open_hdf5
from ugodit.io.hdf5_dataset import HDF5Dataset

MAX_ARRAYS, MAX_ARRAYS_BYTES = 64, 1 << 32
"""Of a file that is read as a whole."""


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
    return _finite(path, name, image)


def read_own_or_foreign(path: Path) -> tuple[NDArray[np.float32], Any]:
    """The images of a file by `ugodit reconstruct`, checked against its checksum, or by anybody else, as they are.

    Also what their attribute `slices` says, None where there is none. Raises InputError.
    """
    attributes = read_attributes(path)
    if attributes.get("method") != "ugodit" or "checksum" not in attributes:
        return read_reconstruction(path), attributes.get("slices")
    try:
        arrays, _, settings = read_own(path)
    except DamagedError as error:
        what = "reconstruction: expected the contents of its checksum, got others"
        raise InputError(f"{path}: {what}; reconstruct the volume again") from error
    return _finite(path, "reconstruction", arrays["reconstruction"]), settings["slices"]


def _finite(path: Path, name: str, image: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(image).all():
        raise InputError(f"{path}: {name}: expected finite numbers, got NaN or Inf; reconstruct the volume again")
    return image


def read_attributes(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The attributes of an HDF5 file as plain Python values. Raises InputError where the file cannot be opened."""
    with open_hdf5(Path(path)) as file:
        return file.attributes()


def checksum(arrays: Mapping[str, NDArray[Any]], text: str) -> str:
    """sha256 (hexadecimal) of arrays by name, and of a text that belongs to them."""
    # What a damaged file holds need be no UTF-8.
    digest = hashlib.sha256(text.encode(errors="surrogatepass"))
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode(errors="surrogatepass"))
        digest.update(array.data)
    return digest.hexdigest()


class DamagedError(InputError):
    """A file of ours that is not as it was written."""


def read_own(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any], dict[str, Any]]:
    """The datasets, attributes and settings of a file by `ugodit reconstruct`, as it was written.

    Raises DamagedError where it was not, or was changed since; nothing but what such a file holds is read.
    """
    arrays, attributes = read_arrays(path, _check_own)
    text = attributes.get("settings")
    if not isinstance(text, str) or checksum(arrays, text) != attributes.get("checksum"):
        raise DamagedError(f"{path}: other contents than those of its checksum")
    settings = own_settings(path, text)
    listed = attributes.get("slices")
    if settings["slices"] != listed or len(settings["slices"]) != len(arrays["reconstruction"]):
        raise DamagedError(f"{path}: other slices than those of its settings")
    return arrays, attributes, settings


def own_settings(path: Path, text: str) -> dict[str, Any]:
    """The settings of a file by `ugodit reconstruct`, whose slices and measurements are checked. DamagedError."""
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: settings: expected JSON") from error
    slices, digests = (
        settings.get(name) if isinstance(settings, dict) else None for name in ("slices", "measurements")
    )
    if not isinstance(slices, list) or not slices or not all(type(one) is int and one >= 0 for one in slices):
        raise DamagedError(f"{path}: settings: expected numbers of slices")
    if len(set(slices)) != len(slices):
        raise DamagedError(f"{path}: settings: expected every slice once")
    if not isinstance(digests, list) or [type(one) for one in digests] != [str] * len(slices):
        raise DamagedError(f"{path}: settings: expected a digest for each slice")
    return settings


def _check_own(datasets: Mapping[str, HDF5Dataset]) -> None:
    """DamagedError for datasets that no file by `ugodit reconstruct` has, before they are read."""
    images, mask = datasets.get("reconstruction"), datasets.get("mask")
    others = set(datasets) - {"reconstruction", "mask", "uncertainty"}
    if images is None or mask is None or others:
        raise DamagedError(f"expected reconstruction, mask and uncertainty, got {', '.join(sorted(datasets)[:8])}")
    for name in ("reconstruction", "uncertainty"):
        one = datasets.get(name, images)
        if one.ndim != 3 or one.shape != images.shape or 0 in one.shape or one.dtype != np.float32:
            raise DamagedError(f"{one.where}: expected float32 (slices, rows, columns), got {one}")
    check_images_size(images.shape, 8)
    sides = mask.shape[1:] if mask.ndim > 1 and mask.shape[0] == images.shape[0] else mask.shape
    if mask.dtype != np.bool_ or not 1 <= len(sides) <= 2 or 0 in mask.shape:
        raise DamagedError(
            f"{mask.where}: expected bool (columns,) or (rows, columns), for all slices or each, got {mask}"
        )
    if max(sides) > MAX_SIDE or math.prod(sides) > MAX_PIXELS:
        raise DamagedError(f"{mask.where}: expected at most {MAX_SIDE} samples a side, {MAX_PIXELS} in all, got {mask}")


def read_arrays(
    path: str | os.PathLike[str], check: Callable[[Mapping[str, HDF5Dataset]], object] | None = None
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """All datasets of a file of ours, in groups as group/name, and its attributes. InputError where it is damaged.

    check: looks at the datasets before any is read, and raises InputError. Without one, they may be no larger than the
    file: ours are stored as they are.
    """
    path = Path(path)
    with open_hdf5(path) as file:
        names = file.dataset_names()
        if len(names) > MAX_ARRAYS:
            raise InputError(f"{path}: expected at most {MAX_ARRAYS} datasets, got more; remove the file")
        datasets = {name: file.dataset(name) for name in names}
        size = sum(math.prod(one.shape) * one.itemsize for one in datasets.values())
        with named(str(path)):
            check_memory(2 * size, "what it holds")
            if check is not None:
                check(datasets)
            elif size > min(MAX_ARRAYS_BYTES, require_regular_file(path, "an HDF5 file")):
                raise InputError(f"expected datasets no larger than the file, got {size} bytes; remove the file")
        return {name: one.read() for name, one in datasets.items()}, file.attributes()
