"""The kernels of this package in plain torch: slow, any float dtype, any device, differentiable by autograd.

The same names and meanings as the compiled ones, but sensitivity maps and k-space are unpacked complex tensors
(B or 1, C, H, W). Weights (B or 1, W) mean hybrid space (k-space after a centred unitary inverse FFT along the
readout), so that only the phase-encode axis is transformed here; weights (B or 1, H, W) mean full k-space. Everything
is unitary and centred, as fastMRI defines it. Tests compare the compiled kernels with this file in double precision.
"""

import torch
from torch import Tensor

from ugodit.data.geometry import centred_fft, centred_ifft


def _axes(weights: Tensor) -> tuple[int, ...]:
    return (-1,) if weights.dim() == 2 else (-2, -1)


def _per_coil(weights: Tensor) -> Tensor:
    """Weights (B, W) or (B, H, W), shaped to broadcast against (B, C, H, W)."""
    return weights[:, None, None, :] if weights.dim() == 2 else weights[:, None]


def _complex(image: Tensor) -> Tensor:
    return torch.complex(image[:, 0], image[:, 1])


def _channels(image: Tensor) -> Tensor:
    return torch.stack([image.real, image.imag], dim=1)


def _transform(image: Tensor, maps: Tensor, weights: Tensor) -> Tensor:
    return centred_fft(maps * _complex(image)[:, None], _axes(weights))


def _adjoint(kspace: Tensor, maps: Tensor, weights: Tensor) -> Tensor:
    coil_images = centred_ifft(_per_coil(weights) * kspace, _axes(weights))
    return _channels((maps.conj() * coil_images).sum(dim=1))


def sense_forward(image: Tensor, maps: Tensor, weights: Tensor, coils: int | None = None) -> Tensor:
    """F S x, zero where the weights are zero and not multiplied by them elsewhere: (B, 2, H, W) -> (B, C, H, W, 2)."""
    measured = (_per_coil(weights) != 0).to(weights.dtype)
    return torch.view_as_real(measured * _transform(image, maps, weights))


def sense_adjoint(kspace: Tensor, maps: Tensor, weights: Tensor, coils: int | None = None) -> Tensor:
    """S^H F^H (weights . k): (B, C, H, W, 2) -> (B, 2, H, W)."""
    return _adjoint(torch.view_as_complex(kspace.contiguous()), maps, weights)


def sense_residual(
    image: Tensor, maps: Tensor, kspace: Tensor | None, weights: Tensor, coils: int | None = None
) -> tuple[Tensor, Tensor]:
    """Loss sum weights |F S x - y|^2 of each item (B,), and S^H F^H weights (F S x - y) (B, 2, H, W).

    Where a weight is zero the k-space may hold anything finite. kspace None means zeros: A^H W A x.
    """
    residual = _transform(image, maps, weights)
    if kspace is not None:
        residual = residual - kspace
    loss = (_per_coil(weights) * (residual.real**2 + residual.imag**2)).sum(dim=(1, 2, 3))
    return loss, _adjoint(residual, maps, weights)


def sense_solve(
    rhs: Tensor,
    start: Tensor,
    maps: Tensor,
    weights: Tensor,
    mu: Tensor,
    coils: int | None = None,
    iterations: int = 10,
    tolerance: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Conjugate gradients on (A^H W A + mu I) x = rhs; returns the solution and each item's residual norm (B,).

    With weights (B, W) each image row is a system of its own, with its own step sizes, that stops by itself once
    ||r|| <= tolerance ||rhs||; with weights (B, H, W) each item is.
    """
    system = (1, 3) if weights.dim() == 2 else (1, 2, 3)

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim=system, keepdim=True)

    def normal(x: Tensor) -> Tensor:
        return _adjoint(_transform(x, maps, weights), maps, weights) + mu[:, None, None, None] * x

    solution = start
    residual = rhs - normal(start)
    direction = residual
    # Comparisons are false for NaN, and written so that a system with NaN in it goes on and becomes NaN.
    energy = dot(residual, residual)
    target = tolerance**2 * dot(rhs, rhs)
    for _ in range(iterations):
        active = ~(energy <= target)
        applied = normal(direction)
        curvature = dot(direction, applied)
        active = active & ~(curvature <= 0)
        step = torch.where(active, energy / torch.where(active, curvature, 1.0), 0.0)
        solution = solution + step * direction
        residual = residual - step * applied
        renewed = torch.where(active, dot(residual, residual), energy)
        growth = torch.where(active, renewed / torch.where(active, energy, 1.0), 0.0)
        direction = torch.where(active, residual + growth * direction, direction)
        energy = renewed
    return solution, energy.sum(dim=(1, 2, 3)).sqrt()
