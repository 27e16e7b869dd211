"""An operator that is neither MRI nor a photograph: grey images, blurred along their rows, of which some columns are
measured. Plain torch in single precision, and nothing of ugodit but what the protocol asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from ugodit.errors import InputError
from ugodit.operators.domain import Domain, RealImages

LENGTH = 5
"""Of the blur."""


@dataclass(frozen=True)
class BlurredColumns:
    """A x = the measured columns of images (B, 1, H, W), each row of which is convolved with its item's kernel."""

    kernels: Tensor
    """float32 (B, LENGTH); their magnitudes add up to 1, so that |A| <= 1."""
    measurements: Tensor
    """float32 (B, 1, H, W)"""
    measured: Tensor
    """float32 (B, W): 1 for a measured column, 0 for another."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        items, channels, height, width = self.measurements.shape
        return items, channels, height, width

    @property
    def device(self) -> torch.device:
        return self.measurements.device

    @property
    def domain(self) -> Domain:
        return RealImages(1)

    @property
    def support(self) -> Tensor:
        return torch.ones(self.shape, dtype=torch.bool, device=self.device)

    def forward(self, image: Tensor) -> Tensor:
        return self._columns * self._convolved(image, functional.conv2d)

    def adjoint(self, measurements: Tensor) -> Tensor:
        return self._convolved(self._columns * measurements, functional.conv_transpose2d)

    def normal(self, image: Tensor) -> Tensor:
        return self.adjoint(self.forward(image))

    def initial(self) -> Tensor:
        return self.adjoint(self.measurements)

    def data_consistency(self, image: Tensor) -> Tensor:
        return self._residual(image).square().sum((1, 2, 3))

    def gradient(self, image: Tensor) -> Tensor:
        return self.adjoint(self._residual(image))

    def energy(self) -> Tensor:
        return (self._columns * self.measurements).square().sum((1, 2, 3))

    def samples(self) -> Tensor:
        return self.measured.sum(1).long() * self.shape[2]

    def noise_variance(self) -> Tensor:
        # Never more samples than pixels.
        return torch.full((self.shape[0],), torch.nan, device=self.device)

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Self, Self]:
        held_out = torch.zeros_like(self.measured)
        for item, measured in enumerate(self.measured):
            columns = measured.nonzero().flatten()
            if len(columns) < 2:
                raise InputError(f"mask: splitting needs at least 2 measured columns, got {len(columns)}")
            count = min(max(round(fraction * len(columns)), 1), len(columns) - 1)
            order = torch.randperm(len(columns), generator=generator)[:count].to(columns.device)
            held_out[item, columns[order]] = 1
        seen = dataclasses.replace(self, measured=self.measured - held_out)
        return seen, dataclasses.replace(self, measured=held_out)

    def proximal(self, image: Tensor, mu: Tensor | float, iterations: int) -> Tensor:
        """Conjugate gradients from `image`, differentiated as they are."""
        weight = mu.view(-1, 1, 1, 1) if isinstance(mu, Tensor) else mu
        solution = image
        residual = self.initial() - self.normal(image)  # mu (image - solution) is zero
        direction = residual
        energy = _dot(residual, residual)
        # What is left by then is rounding, and following it would divide zero by zero.
        floor = 1e-14 * _dot(self.initial(), self.initial()).detach() + 1e-30
        for _ in range(iterations):
            going = energy.detach() > floor
            applied = self.normal(direction) + weight * direction
            step = torch.where(going, energy / torch.where(going, _dot(direction, applied), 1.0), 0.0)
            solution = solution + step * direction
            residual = residual - step * applied
            renewed = _dot(residual, residual)
            direction = residual + torch.where(going, renewed / torch.where(going, energy, 1.0), 0.0) * direction
            energy = torch.where(going, renewed, energy)
        return solution

    def scaled(self, factor: float) -> Self:
        return dataclasses.replace(self, measurements=factor * self.measurements)

    def select(self, items: Sequence[int]) -> Self:
        index = torch.as_tensor(items, device=self.device)
        return type(self)(self.kernels[index], self.measurements[index], self.measured[index])

    @classmethod
    def stack(cls, operators: Sequence[Self]) -> Self:
        if len({operator.shape[1:] for operator in operators}) > 1:
            raise ValueError("operators: expected one image size in a batch")
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(torch.cat([getattr(operator, name) for operator in operators]) for name in names))

    @property
    def _columns(self) -> Tensor:
        return self.measured[:, None, None, :]

    def _residual(self, image: Tensor) -> Tensor:
        return self.forward(image) - self._columns * self.measurements

    def _convolved(self, image: Tensor, convolve) -> Tensor:  # type: ignore[no-untyped-def]
        """Every item with its own kernel: items are the groups of one convolution."""
        items = self.shape[0]
        weight = self.kernels[:, None, None, :]
        return convolve(image.movedim(0, 1), weight, padding=(0, LENGTH // 2), groups=items).movedim(1, 0)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum((1, 2, 3), keepdim=True)


def toy_image(height: int = 24, width: int = 32, seed: int = 0) -> Tensor:
    """A smooth random landscape in [0, 1], (1, 1, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.fft.fftfreq(length) * length for length in (height, width))
    low_pass = torch.exp(-(rows[:, None] ** 2 + columns**2) / (2 * 3.0**2))
    field = torch.fft.ifft2(torch.fft.fft2(torch.randn(height, width, generator=generator)) * low_pass).real
    field = field - field.min()
    return (field / field.max())[None, None]


def toy_scan(
    height: int = 24, width: int = 32, seed: int = 0, noise: float = 0.02, keep: float = 0.5
) -> tuple[BlurredColumns, Tensor]:
    """The operator of a `toy_image`, through a random kernel, and the image."""
    image = toy_image(height, width, seed)
    generator = torch.Generator().manual_seed(seed + 1000)
    kernel = torch.rand(1, LENGTH, generator=generator)
    kernel[0, LENGTH // 2] += 2
    measured = torch.zeros(1, width)
    measured[0, torch.randperm(width, generator=generator)[: round(keep * width)]] = 1
    operator = BlurredColumns(kernel / kernel.sum(), torch.zeros_like(image), measured)
    white = torch.randn(image.shape, generator=generator)
    measurements = operator.forward(image) + noise * measured[:, None, None] * white
    return dataclasses.replace(operator, measurements=measurements), image
