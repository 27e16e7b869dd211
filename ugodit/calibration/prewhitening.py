"""Noise prewhitening: coils mixed so that their noise is uncorrelated and equally strong.

Pruessmann, Weiger, Boernert, Boesiger: Advances in sensitivity encoding with arbitrary k-space trajectories. Magn.
Reson. Med. 46:638-651 (2001), appendix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ugodit.errors import InputError


@dataclass(frozen=True)
class Whitening:
    """What was done to the coils, to apply to other k-space of the same scan and to record with the result."""

    source: Literal["noise scan", "outer k-space"]
    samples: int
    """noise samples a coil"""
    sigma: float
    """standard deviation of the complex noise in every coil after whitening: the root mean square over coils before"""
    condition: float
    """largest over smallest eigenvalue of the noise covariance: 1 means there was nothing to do"""
    matrix: Tensor
    """complex64 (C, C), lower triangular"""

    def apply(self, kspace: Tensor) -> Tensor:
        """(..., C, H, W) k-space, coil images or maps, whitened; its scale stays."""
        return torch.einsum("dc,...chw->...dhw", self.matrix.to(kspace.device), kspace)

    def undo(self, kspace: Tensor) -> Tensor:
        """The inverse of `apply`."""
        inverse = torch.linalg.inv(self.matrix.to(kspace.device, torch.complex128)).to(torch.complex64)
        return torch.einsum("dc,...chw->...dhw", inverse, kspace)

    def attributes(self) -> dict[str, str | int | float]:
        """For a file's attributes."""
        return {
            "prewhitening": self.source,
            "prewhitening_samples": self.samples,
            "prewhitening_sigma": self.sigma,
            "prewhitening_condition": self.condition,
        }


def prewhiten(kspace: Tensor, noise: Tensor | None = None, *, mask: Tensor | None = None) -> tuple[Tensor, Whitening]:
    """Whiten k-space with the noise covariance of a noise scan, or of its own outermost samples.

    kspace: complex64 (C, H, W) or (B, C, H, W). noise: complex (C, N) or (C, ...) samples without signal, at the same
    scale; None: the corners of k-space, outside the ellipse that its edges touch, less what was not measured (zeros).
    The corners hold noise only where the scan resolves more than there is to see; a strong scanner filter along the
    readout makes it look weaker than it is. mask: bool (W,) or (H, W), what was measured; None: what is not zero.
    Returns whitened k-space, and what was done. A coil of zeros stays one.
    Raises InputError where there are fewer than 8 noise samples a coil, or coils that repeat one another.
    """
    if kspace.ndim not in (3, 4) or not kspace.is_complex():
        raise ValueError(
            f"kspace: expected complex (C, H, W) or (B, C, H, W), got {kspace.dtype} {tuple(kspace.shape)}"
        )
    coils = kspace.shape[-3]
    if noise is not None and (noise.ndim < 2 or noise.shape[0] != coils or not noise.is_complex()):
        raise InputError(
            f"noise: expected complex ({coils}, samples), a row for each coil of kspace, got "
            f"{noise.dtype} {tuple(noise.shape)}"
        )
    samples = noise.flatten(1) if noise is not None else _corners(kspace, mask)
    count = samples.shape[1]
    if count < 8 * coils:
        where = "noise" if noise is not None else "kspace: in its corners"
        raise InputError(
            f"{where}: expected at least {8 * coils} noise samples for {coils} coils, got {count}; "
            "give a noise scan or leave out prewhitening"
        )
    samples = samples.to(torch.complex128)
    scale = samples.abs().max().clamp(min=torch.finfo(torch.float64).tiny)
    covariance = (samples / scale) @ (samples / scale).mH / count
    variance = covariance.diagonal().real
    live = variance > 0
    sigma = (variance[live].mean() if bool(live.any()) else variance.new_ones(())).sqrt()
    covariance = covariance + torch.diag(torch.where(live, 0, sigma**2))
    spectrum = torch.linalg.eigvalsh(covariance)
    if spectrum[0] < 1e-10 * spectrum[-1]:
        raise InputError(
            "noise: expected coils with noise of their own, got some that combine others; whiten the coils as they "
            "were measured, before compression"
        )
    matrix = sigma * torch.linalg.inv(torch.linalg.cholesky(covariance))
    done = Whitening(
        source="outer k-space" if noise is None else "noise scan",
        samples=count,
        sigma=float(sigma * scale),
        condition=float(spectrum[-1] / spectrum[0]),
        matrix=matrix.to(torch.complex64),
    )
    return done.apply(kspace), done


def _corners(kspace: Tensor, mask: Tensor | None) -> Tensor:
    """(C, N): the measured samples outside the ellipse that touches the edges of k-space."""
    height, width = kspace.shape[-2:]
    across = (torch.arange(height) - height // 2) / (height / 2)
    along = (torch.arange(width) - width // 2) / (width / 2)
    outside = (across[:, None] ** 2 + along**2 > 1).to(kspace.device)
    if mask is not None:
        outside = outside & (mask != 0).to(kspace.device)
    samples = kspace.movedim(-3, 0)[..., outside].flatten(1)
    return samples[:, (samples != 0).any(dim=0)]
