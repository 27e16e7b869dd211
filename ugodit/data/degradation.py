"""What every degradation of a photograph is: a definition, and how it is applied to a clean image."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ugodit.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Degradation(ABC):
    """What all have: white Gaussian noise, added at the end."""

    task: ClassVar[str]
    """Its name."""

    noise: float | None = 0.05
    """Standard deviation of the noise for images in [-1, 1], as DPS and diffusion models count; see `sigma`. None: not
    known, to be estimated from the measurements."""
    noise_seed: int = 0
    """Item i of a batch has the noise of the seed noise_seed + i."""

    def __post_init__(self) -> None:
        """InputError for fields out of range."""
        if self.noise is not None:
            object.__setattr__(self, "noise", float(self.noise))  # a record of 0 and one of 0.0 would be two settings
            if not 0 <= self.noise <= 2:
                raise InputError(f"`noise`: expected a number from 0 to 2, of images in [-1, 1], got {self.noise:g}")
        if not 0 <= self.noise_seed < 2**32:
            raise InputError(f"`noise_seed`: expected a whole number from 0 to 2^32 - 1, got {self.noise_seed}")

    @property
    def sigma(self) -> float | None:
        """Standard deviation of the noise for images in [0, 1]: half of `noise`."""
        return None if self.noise is None else self.noise / 2

    @abstractmethod
    def clean(self, image: Tensor) -> Tensor:
        """The degraded image free of noise. InputError for an image that it cannot be done to."""

    def mask(self, height: int, width: int) -> Tensor | None:
        """bool (H, W): which pixels are measured; None where all are."""
        return None

    def apply(self, image: Tensor) -> Tensor:
        """The measurements of a clean image (B, 1 or 3, H, W) in [0, 1]: `clean`, and noise where anything is measured.

        Neither clipped nor rounded, and the same on every device, to rounding. ValueError for a tensor that is no batch
        of images, InputError for an image that it cannot be done to.
        """
        check_image(image)
        if self.sigma is None:
            raise InputError("`noise`: expected a number to simulate measurements with, got none")
        degraded = self.clean(image)
        if self.sigma == 0:
            return degraded
        draws = []
        for item in range(len(degraded)):
            generator = torch.Generator().manual_seed(self.noise_seed + item)
            draws.append(torch.randn(degraded.shape[1:], generator=generator))
        noisy = degraded + self.sigma * torch.stack(draws).to(degraded)
        mask = self.mask(*degraded.shape[-2:])
        return noisy if mask is None else noisy * mask.to(noisy)

    def to_dict(self) -> dict[str, Any]:
        """Its task and fields, as they are kept in files."""
        return {"task": self.task} | dataclasses.asdict(self)


def check_image(image: Tensor) -> None:
    """ValueError for a tensor that is no batch of images, InputError for NaN or Inf in it."""
    if image.ndim != 4 or image.shape[1] not in (1, 3) or not image.is_floating_point() or 0 in image.shape:
        raise ValueError(
            f"image: expected float (B, 1 or 3, H, W), none of them 0, got {image.dtype} {tuple(image.shape)}"
        )
    if not bool(torch.isfinite(image).all()):
        raise InputError("image: expected finite numbers, got NaN or Inf")
