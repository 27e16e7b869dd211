"""ESPIRiT: sensitivity maps as the eigenvectors of an image-space operator learnt from the ACS.

Uecker, Lai, Murphy, Virtue, Elad, Pauly, Vasanawala, Lustig: ESPIRiT, an eigenvalue approach to autocalibrating
parallel MRI: where SENSE meets GRAPPA. Magn. Reson. Med. 71:990-1001 (2014).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ugodit.calibration.region import WHAT_TO_DO, calibration_data
from ugodit.data.arrays import as_tensor
from ugodit.errors import InputError
from ugodit.kernels.calibration import espirit_maps_, runs_on


def estimate_maps(
    kspace: Any,
    acs_width: int | None = None,
    *,
    mask: Any = None,
    kernel_width: int | None = None,
    threshold: float = 0.02,
    crop: float | None = None,
    sets: int = 1,
    soft: bool = False,
) -> Tensor:
    """Sensitivity maps of full field of view k-space whose centre is fully sampled.

    The arguments, the result and what is raised are those of `estimate_maps_and_eigenvalues`, less the eigenvalues.
    """
    return estimate_maps_and_eigenvalues(
        kspace,
        acs_width,
        mask=mask,
        kernel_width=kernel_width,
        threshold=threshold,
        crop=crop,
        sets=sets,
        soft=soft,
    )[0]


def estimate_maps_and_eigenvalues(
    kspace: Any,
    acs_width: int | None = None,
    *,
    mask: Any = None,
    kernel_width: int | None = None,
    threshold: float = 0.02,
    crop: float | None = None,
    sets: int = 1,
    soft: bool = False,
) -> tuple[Tensor, Tensor]:
    """Sensitivity maps of full field of view k-space, and the eigenvalues that say where they can be trusted.

    kspace: complex (C, H, W) or (B, C, H, W), a tensor or any array with the DLPack protocol, any scale, any device;
    on a GPU the pixels' step runs there, the small matrices' on the CPU, several items at a time. acs_width: lines
    round the centre to calibrate from; None: as many as were measured, at most 24. mask: bool (W,) or (H, W), what
    was measured; None: what is not zero. kernel_width: k-space kernel, samples along both axes; None: 6, or three
    sevenths of the ACS where that is less (a wider kernel in a narrow ACS finds no space free of noise, and the maps
    vanish inside the object). threshold: singular values of the calibration matrix below this fraction of the largest
    are noise. crop: where the eigenvalue, between 0 and 1, is not above it the maps are 0; None: 0.95, as in sigpy,
    or 0.9 where fewer than 20 lines leave the eigenvalues less certain and 0.95 would cut into the object. sets: 1,
    or 2 where the object is larger than the field of view. soft: weigh the maps smoothly round the crop threshold, as
    BART's ecalib -S, in place of a hard edge.

    Returns maps, complex64 (C, H, W) or (B, C, H, W), for sets > 1 with an axis of sets before the coils, and their
    eigenvalues, float32, the same without coils. In every set sum_c |S_c|^2 is 1 inside the support and 0 outside
    (soft: between). The common phase is that of the calibration data's first principal component, as in BART.
    A single coil's map is 1 inside the support; a coil without signal has map 0.
    Raises InputError where the ACS is absent, narrower than 5 lines or the kernel (`low_resolution_maps` needs less),
    or holds NaN or Inf.
    """
    kspace = as_tensor("kspace", kspace)
    mask = None if mask is None else as_tensor("mask", mask)
    if kspace.ndim not in (3, 4) or not kspace.is_complex():
        raise ValueError(
            f"kspace: expected complex (C, H, W) or (B, C, H, W), got {kspace.dtype} {tuple(kspace.shape)}"
        )
    if not 1 <= sets <= min(kspace.shape[-3], 2):
        raise InputError(f"sets: expected 1, or 2 for two coils or more, got {sets} for {kspace.shape[-3]} coils")
    if not 0 < threshold < 1:
        raise InputError(f"threshold: expected a fraction between 0 and 1, got {threshold}; 0.02 is usual")
    if crop is not None and not crop < 1:
        raise InputError(f"crop: expected an eigenvalue below 1, got {crop}; 0.9 is usual")
    batch = kspace if kspace.ndim == 4 else kspace[None]
    blocks = calibration_data(batch, acs_width, mask)
    lines = min(blocks.shape[-2:])
    kernel_width = _kernel_width(kernel_width, lines)
    crop = crop if crop is not None else 0.95 if lines >= 20 else 0.9
    maps, eigenvalues = maps_from_block(
        blocks,
        (kspace.shape[-2], kspace.shape[-1]),
        kernel_width=kernel_width,
        threshold=threshold,
        crop=crop,
        sets=sets,
        soft=soft,
    )
    drop_sets = 0 if sets == 1 else slice(None)
    drop_items = 0 if kspace.ndim == 3 else slice(None)
    maps, eigenvalues = maps[:, drop_sets][drop_items], eigenvalues[:, drop_sets][drop_items]
    return maps.to(kspace.device), eigenvalues.to(kspace.device)


def _kernel_width(asked: int | None, lines: int) -> int:
    width = min(6, 3 * lines // 7) if asked is None else asked
    if asked is None and width < 2:
        raise InputError(
            f"kspace: expected at least 5 measured lines round the centre to calibrate from, got {lines}; {WHAT_TO_DO}"
        )
    if not 1 <= width <= lines:
        raise InputError(
            f"kernel_width: expected from 1 to the {lines} measured lines round the centre of kspace, got {width}; "
            "leave it out to fit it to the ACS"
        )
    return width


def maps_from_block(
    blocks: Tensor,
    shape: tuple[int, int],
    *,
    kernel_width: int,
    threshold: float,
    crop: float,
    sets: int = 1,
    soft: bool = False,
) -> tuple[Tensor, Tensor]:
    """Maps (B, sets, C, H, W) and eigenvalues (B, sets, H, W) of the given shape (H, W) from calibration blocks.

    blocks: complex (B, C, rows, columns), fully sampled k-space at least kernel_width wide; where in k-space it was
    taken does not matter. The other arguments are those of `estimate_maps_and_eigenvalues`. Nothing is checked. The
    result is on the blocks' device, or on the CPU where no compiled kernel runs there.
    """
    items, coils = blocks.shape[:2]
    device = blocks.device if runs_on(blocks.device) else torch.device("cpu")
    maps = torch.empty(items, sets, coils, *shape, dtype=torch.complex64, device=device)
    eigenvalues = torch.empty(items, sets, *shape, device=device)
    operators = _operators(blocks, kernel_width, threshold, together=device.type != "cpu")
    for item, (operator, reference) in enumerate(operators):
        espirit_maps_(maps[item], eigenvalues[item], operator, reference, crop, soft=soft)
    return maps, eigenvalues


def _operators(
    blocks: Tensor, kernel_width: int, threshold: float, *, together: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every item's image operator and principal coil, on the CPU.

    together: several items at a time, in threads, for a caller that leaves the processor idle between them.
    """
    blocks = blocks.to("cpu", torch.complex128)
    if not together:
        for block in blocks:
            with _one_thread():
                found = _calibrate(block, kernel_width, threshold)
            yield found
        return
    threads = min(torch.get_num_threads(), len(blocks))
    with _one_thread(), ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda block: _calibrate(block, kernel_width, threshold), blocks)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The matrices here are small: LAPACK's threads cost more than they bring, and change the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _calibrate(block: Tensor, kernel_width: int, threshold: float) -> tuple[Tensor, Tensor]:
    block = block / block.abs().max().clamp(min=torch.finfo(torch.float64).tiny)
    kernels = row_space(block, kernel_width, threshold)
    return image_operator(kernels, block.shape[0], kernel_width), principal_coil(block)


