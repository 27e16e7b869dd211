"""Small simulated scans for tests: smooth random coils round a smooth random object, in float64 numpy."""

import numpy as np
import torch
from helpers import centred_fft
from torch import Tensor

from ugodit.operators import SenseOperator


def smooth_field(shape: tuple[int, ...], seed: int, cutoff: float = 2.0) -> np.ndarray:
    """Complex band-limited noise of unit variance."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal(shape) + 1j * generator.standard_normal(shape)
    rows, columns = (np.fft.fftfreq(n) * n for n in shape[-2:])
    low_pass = np.exp(-((rows[:, None] ** 2 + columns**2) / (2 * cutoff**2)))
    field = np.fft.ifft2(np.fft.fft2(noise) * low_pass)
    return np.asarray(field / np.sqrt(np.mean(np.abs(field) ** 2)))


def small_scan(
    coils: int = 4, rows: int = 24, columns: int = 20, seed: int = 0, noise: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """k-space (C, H, W) complex64, maps of the same shape, and the object (H, W) complex128, support a disc."""
    radius = np.hypot(*np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns), indexing="ij"))
    disc = radius < 0.95
    maps = smooth_field((coils, rows, columns), seed) * disc
    maps /= np.sqrt((np.abs(maps) ** 2).sum(0)) + ~disc
    image = (1 + 0.5 * smooth_field((rows, columns), seed + 1, 5.0)) * disc
    generator = np.random.default_rng(seed + 2)
    white = generator.standard_normal((2, coils, rows, columns))
    kspace = centred_fft(maps * image) + noise * (white[0] + 1j * white[1]) / np.sqrt(2)
    as_complex64 = (torch.from_numpy(array.astype(np.complex64)) for array in (kspace, maps))
    return *as_complex64, torch.from_numpy(image)


def line_mask(columns: int, acceleration: int = 2, core: int = 4) -> Tensor:
    """Every `acceleration`-th line and the central `core` ones."""
    mask = torch.zeros(columns, dtype=torch.bool)
    mask[1::acceleration] = True
    mask[columns // 2 - core // 2 : columns // 2 + (core + 1) // 2] = True
    return mask


def small_operator(acceleration: int = 2, **options: float) -> tuple[SenseOperator, Tensor]:
    """An undersampled `small_scan` as an operator, and the object as an image (1, 2, H, W)."""
    kspace, maps, image = small_scan(**options)  # type: ignore[arg-type]
    operator = SenseOperator.from_kspace(kspace, maps, line_mask(kspace.shape[-1], acceleration))
    return operator, torch.stack((image.real, image.imag)).float()[None]
