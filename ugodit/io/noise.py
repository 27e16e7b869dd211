"""Noise scans: what the coils measure with nothing to see, for prewhitening."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugodit.errors import InputError
from ugodit.io.cfl import read_cfl

COIL_AXIS = 3  # BART's


def read_noise(path: str | os.PathLike[str]) -> Tensor:
    """The samples of a noise scan, complex64 (coils, samples).

    path: HDF5 with a complex dataset `noise` (coils, ...), or `kspace` (slices, coils, readout, phase encode) as in
    fastMRI's files; or NAME.cfl / NAME.hdr with BART's axes, coils on axis 3.
    Raises InputError for a file that is missing or damaged, holds no such data, NaN or Inf, or nothing but zeros.
    """
    path = Path(path)
    samples = _hdf5(path) if path.suffix in (".h5", ".hdf5") else np.moveaxis(read_cfl(path), COIL_AXIS, 0)
    noise = torch.from_numpy(np.array(samples.reshape(samples.shape[0], -1), dtype=np.complex64, order="C"))
    if not bool(torch.isfinite(torch.view_as_real(noise)).all()):
        raise InputError(f"{path}: noise: expected finite numbers, got NaN or Inf; export the noise scan again")
    if not bool((noise != 0).any()):
        raise InputError(
            f"{path}: noise: expected samples of noise, got nothing but zeros; export the noise scan again"
        )
    return noise


def _hdf5(path: Path) -> NDArray[Any]:
    try:
        with h5py.File(path, "r") as file:
            for name, least in (("noise", 2), ("kspace", 4)):
                found = file.get(name)
                if isinstance(found, h5py.Dataset) and found.dtype.kind == "c" and found.ndim >= least:
                    array: NDArray[Any] = found[()]
                    return array if name == "noise" else np.moveaxis(array, 1, 0)
            names = ", ".join(sorted(file)) or "nothing"
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path}: expected an HDF5 file with a noise scan, cannot read it ({error})") from error
    raise InputError(
        f"{path}: expected a complex dataset `noise` (coils, samples) or `kspace` (slices, coils, readout, phase "
        f"encode), found only {names}"
    )
