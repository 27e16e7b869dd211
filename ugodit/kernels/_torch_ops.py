"""The kernels through torch.fft, on any device: for masks along both axes on CUDA, where cuFFT does the transforms.

As reference.py, but the centred transforms' shifts are folded into maps and k-space once, when they are packed; what
is left to shift is one image in and one image out. Packed arrays are (B, 1, C, H, W, 2) float32, for masks along both
axes (B, 1, 1, C, H, W, 2): the axes of length 1 tell them from each other and from the fused kernels' layouts.
"""

import torch
from torch import Tensor

from ugodit.kernels import _checks
from ugodit.kernels._conjugate_gradients import conjugate_gradients


def _axes(both: bool) -> tuple[int, ...]:
    return (-2, -1) if both else (-1,)


def _pack(array: Tensor, both: bool) -> Tensor:
    packed = torch.view_as_real(torch.fft.ifftshift(array.resolve_conj(), dim=_axes(both)).contiguous())
    return packed[:, None, None] if both else packed[:, None]


def _unpack(packed: Tensor) -> Tensor:
    return torch.view_as_complex(packed.reshape(-1, *packed.shape[-4:]).contiguous())


def _shape(coils: int, height: int, width: int, both: bool) -> tuple[int, ...]:
    return (*((1, 1) if both else (1,)), coils, height, width, 2)


def pack_maps(maps: Tensor, both: bool) -> Tensor:
    return _pack(maps, both)


def pack_kspace(kspace: Tensor, both: bool) -> Tensor:
    return _pack(kspace, both)


class _Operator:
    """F S and its adjoint between a centred image (B, 2, H, W) and shifted complex k-space (B, C, H, W)."""

    def __init__(self, shape: tuple[int, int, int], maps: Tensor, weights: Tensor, coils: int) -> None:
        batch, height, width = shape
        _checks.coils(coils)
        self.both = _checks.weights(weights, batch, height, width)
        _checks.packed("maps", maps, batch, _shape(coils, height, width, self.both))
        self.axes = _axes(self.both)
        self.maps = _unpack(maps)
        shifted = torch.fft.ifftshift(weights, dim=self.axes)
        self.weights = shifted[:, None] if self.both else shifted[:, None, None]

    def forward(self, image: Tensor) -> Tensor:
        shifted = torch.fft.ifftshift(image, dim=self.axes)
        coil_images = self.maps * torch.complex(shifted[:, 0], shifted[:, 1])[:, None]
        return torch.fft.fftn(coil_images, dim=self.axes, norm="ortho")

    def adjoint(self, kspace: Tensor) -> Tensor:
        """S^H F^H (weights . kspace)."""
        coil_images = torch.fft.ifftn(self.weights * kspace, dim=self.axes, norm="ortho")
        image = (self.maps.conj() * coil_images).sum(dim=1)
        return torch.fft.fftshift(torch.stack([image.real, image.imag], dim=1), dim=self.axes)


def sense_residual(
    image: Tensor, maps: Tensor, kspace: Tensor | None, weights: Tensor, coils: int
) -> tuple[Tensor, Tensor]:
    batch, height, width = _checks.image("image", image)
    operator = _Operator((batch, height, width), maps, weights, coils)
    residual = operator.forward(image)
    if kspace is not None:
        _checks.packed("kspace", kspace, batch, _shape(coils, height, width, operator.both))
        residual = residual - _unpack(kspace)
    # Summed in double: the loss of a large image keeps its last digits.
    energy = operator.weights * (residual.real**2 + residual.imag**2)
    loss = energy.sum(dim=(1, 2, 3), dtype=torch.float64).to(torch.float32)
    return loss, operator.adjoint(residual).contiguous()


def sense_forward(image: Tensor, maps: Tensor, weights: Tensor, coils: int) -> Tensor:
    operator = _Operator(_checks.image("image", image), maps, weights, coils)
    measured = (operator.weights != 0).to(torch.float32)
    kspace = torch.fft.fftshift(measured * operator.forward(image), dim=operator.axes)
    return torch.view_as_real(kspace).contiguous()


def sense_adjoint(kspace: Tensor, maps: Tensor, weights: Tensor, coils: int) -> Tensor:
    batch, _, height, width = _checks.coil_array("kspace", kspace, torch.float32)
    operator = _Operator((batch, height, width), maps, weights, coils)
    shifted = torch.fft.ifftshift(torch.view_as_complex(kspace.contiguous()), dim=operator.axes)
    return operator.adjoint(shifted).contiguous()


def sense_solve(
    rhs: Tensor,
    start: Tensor,
    maps: Tensor,
    weights: Tensor,
    mu: Tensor,
    coils: int,
    iterations: int,
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    """Conjugate gradients with one system an item, or a row where weights are (B, W)."""
    operator = _Operator(_checks.image("rhs", rhs), maps, weights, coils)

    def normal(x: Tensor) -> Tensor:
        return operator.adjoint(operator.forward(x)) + mu[:, None, None, None] * x

    system = (1, 2, 3) if operator.both else (1, 3)
    return conjugate_gradients(normal, rhs, start, system, iterations, tolerance)
