"""ESPIRiT as sigpy and BART do it, of which samples, and how their maps agree with ours."""

import subprocess
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sense_scan import Unavailable

from ugodit.calibration import maps_from_block
from ugodit.calibration.region import calibration_data
from ugodit.data.geometry import centred_fft
from ugodit.io.cfl import read_cfl, write_cfl

Pair = tuple[np.ndarray, np.ndarray]  # maps (C, H, W), eigenvalues (H, W)


def simulated(coils: int, height: int, width: int, noise: float = 0.02) -> np.ndarray:
    """A textured ellipse seen by coils on a circle, complex64 k-space."""
    generator = np.random.default_rng(0)
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    angle = 2 * np.pi * np.arange(coils)[:, None, None] / coils
    dy, dx = y - 1.4 * np.sin(angle), x - 1.4 * np.cos(angle)
    maps = np.exp(1j * (angle + np.arctan2(dy, dx))) / (dy**2 + dx**2 + 0.2)
    image = ((x / 0.7) ** 2 + (y / 0.45) ** 2 < 1) * (1 + 0.5 * np.sin(30 * x + 12 * y) * np.cos(25 * y))
    kspace = centred_fft(torch.from_numpy(maps * image), (-2, -1)).numpy()
    kspace += noise * (generator.standard_normal(kspace.shape) + 1j * generator.standard_normal(kspace.shape))
    return kspace.astype(np.complex64)


def sigpy_espirit(kspace: np.ndarray, crop: float, threshold: float, iterations: int = 100) -> Pair:
    import sigpy.mri  # here, as it brings numba along

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it divides 0 by 0 where maps are 0
        maps, values = sigpy.mri.app.EspiritCalib(
            kspace / abs(kspace).max(), calib_width=24, thresh=threshold, kernel_width=6, crop=crop,
            max_iter=iterations, output_eigenvalue=True, show_pbar=False,
        ).run()  # fmt: skip
    return maps, values[0]


def bart_espirit(kspace: np.ndarray, scratch: Path, *options: str) -> tuple[Pair, float]:
    coils, height, width = kspace.shape
    write_cfl(scratch / "kspace", np.moveaxis(kspace / abs(kspace).max(), 0, -1)[:, :, None])
    command = ["bart", "ecalib", "-r24", "-k6", "-t0.001", "-c0.8", "-m1", *options, "kspace", "maps", "values"]
    start = time.perf_counter()
    try:
        subprocess.run(command, cwd=scratch, check=True, capture_output=True)
    except FileNotFoundError:
        raise Unavailable("BART is not installed (Debian package bart)") from None
    seconds = time.perf_counter() - start
    maps = np.array(read_cfl(scratch / "maps").reshape(height, width, coils).transpose(2, 0, 1))
    return (maps, np.array(read_cfl(scratch / "values").reshape(height, width).real)), seconds


def central_block(kspace: np.ndarray, along_readout: int | None = None) -> torch.Tensor:
    """The central 24 x 24 samples; or, as ecalib takes them, along the readout where most of the energy lies."""
    if along_readout is None:
        return calibration_data(torch.from_numpy(kspace)[None], 24, None)
    width = kspace.shape[-1]
    return torch.from_numpy(kspace[None, :, along_readout : along_readout + 24, width // 2 - 12 : width // 2 + 12])


def strongest_rows(kspace: np.ndarray) -> int:
    width = kspace.shape[-1]
    columns = kspace[:, :, width // 2 - 12 : width // 2 + 12].astype(np.complex128)
    energy = np.concatenate([[0], (abs(columns) ** 2).sum((0, 2)).cumsum()])
    return int((energy[24:] - energy[:-24]).argmax())


def agreement(kspace: np.ndarray, block: torch.Tensor, threshold: float, other: Pair, steps: float) -> dict[str, float]:
    """Largest differences between their maps and ours, common phase removed, inside both crops.

    Where two eigenvalues nearly coincide, `steps` power iterations have not converged; such pixels, where (second /
    first)^steps is above 1e-4, are counted and left out.
    """
    shape = (kspace.shape[-2], kspace.shape[-1])
    sets = min(2, kspace.shape[0])
    ours, values = maps_from_block(block, shape, kernel_width=6, threshold=threshold, crop=0.8, sets=sets)
    maps, first = ours[0, 0].numpy(), values[0, 0].numpy()
    second = values[0, 1].numpy() if sets == 2 else 0 * first
    converged = (second / first) ** steps < 1e-4
    theirs, their_values = other
    support, their_support = abs(maps).sum(0) > 0, abs(theirs).sum(0) > 0
    inside = support & their_support & converged
    phase = np.exp(1j * np.angle((theirs.conj() * maps).sum(0)))
    difference = np.linalg.norm(maps - theirs * phase, axis=0)
    return {
        "maps_max_difference": float(difference[inside].max()),
        "maps_median_difference": float(np.median(difference[inside])),
        "eigenvalues_max_difference": float(abs(first - their_values)[converged].max()),
        "support_differs_pixels": int((support != their_support)[converged].sum()),
        "inside_pixels": int(inside.sum()),
        "not_converged_pixels_left_out": int((~converged & support).sum()),
    }
