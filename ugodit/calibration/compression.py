"""Coil compression: fewer virtual coils that hold nearly all of the signal.

svd: Buehrer, Pruessmann, Boesiger, Kozerke: Array compression for MRI with large coil arrays. Magn. Reson. Med.
57:1131-1139 (2007). geometric: Zhang, Pauly, Vasanawala, Lustig: Coil compression for accelerated imaging with
Cartesian sampling. Magn. Reson. Med. 69:571-582 (2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ugodit.calibration.region import calibration_data
from ugodit.errors import InputError

Method = Literal["svd", "geometric"]


@dataclass(frozen=True)
class Compression:
    """What was done to the coils, to apply to other k-space of the same scan and to record with the result."""

    method: Method
    coils: int
    """physical coils"""
    virtual_coils: int
    kept_energy: float
    """fraction of the calibration data's energy in the virtual coils"""
    matrix: Tensor
    """complex64, orthonormal rows: (K, C), or (H, K, C) for each readout position of hybrid space (geometric)"""

    def apply(self, kspace: Tensor) -> Tensor:
        """(..., C, H, W) k-space to (..., K, H, W)."""
        matrix = self.matrix.to(kspace.device)
        if self.method == "svd":
            return torch.einsum("kc,...chw->...khw", matrix, kspace)
        return _along_readout(torch.einsum("hkc,...chw->...khw", matrix, _along_readout(kspace, True)), False)

    def apply_to_images(self, images: Tensor) -> Tensor:
        """(..., C, H, W) coil images, or maps, to (..., K, H, W): what `apply` does to their k-space."""
        equation = "kc,...chw->...khw" if self.method == "svd" else "hkc,...chw->...khw"
        return torch.einsum(equation, self.matrix.to(images.device), images)

    def attributes(self) -> dict[str, str | int | float]:
        """For a file's attributes."""
        return {
            "coil_compression": self.method,
            "coil_compression_coils": self.coils,
            "coil_compression_virtual_coils": self.virtual_coils,
            "coil_compression_kept_energy": self.kept_energy,
        }


def compress_coils(
    kspace: Tensor,
    *,
    coils: int | None = None,
    energy: float | None = None,
    method: Method = "svd",
    acs_width: int | None = None,
    mask: Tensor | None = None,
) -> tuple[Tensor, Compression]:
    """Combine C coils into K virtual ones, with the weights that keep most of the calibration data's energy.

    kspace: complex64 (C, H, W) or (B, C, H, W); all items get the same weights. Give either coils, K, or energy, the
    fraction to keep (0 to 1): K is then the smallest that does. method: svd, one matrix; geometric, one for each
    readout position, aligned from the centre outwards so that they, and the virtual coils' maps, vary smoothly: it
    keeps the same energy in fewer coils, and needs every readout sample (masks along W only). acs_width, mask: as for
    `estimate_maps`. Returns the compressed k-space and what was done.
    Raises InputError for options out of range, and where the centre of k-space was not measured.
    """
    if kspace.ndim not in (3, 4) or not kspace.is_complex():
        raise ValueError(
            f"kspace: expected complex (C, H, W) or (B, C, H, W), got {kspace.dtype} {tuple(kspace.shape)}"
        )
    if method not in ("svd", "geometric"):
        raise InputError(f"method: expected svd or geometric, got {method}")
    if (coils is None) == (energy is None):
        raise InputError(f"coils, energy: expected one of them, got coils={coils} and energy={energy}")
    physical = kspace.shape[-3]
    if coils is not None and not 1 <= coils <= physical:
        raise InputError(f"coils: expected from 1 to the {physical} that were measured, got {coils}")
    if energy is not None and not 0 < energy <= 1:
        raise InputError(f"energy: expected a fraction above 0 and up to 1, got {energy}")
    if method == "geometric" and mask is not None and mask.ndim == 2 and not bool((mask == mask[:1]).all()):
        raise InputError("method: expected svd for a mask that varies along both axes, got geometric")
    batch = kspace if kspace.ndim == 4 else kspace[None]
    block = calibration_data(batch, acs_width, mask)
    block = block / block.abs().max()
    if method == "geometric":
        block = _along_readout(_padded(block, kspace.shape[-2]), True)
        samples = block.permute(2, 1, 0, 3).flatten(2)
    else:
        samples = block.permute(1, 0, 2, 3).flatten(1)[None]
    samples = samples.to(torch.complex128)
    energies, vectors = torch.linalg.eigh(samples @ samples.mH)
    kept = energies.flip(-1).clamp(min=0).sum(dim=0).cumsum(0)
    kept = kept / kept[-1]
    count = coils if coils is not None else min(int((kept < energy).sum()) + 1, physical)
    rows = vectors.flip(-1)[..., :count].mH
    matrix = (_align(rows) if method == "geometric" else rows[0]).to(torch.complex64)
    done = Compression(method, physical, count, float(kept[count - 1]), matrix.contiguous())
    return done.apply(kspace), done


def _align(rows: Tensor) -> Tensor:
    """Rotate each position's rows (H, K, C) within their span to lie closest to its neighbour's towards the centre."""
    aligned = rows.clone()
    centre = rows.shape[0] // 2
    for order in (range(centre + 1, rows.shape[0]), range(centre - 1, -1, -1)):
        previous = aligned[centre]
        for h in order:
            left, _, right = torch.linalg.svd(previous @ rows[h].mH)
            previous = left @ right @ rows[h]
            aligned[h] = previous
    return aligned


def _padded(block: Tensor, height: int) -> Tensor:
    full = block.new_zeros(*block.shape[:-2], height, block.shape[-1])
    top = height // 2 - block.shape[-2] // 2
    full[..., top : top + block.shape[-2], :] = block
    return full


def _along_readout(data: Tensor, inverse: bool) -> Tensor:
    transform = torch.fft.ifft if inverse else torch.fft.fft
    return torch.fft.fftshift(transform(torch.fft.ifftshift(data, dim=-2), dim=-2, norm="ortho"), dim=-2)
