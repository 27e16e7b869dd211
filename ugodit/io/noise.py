"""Noise scans: what the coils measure with nothing to see, for prewhitening."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugodit.data.limits import MAX_COILS, MAX_NOISE_SAMPLES
from ugodit.errors import InputError
from ugodit.io.cfl import read_cfl
from ugodit.io.hdf5 import opened_hdf5

COIL_AXIS = 3  # BART's


def read_noise(path: str | os.PathLike[str], *, follow_links: bool = False) -> Tensor:
    """The samples of a noise scan, complex64 (coils, samples).

    path: HDF5 with a complex dataset `noise` (coils, ...), or `kspace` (slices, coils, readout, phase encode) as in
    fastMRI's files; or NAME.cfl / NAME.hdr with BART's axes, coils on axis 3. follow_links: as for `open_hdf5`.
    Raises InputError for a file that is missing or damaged, holds no such data, NaN or Inf, or nothing but zeros.
    """
    path = Path(path)
    hdf5 = path.suffix in (".h5", ".hdf5")
    samples = _hdf5(path, follow_links) if hdf5 else np.moveaxis(read_cfl(path), COIL_AXIS, 0)
    if not 0 < samples.shape[0] <= MAX_COILS or samples.size == 0:
        raise InputError(f"{path}: noise: expected samples of 1 to {MAX_COILS} coils, got {samples.shape}")
    _check_size(path, samples.shape)
    with np.errstate(all="ignore"):  # a double beyond single precision becomes Inf, and is refused as such
        noise = torch.from_numpy(np.array(samples.reshape(samples.shape[0], -1), dtype=np.complex64, order="C"))
    if not bool(torch.isfinite(torch.view_as_real(noise)).all()):
        raise InputError(f"{path}: noise: expected finite numbers, got NaN or Inf; export the noise scan again")
    if not bool((noise != 0).any()):
        raise InputError(
            f"{path}: noise: expected samples of noise, got nothing but zeros; export the noise scan again"
        )
    return noise


def _check_size(path: Path, shape: tuple[int, ...]) -> None:
    if math.prod(shape) > MAX_NOISE_SAMPLES:
        raise InputError(f"{path}: noise: expected at most {MAX_NOISE_SAMPLES} samples, got {shape}; give fewer")


def _hdf5(path: Path, follow_links: bool) -> NDArray[Any]:
    with opened_hdf5(path, follow_links, "an HDF5 file with a noise scan") as file:
        for name, least in (("noise", 2), ("kspace", 4)):
            if name in file:
                found = file.dataset(name)
                if found.dtype.kind == "c" and found.ndim >= least:
                    _check_size(path, found.shape)
                    array = found.read()
                    return array if name == "noise" else np.moveaxis(array, 1, 0)
        names = file.names()
    raise InputError(
        f"{path}: expected a complex dataset `noise` (coils, samples) or `kspace` (slices, coils, readout, phase "
        f"encode), found only {names}"
    )
