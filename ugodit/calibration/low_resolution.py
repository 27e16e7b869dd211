"""Sensitivity maps straight from a low-resolution image: for scans whose ACS is too narrow for ESPIRiT.

McKenzie, Yeh, Ohliger, Price, Sodickson: Self-calibrating parallel imaging with automatic coil sensitivity extraction.
Magn. Reson. Med. 47:529-538 (2002).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ugodit.calibration.espirit import principal_coil
from ugodit.calibration.region import calibration_data


def low_resolution_maps(
    kspace: Tensor, acs_width: int | None = None, *, mask: Tensor | None = None, threshold: float = 0.05
) -> Tensor:
    """The coils' low-resolution images divided by their root sum of squares.

    kspace, acs_width, mask: as for `estimate_maps`, but a single measured line is enough. threshold: where the
    low-resolution root sum of squares is below this fraction of its maximum the maps are 0. Returns complex64 maps
    (C, H, W) or (B, C, H, W) with sum_c |S_c|^2 = 1 inside the support, and the phase reference of `estimate_maps`.
    They carry no more detail than the ACS, and are wrong where the object's phase or edges change faster than that:
    prefer `estimate_maps` wherever it works. Raises InputError where the centre of k-space was not measured.
    """
    if kspace.ndim not in (3, 4) or not kspace.is_complex():
        raise ValueError(
            f"kspace: expected complex (C, H, W) or (B, C, H, W), got {kspace.dtype} {tuple(kspace.shape)}"
        )
    batch = kspace if kspace.ndim == 4 else kspace[None]
    blocks = calibration_data(batch, acs_width, mask)
    height, width = batch.shape[-2:]
    rows, columns = blocks.shape[-2:]
    window = torch.hann_window(rows, periodic=False) if rows > 2 else torch.ones(rows)
    across = torch.hann_window(columns + 2, periodic=False)[1:-1]
    maps = torch.empty(batch.shape, dtype=torch.complex64)
    for item, block in enumerate(blocks):
        block = block.to("cpu", torch.complex128)
        block = block / block.abs().max().clamp(min=torch.finfo(torch.float64).tiny)
        spectrum = torch.zeros(batch.shape[1:], dtype=torch.complex64)
        top, left = height // 2 - rows // 2, width // 2 - columns // 2
        spectrum[:, top : top + rows, left : left + columns] = block * window[:, None] * across
        images = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1))), dim=(-2, -1))
        size = torch.linalg.vector_norm(images, dim=0)
        inside = size > threshold * size.max()
        phase = torch.sgn(torch.einsum("c,chw->hw", principal_coil(block).conj().to(images.dtype), images))
        maps[item] = images * torch.where(inside, phase.conj() / size, 0)
    maps = maps if kspace.ndim == 4 else maps[0]
    return maps.to(kspace.device)
