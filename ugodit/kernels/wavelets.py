"""Shrinkage of Haar wavelets: compiled for complex float32 images on the CPU, plain torch elsewhere.

It is called outside any gradient, so this is a plain function and not a torch.library operator.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ugodit.kernels import _checks, _cpu
from ugodit.kernels._arrays import array, plain

LEVELS = 4
"""Scales of the transform; the coarsest image is kept as it is."""


def shrink_wavelets(image: Tensor, weight: Tensor, shift: tuple[int, int]) -> Tensor:
    """Soft-thresholds the Haar details of images (B, channels, H, W), real, by `weight` (B,); a new tensor.

    The transform is orthonormal, of LEVELS scales, on blocks of 2^LEVELS pixels a side of which the first begins
    `shift` (rows, columns; 0 to 2^LEVELS - 1) above and left of the image. All channels of a pixel are shrunk together:
    real and imaginary part as one complex number. The result does not depend on the number of threads.

    Raises:
        ValueError: another dtype, shape, device or shift.
    """
    if not image.is_floating_point() or image.ndim != 4 or image.numel() == 0:
        raise ValueError(f"image: expected real numbers (B, channels, H, W), got {image.dtype} {tuple(image.shape)}")
    _checks.sizes("image", image.shape)
    if (weight.dtype, weight.device, weight.shape) != (image.dtype, image.device, image.shape[:1]):
        raise ValueError(
            f"weight: expected {image.dtype} ({len(image)},) on {image.device}, got {weight.dtype} "
            f"{tuple(weight.shape)} on {weight.device}"
        )
    if not all(0 <= offset < 2**LEVELS for offset in shift):
        raise ValueError(f"shift: expected two of 0 to {2**LEVELS - 1}, got {shift}")
    if image.device.type != "cpu" or image.dtype != torch.float32 or image.shape[1] != 2:
        return in_torch(image, weight, shift)
    _checks.constants(image=image, weight=weight)
    image, weight = plain(image), plain(weight)
    result = torch.empty_like(image)
    items, _, rows, columns = image.shape
    _cpu.shrink_wavelets(
        items=items,
        rows=rows,
        columns=columns,
        levels=LEVELS,
        above=shift[0],
        left=shift[1],
        threads=torch.get_num_threads(),
        image=array(image),
        weights=array(weight),
        result=array(result),
    )
    return result


def in_torch(image: Tensor, weight: Tensor, shift: tuple[int, int]) -> Tensor:
    """The same in plain torch, on any device and in any precision."""
    rows, columns = image.shape[-2:]
    multiple = 2**LEVELS
    # The margin absorbs the shift, so that nothing wraps round.
    margin = (shift[1], -(columns + shift[1]) % multiple, shift[0], -(rows + shift[0]) % multiple)
    coarse = functional.pad(image, margin)
    details = []
    for _ in range(LEVELS):
        top, bottom = coarse[..., 0::2, :], coarse[..., 1::2, :]
        above, below = top[..., 0::2] + top[..., 1::2], bottom[..., 0::2] + bottom[..., 1::2]
        left, right = top[..., 0::2] - top[..., 1::2], bottom[..., 0::2] - bottom[..., 1::2]
        # Twice the orthonormal coefficients: the factor comes back with their threshold.
        details.append([_shrink(part, 2 * weight) for part in (above - below, left + right, left - right)])
        coarse = (above + below) * 0.5
    for vertical, horizontal, diagonal in reversed(details):
        fine = coarse.new_empty(*coarse.shape[:2], 2 * coarse.shape[2], 2 * coarse.shape[3])
        above, below = coarse * 0.5 + vertical * 0.25, coarse * 0.5 - vertical * 0.25
        left, right = (horizontal + diagonal) * 0.25, (horizontal - diagonal) * 0.25
        torch.add(above, left, out=fine[..., 0::2, 0::2])
        torch.sub(above, left, out=fine[..., 0::2, 1::2])
        torch.add(below, right, out=fine[..., 1::2, 0::2])
        torch.sub(below, right, out=fine[..., 1::2, 1::2])
        coarse = fine
    return coarse[..., shift[0] : shift[0] + rows, shift[1] : shift[1] + columns]


def _shrink(detail: Tensor, threshold: Tensor) -> Tensor:
    two = detail.shape[1] == 2
    magnitude = torch.hypot(detail[:, :1], detail[:, 1:]) if two else detail.norm(dim=1, keepdim=True)
    kept = (1 - threshold.view(-1, 1, 1, 1) / magnitude.clamp_min_(1e-30)).clamp_min_(0)
    return detail.mul_(kept)
