"""Degradations that blur: Gaussian, motion, any kernel, and a motion in linear light seen through a camera."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ugodit.data.blur_kernels import Kernel, checked_kernel, gaussian_kernel, motion_kernel
from ugodit.data.camera import Camera
from ugodit.data.convolution import BOUNDARIES, Boundary, Convolution
from ugodit.data.degradation import Degradation
from ugodit.data.resizing import matrix_like
from ugodit.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Blur(Degradation):
    """Convolved with a kernel."""

    boundary: Boundary = "reflect"
    """What is beyond the edges; see `data/convolution.py`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.boundary not in BOUNDARIES:
            raise InputError(f"`boundary`: expected one of {', '.join(BOUNDARIES)}, got {self.boundary!r}")
        self.psf()  # which checks its fields

    @abstractmethod
    def psf(self) -> Kernel:
        """The kernel: float64 (rows, columns), adds up to 1."""

    def clean(self, image: Tensor) -> Tensor:
        return _convolved(image, self.psf(), self.boundary)


@dataclass(frozen=True, kw_only=True)
class GaussianBlur(Blur):
    """With a Gaussian."""

    task: ClassVar[str] = "gaussian_blur"

    size: int = 61
    """Of the kernel's side, in pixels; odd."""
    width: float = 3.0
    """Its standard deviation, in pixels."""

    def psf(self) -> Kernel:
        return gaussian_kernel(self.size, self.width)


@dataclass(frozen=True, kw_only=True)
class MotionBlur(Blur):
    """With the path of a random motion (`blur_kernels.motion_kernel`)."""

    task: ClassVar[str] = "motion_blur"

    size: int = 61
    """Of the kernel's side, in pixels; odd."""
    intensity: float = 0.5
    """0, a straight line, to 1."""
    seed: int = 0
    """Of the motion."""

    def psf(self) -> Kernel:
        return motion_kernel(self.size, self.intensity, self.seed)


@dataclass(frozen=True, kw_only=True)
class KernelBlur(Blur):
    """With any kernel."""

    task: ClassVar[str] = "kernel_blur"

    kernel: tuple[tuple[float, ...], ...]
    """Rows of numbers of 0 or more; their sum is made 1. A list or an array is taken too, and becomes tuples."""

    def __post_init__(self) -> None:
        rows = checked_kernel(self.kernel).tolist()
        object.__setattr__(self, "kernel", tuple(tuple(row) for row in rows))
        super().__post_init__()

    def psf(self) -> Kernel:
        return checked_kernel(self.kernel)


@dataclass(frozen=True, kw_only=True)
class NonlinearBlur(Degradation):
    """A random motion in linear light, seen through a camera (`data/camera.py`)."""

    task: ClassVar[str] = "nonlinear_blur"

    size: int = 21
    """Of the kernel's side, in pixels; odd."""
    intensity: float = 0.5
    """Of the motion: 0, a straight line, to 1."""
    seed: int = 0
    """Of the motion."""
    exposure: float = 1.25
    """What the light is multiplied by."""
    shoulder: float = 0.8
    """Exposed light above is compressed towards 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.psf()
        self.camera()

    def psf(self) -> Kernel:
        """The kernel: float64 (size, size), adds up to 1."""
        return motion_kernel(self.size, self.intensity, self.seed)

    def camera(self) -> Camera:
        """What encodes the light."""
        return Camera(self.exposure, self.shoulder)

    def clean(self, image: Tensor) -> Tensor:
        camera = self.camera()
        return camera.response(_convolved(camera.light(image), self.psf(), "reflect"))


def _convolved(image: Tensor, kernel: Kernel, boundary: Boundary) -> Tensor:
    height, width = image.shape[-2:]
    return Convolution(matrix_like(kernel, image)[None], height, width, boundary)(image)
