"""Degradations: what is done to a clean photograph before it has to be restored.

Each is a frozen dataclass with the fields that it needs and no others, by name in `DEGRADATIONS`. The defaults are
those of DPS (Chung et al., ICLR 2023) where it has the task. Images are float tensors (B, 1 or 3, H, W) in [0, 1], in
the numbers of the file (sRGB).
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ugodit.data.blur_degradations import GaussianBlur, KernelBlur, MotionBlur, NonlinearBlur
from ugodit.data.blur_kernels import seeded
from ugodit.data.degradation import Degradation
from ugodit.data.resizing import resize
from ugodit.errors import InputError

FACTORS = (2, 3, 4, 8)
"""By which super-resolution enlarges."""


@dataclass(frozen=True, kw_only=True)
class Denoising(Degradation):
    """Noise alone."""

    task: ClassVar[str] = "denoise"

    def clean(self, image: Tensor) -> Tensor:
        return image


@dataclass(frozen=True, kw_only=True)
class SuperResolution(Degradation):
    """Shrunk by a factor with antialiased bicubic interpolation (`data/resizing.py`)."""

    task: ClassVar[str] = "superres"

    factor: int = 4
    """2, 3, 4 or 8."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_factor(self.factor)

    def clean(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        if height < self.factor or width < self.factor:
            raise InputError(
                f"image: expected {self.factor} x {self.factor} pixels or more to shrink it {self.factor} times, got "
                f"{height} x {width}; take a smaller `factor`"
            )
        if height % self.factor or width % self.factor:
            raise InputError(
                f"image: expected rows and columns that are multiples of {self.factor}, got {height} x {width}; crop "
                f"it to {height - height % self.factor} x {width - width % self.factor}"
            )
        return resize(image, height // self.factor, width // self.factor)


@dataclass(frozen=True, kw_only=True)
class Inpainting(Degradation):
    """Pixels are missing, in all channels; 0 in the measurements."""

    @abstractmethod
    def mask(self, height: int, width: int) -> Tensor:
        """bool (H, W): which pixels are measured."""

    def clean(self, image: Tensor) -> Tensor:
        return image * self.mask(*image.shape[-2:]).to(image)


@dataclass(frozen=True, kw_only=True)
class RandomInpainting(Inpainting):
    """Pixels are missing at random."""

    task: ClassVar[str] = "inpaint_random"

    missing: float = 0.92
    """Fraction of the pixels that are missing, rounded down; at least one is measured."""
    seed: int = 0
    """Of the pixels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        seeded(self.seed)
        if not 0 <= self.missing < 1:
            raise InputError(f"`missing`: expected a number from 0 to below 1, got {self.missing}")

    def mask(self, height: int, width: int) -> Tensor:
        count = min(int(self.missing * height * width), height * width - 1)
        order = torch.from_numpy(seeded(self.seed).permutation(height * width))
        measured = torch.ones(height * width, dtype=torch.bool)
        measured[order[:count]] = False
        return measured.view(height, width)


@dataclass(frozen=True, kw_only=True)
class BoxInpainting(Inpainting):
    """A square is missing."""

    task: ClassVar[str] = "inpaint_box"

    side: int = 128
    """Of the square, in pixels."""
    margin: int = 16
    """Pixels that are left at each edge at least."""
    seed: int = 0
    """Of its place."""

    def __post_init__(self) -> None:
        super().__post_init__()
        seeded(self.seed)
        for name in ("side", "margin"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}`: expected 1 pixel or more, got {getattr(self, name)}")

    def mask(self, height: int, width: int) -> Tensor:
        least = self.side + 2 * self.margin
        if height < least or width < least:
            raise InputError(
                f"image: expected {least} x {least} pixels or more round a square of {self.side} with a margin of "
                f"{self.margin}, got {height} x {width}; take a smaller `side`"
            )
        generator = seeded(self.seed)
        top, left = (generator.randint(self.margin, length - self.margin - self.side + 1) for length in (height, width))
        measured = torch.ones(height, width, dtype=torch.bool)
        measured[top : top + self.side, left : left + self.side] = False
        return measured


DEGRADATIONS: dict[str, type[Degradation]] = {
    kind.task: kind
    for kind in (
        SuperResolution,
        GaussianBlur,
        MotionBlur,
        KernelBlur,
        NonlinearBlur,
        RandomInpainting,
        BoxInpainting,
        Denoising,
    )
}


def degradation(task: str, **fields: Any) -> Degradation:
    """The degradation of this name: what `to_dict` gives comes back. InputError for an unknown task or field."""
    if task not in DEGRADATIONS:
        raise InputError(f"`task`: expected one of {', '.join(DEGRADATIONS)}, got {task!r}")
    kind = DEGRADATIONS[task]
    known = [field.name for field in dataclasses.fields(kind)]
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise InputError(f"`{unknown[0]}`: not an option of the task {task}, which has {', '.join(known)}")
    if kind is KernelBlur and "kernel" not in fields:
        raise InputError(f"`kernel`: the task {task} needs one")
    return kind(**fields)


def check_factor(factor: int) -> None:
    """InputError for a factor that super-resolution does not have."""
    if factor not in FACTORS:
        raise InputError(f"`factor`: expected one of {', '.join(map(str, FACTORS))}, got {factor}")
