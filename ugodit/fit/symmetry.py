"""Symmetries of an MR image that a network does not have by itself."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def random_symmetry(generator: torch.Generator) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """A random turn of the image's phase with a random mirroring, and its inverse; both map (B, 2, H, W) to the same.

    The receiver's phase is arbitrary and a mirrored knee is a knee, so a network may be shown either: a free way to
    see more than the few scans there are.
    """
    angle = 2 * math.pi * float(torch.rand((), generator=generator))
    mirrored = int(torch.randint(4, (), generator=generator))
    axes = [axis for axis, bit in ((-1, 1), (-2, 2)) if mirrored & bit]

    def turn(image: Tensor) -> Tensor:
        return rotate_phase(image, angle).flip(axes)

    def turn_back(image: Tensor) -> Tensor:
        return rotate_phase(image.flip(axes), -angle)

    return turn, turn_back


def rotate_phase(image: Tensor, angle: float) -> Tensor:
    """(B, 2, H, W) multiplied by exp(i angle)."""
    return multiply_phase(image, math.cos(angle), math.sin(angle))


def multiply_phase(image: Tensor, cosine: float | Tensor, sine: float | Tensor) -> Tensor:
    """(B, 2, H, W) multiplied by cosine + i sine."""
    real, imaginary = image[:, 0], image[:, 1]
    return torch.stack((cosine * real - sine * imaginary, sine * real + cosine * imaginary), dim=1)
