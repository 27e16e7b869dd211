"""Images convolved with blur kernels, and the exact adjoint, by FFT."""

from __future__ import annotations

from typing import Literal

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional

from ugodit.errors import InputError

Boundary = Literal["reflect", "circular"]
BOUNDARIES: tuple[Boundary, ...] = ("reflect", "circular")
"""What is beyond the edges. reflect: the image mirrored, the outermost pixel not repeated, as DPS has it. circular: the
image again from its other side, which nature does not do; then the convolution is a product in Fourier space."""


class Convolution:
    """Convolution of images (B, channels, H, W) with a kernel for each item, or one for all.

    A kernel is the image of a point. DPS and torch's convolutions correlate, which is to convolve with the kernel
    turned by 180 degrees.
    """

    def __init__(self, kernels: Tensor, height: int, width: int, boundary: Boundary) -> None:
        """kernels: real (B or 1, rows, columns), odd sizes. InputError for an image that is too small for them."""
        rows, columns = kernels.shape[-2:]
        self.circular = boundary == "circular"
        self.rows, self.columns = (0, 0) if self.circular else (rows // 2, columns // 2)
        least = (rows, columns) if self.circular else (rows // 2 + 1, columns // 2 + 1)
        if height < least[0] or width < least[1]:
            raise InputError(
                f"`kernel`: one of {rows} x {columns} pixels needs an image of {least[0]} x {least[1]} or more, got "
                f"{height} x {width}; take a smaller kernel"
            )
        self.height, self.width = height, width
        self.padded = (height + 2 * self.rows, width + 2 * self.columns)
        high, wide = self.padded
        fast = (next_fast_len(high, real=True), next_fast_len(wide, real=True))
        self.size = self.padded if self.circular else fast
        centred = functional.pad(kernels, (0, self.size[1] - columns, 0, self.size[0] - rows))
        centred = centred.roll((-(rows // 2), -(columns // 2)), (-2, -1))
        self.spectrum = torch.fft.rfft2(centred)[:, None]
        """complex (B or 1, 1, rows, columns) of the transform."""

    def __call__(self, image: Tensor) -> Tensor:
        """Images blurred, of their own size."""
        padded = _reflected(_reflected(image, self.rows, -2), self.columns, -1)
        blurred = self._filtered(padded, self.spectrum)
        return self._middle(blurred)

    def adjoint(self, image: Tensor) -> Tensor:
        """The adjoint: correlation, with what lies beyond the edges folded back."""
        beside = functional.pad(image, (self.columns, self.columns, self.rows, self.rows))
        spread = self._filtered(beside, self.spectrum.conj())[..., : self.padded[0], : self.padded[1]]
        return _folded(_folded(spread, self.rows, -2), self.columns, -1)

    def _filtered(self, image: Tensor, spectrum: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(image, s=self.size) * spectrum, s=self.size)

    def _middle(self, image: Tensor) -> Tensor:
        return image[..., self.rows : self.rows + self.height, self.columns : self.columns + self.width]


def _reflected(image: Tensor, count: int, axis: int) -> Tensor:
    """`count` pixels more on both sides of an axis, mirrored at its outermost pixels' centres."""
    if count == 0:
        return image
    length = image.shape[axis]
    before = image.narrow(axis, 1, count).flip(axis)
    after = image.narrow(axis, length - 1 - count, count).flip(axis)
    return torch.cat((before, image, after), axis)


def _folded(image: Tensor, count: int, axis: int) -> Tensor:
    """The adjoint of `_reflected`: what is on both sides is added to where it came from."""
    if count == 0:
        return image
    length = image.shape[axis] - 2 * count
    folded = image.narrow(axis, count, length).clone()
    folded.narrow(axis, 1, count).add_(image.narrow(axis, 0, count).flip(axis))
    folded.narrow(axis, length - 1 - count, count).add_(image.narrow(axis, length + count, count).flip(axis))
    return folded
