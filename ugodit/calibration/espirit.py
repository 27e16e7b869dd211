"""ESPIRiT: sensitivity maps as the eigenvectors of an image-space operator learnt from the ACS.

Uecker, Lai, Murphy, Virtue, Elad, Pauly, Vasanawala, Lustig: ESPIRiT, an eigenvalue approach to autocalibrating
parallel MRI: where SENSE meets GRAPPA. Magn. Reson. Med. 71:990-1001 (2014).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ugodit.calibration.region import calibration_data
from ugodit.errors import InputError


def estimate_maps(
    kspace: Tensor,
    acs_width: int | None,
    *,
    mask: Tensor | None = None,
    kernel_width: int = 6,
    threshold: float = 0.02,
    crop: float = 0.8,
    sets: int = 1,
) -> Tensor:
    """Sensitivity maps of full field of view k-space whose centre is fully sampled.

    kspace: complex64 (C, H, W) or (B, C, H, W), any scale. acs_width: lines round the centre to calibrate from;
    None: as many as were measured, at most 24. mask: bool (W,) or (H, W), what was measured; None: what is not zero.
    kernel_width: k-space kernel, samples along both axes. threshold: singular values of the calibration matrix below
    this fraction of the largest are noise. crop: where the eigenvalue is not above it the maps are 0.
    sets: 1, or 2 where the object is larger than the field of view.

    Returns complex64 maps, (C, H, W) or (B, C, H, W), for sets > 1 with an axis of sets before the coils; in every
    set sum_c |S_c|^2 is 1 inside the support and 0 outside. Their common phase is that of the calibration data's
    first principal component.
    Raises InputError where the ACS is absent or narrower than the kernel.
    """
    if kspace.ndim not in (3, 4) or not kspace.is_complex():
        raise ValueError(
            f"kspace: expected complex (C, H, W) or (B, C, H, W), got {kspace.dtype} {tuple(kspace.shape)}"
        )
    batch = kspace if kspace.ndim == 4 else kspace[None]
    maps = torch.stack([_maps_of_slice(item, acs_width, mask, kernel_width, threshold, crop, sets) for item in batch])
    maps = maps[:, 0] if sets == 1 else maps
    return maps if kspace.ndim == 4 else maps[0]


def _maps_of_slice(
    kspace: Tensor, acs_width: int | None, mask: Tensor | None, width: int, threshold: float, crop: float, sets: int
) -> Tensor:
    block = calibration_data(kspace[None], acs_width, mask)[0].to(torch.complex128)
    if min(block.shape[-2:]) < width:
        raise InputError(
            f"acs_width: expected at least {width} measured lines round the centre (the kernel's width), "
            f"got {min(block.shape[-2:])}; use a smaller kernel_width or maps from a file"
        )
    block = block / block.abs().max()
    kernels = row_space(block, width, threshold)
    operator = image_operator(kernels, kspace.shape[0], width)
    reference = principal_coil(block)
    maps = kspace.new_empty((sets, *kspace.shape), dtype=torch.complex64)
    for h in range(kspace.shape[-2]):
        values, vectors = torch.linalg.eigh(_operator_row(operator, h, *kspace.shape[-2:]))
        for s in range(sets):
            eigenvector = vectors[:, :, -1 - s].mT
            phase = torch.sgn(reference.conj() @ eigenvector)
            maps[s, :, h] = eigenvector * phase.conj() * (values[:, -1 - s] > crop)
    return maps


def row_space(block: Tensor, width: int, threshold: float) -> Tensor:
    """Orthonormal rows (kernels, C * width * width) that span the calibration matrix's rows."""
    patches = block.unfold(1, width, 1).unfold(2, width, 1)
    matrix = patches.permute(1, 2, 0, 3, 4).reshape(-1, block.shape[0] * width * width)
    _, values, rows = torch.linalg.svd(matrix, full_matrices=False)
    return rows[values > threshold * values[0]]


def image_operator(kernels: Tensor, coils: int, width: int) -> Tensor:
    """g (2 width - 1, 2 width - 1, C, C), the correlations of the kernels summed over kernels.

    The coil by coil operator at image row h, column w is sum_(u, v) g[u, v] exp(2 pi i ((u - width + 1) (h - H // 2) / H
    + (v - width + 1) (w - W // 2) / W)): no kernel is ever transformed at the image's size. Its eigenvalues lie
    between 0 and 1.
    """
    projection = (kernels.mT @ kernels.conj()).reshape(coils, width, width, coils, width, width)
    g = projection.new_zeros(2 * width - 1, 2 * width - 1, coils, coils)
    for u in range(width):
        for v in range(width):
            # kernel sample (u, v) of the conjugated factor meets samples at all offsets -u .. width - 1 - u
            part = projection[:, :, :, :, u, v].permute(1, 2, 0, 3)
            g[width - 1 - u : 2 * width - 1 - u, width - 1 - v : 2 * width - 1 - v] += part
    return g / width**2


def principal_coil(block: Tensor) -> Tensor:
    """The coil combination (C,) that holds most of the calibration data's energy; its largest entry is real."""
    samples = block.flatten(1)
    vector = torch.linalg.eigh(samples @ samples.mH)[1][:, -1]
    return vector * torch.sgn(vector[vector.abs().argmax()]).conj()


def _operator_row(g: Tensor, h: int, height: int, width: int) -> Tensor:
    offsets = torch.arange(g.shape[0], dtype=torch.float64) - g.shape[0] // 2
    along_h = torch.polar(torch.ones_like(offsets), 2 * torch.pi * offsets * (h - height // 2) / height)
    columns = torch.arange(width, dtype=torch.float64) - width // 2
    angles = 2 * torch.pi * columns[:, None] * offsets / width
    along_w = torch.polar(torch.ones_like(angles), angles)
    return torch.einsum("u,wv,uvcd->wcd", along_h.to(g.device), along_w.to(g.device), g)
