"""Independent truths and files for tests: written in float64 numpy, sharing no code with ugodit."""

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest


def data_folder() -> Path:
    """The folder of real measurements: $UGODIT_DATA, else ../shared/data beside the repository. Skips the test where
    there is none; a folder that is named and missing is an error."""
    named = os.environ.get("UGODIT_DATA")
    if named:
        folder = Path(named)
        if not folder.is_dir():
            pytest.fail(f"UGODIT_DATA={named}: no such folder")
        return folder
    repository = Path(__file__).resolve().parents[1]
    for folder in (repository.parent / "shared" / "data", repository.parent.parent / "shared" / "data"):
        if folder.is_dir():
            return folder
    pytest.skip("real measurements not found: set UGODIT_DATA to their folder")


def centred_ifft(kspace: np.ndarray, axes: tuple[int, ...] = (-2, -1)) -> np.ndarray:
    """Unitary inverse DFT with the zero frequency at index n // 2, in complex128."""
    shifted = np.fft.ifftshift(kspace.astype(np.complex128), axes=axes)
    return np.fft.fftshift(np.fft.ifftn(shifted, axes=axes, norm="ortho"), axes=axes)


def centred_fft(image: np.ndarray, axes: tuple[int, ...] = (-2, -1)) -> np.ndarray:
    """Unitary DFT, the inverse of `centred_ifft`."""
    shifted = np.fft.ifftshift(image.astype(np.complex128), axes=axes)
    return np.fft.fftshift(np.fft.fftn(shifted, axes=axes, norm="ortho"), axes=axes)


def random_complex(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Standard complex normal numbers, complex64."""
    generator = np.random.default_rng(seed)
    return (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)).astype(np.complex64)


def write_fastmri(path: Path, **datasets: Any) -> Path:
    """An HDF5 file with these datasets, written with h5py alone; `attributes={...}` become its attributes."""
    with h5py.File(path, "w") as file:
        for name, value in datasets.pop("attributes", {}).items():
            file.attrs[name] = value
        for name, value in datasets.items():
            file[name] = value
    return path


def header_xml(encoded: tuple[int, int], reconstructed: tuple[int, int]) -> str:
    """An ISMRMRD header with these matrix sizes, as a scanner's converter writes it."""

    def space(tag: str, size: tuple[int, int]) -> str:
        return f"<{tag}><matrixSize><x>{size[0]}</x><y>{size[1]}</y><z>1</z></matrixSize></{tag}>"

    return (
        '<?xml version="1.0" encoding="utf-8"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>'
        f"{space('encodedSpace', encoded)}{space('reconSpace', reconstructed)}</encoding></ismrmrdHeader>"
    )