def row_space(block: Tensor, width: int, threshold: float) -> Tensor:
    """Orthonormal rows (kernels, C * width * width) that span what the calibration matrix's rows hold above noise.

    block: complex128 (C, rows, columns). The calibration matrix has one row for each position of a width x width
    window in the block. Its singular vectors come from the smaller of its two Gram matrices, in double precision: the
    squares of singular values down to 1e-5 of the largest can be told apart.
    """
    windows = block.unfold(1, width, 1).unfold(2, width, 1).permute(1, 2, 0, 3, 4)
    columns = block.shape[0] * width * width
    if windows.shape[0] * windows.shape[1] < columns:
        matrix = windows.reshape(-1, columns)
        energies, left = torch.linalg.eigh(matrix @ matrix.mH)
        kept = energies > threshold**2 * energies[-1]
        return (left[:, kept].mH @ matrix) / energies[kept].sqrt()[:, None]
    gram = block.new_zeros(columns, columns)
    for line in windows:  # a line of windows at a time: the whole matrix can be larger than the maps
        matrix = line.reshape(-1, columns)
        gram.addmm_(matrix.mH, matrix)
    energies, right = torch.linalg.eigh(gram)
    return right[:, energies > threshold**2 * energies[-1]].mH


def image_operator(kernels: Tensor, coils: int, width: int) -> Tensor:
    """g (2 width - 1, 2 width - 1, C, C), the kernels' correlations over k-space, summed over kernels.

    They are the Fourier coefficients of the coil by coil operator at each pixel,
        sum_(u, v) g[u, v] exp(2 pi i ((u - width + 1) (h - H // 2) / H + (v - width + 1) (w - W // 2) / W)):
    no kernel is ever transformed at the image's size. Its eigenvalues lie between 0 and 1.
    """
    projection = (kernels.mT @ kernels.conj()).reshape(coils, width, width, coils, width, width)
    g = projection.new_zeros(2 * width - 1, 2 * width - 1, coils, coils)
    for u in range(width):
        for v in range(width):
            # sample (u, v) of the conjugated kernel meets samples at offsets -u .. width - 1 - u
            part = projection[:, :, :, :, u, v].permute(1, 2, 0, 3)
            g[width - 1 - u : 2 * width - 1 - u, width - 1 - v : 2 * width - 1 - v] += part
    return g / width**2


def principal_coil(block: Tensor) -> Tensor:
    """The coil combination (C,) that holds most of the calibration data's energy; its largest entry is real."""
    samples = block.flatten(1)
    vector = torch.linalg.eigh(samples @ samples.mH)[1][:, -1]
    return vector * torch.sgn(vector[vector.abs().argmax()]).conj()
