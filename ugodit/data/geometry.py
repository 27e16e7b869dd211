"""Centred crops and centred Fourier transforms, by fastMRI's conventions: the origin is at index n // 2 of an axis."""

from typing import TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

ImageT = TypeVar("ImageT", NDArray, Tensor)


def central(length: int, size: int) -> slice:
    """`size` of `length` samples, centred: the one at length // 2 is at size // 2 of them."""
    start = length // 2 - size // 2
    return slice(start, start + size)


def center_crop(image: ImageT, crop: tuple[int, int]) -> ImageT:
    """The central (rows, columns) of the last two axes, by fastMRI's rounding: the first row is (H - rows) // 2."""
    left = (image.shape[-1] - crop[1]) // 2
    return center_rows(image, crop[0])[..., left : left + crop[1]]


def center_rows(image: ImageT, rows: int) -> ImageT:
    """The central `rows` of axis -2, by the same rounding."""
    top = (image.shape[-2] - rows) // 2
    return image[..., top : top + rows, :]


def centred_fft(array: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Unitary DFT with the zero frequency and the origin at index n // 2 of every transformed axis."""
    shifted = torch.fft.ifftshift(array, dim=axes)
    return torch.fft.fftshift(torch.fft.fftn(shifted, dim=axes, norm="ortho"), dim=axes)


def centred_ifft(array: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Inverse, and adjoint, of centred_fft."""
    shifted = torch.fft.ifftshift(array, dim=axes)
    return torch.fft.fftshift(torch.fft.ifftn(shifted, dim=axes, norm="ortho"), dim=axes)
