"""Linear degradations that keep an image's size: blurs with any kernel, missing pixels, and noise alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from ugodit.data.blur_kernels import Kernel, checked_kernel
from ugodit.data.convolution import Boundary, Convolution
from ugodit.data.resizing import matrix_like
from ugodit.operators.photograph import LinearPhotographOperator, checked_fields
from ugodit.operators.photograph_noise import filled
from ugodit.operators.photograph_solve import per_item


@dataclass(frozen=True, repr=False, kw_only=True)
class BlurOperator(LinearPhotographOperator):
    """A x = k * x: every item convolved with its kernel (`data/convolution.py`).

    Its norm is 1 with the circular boundary. With mirrored edges what is reflected counts twice: a kernel that only
    shifts along one axis has norm sqrt 2 at most, along both 2. Gaussians and motions, with their weight round the
    centre, stay below 1.2 (tests/operators/test_blur.py).
    """

    kernels: Tensor
    """(B, rows, columns), odd sizes, each adds up to 1."""
    boundary: Boundary
    """What is beyond the edges: "reflect" or "circular"."""

    @classmethod
    def from_measurements(
        cls, measurements: Tensor, kernel: Kernel, sigma: float | None = None, *, boundary: Boundary = "reflect"
    ) -> Self:
        """Of blurred images, float (B, 1 or 3, H, W), all with one kernel; `stack` puts several kernels together.

        kernel: any array of rows and columns, odd sizes, entries of 0 or more; its sum is made 1. sigma: standard
        deviation of the noise, in the unit of the measurements; None: to be estimated. ValueError for a tensor that is
        no batch of images, InputError for what can be no kernel, or is too large for the image.
        """
        fields = checked_fields(measurements, sigma)
        kernels = matrix_like(checked_kernel(kernel), measurements).expand(len(measurements), -1, -1)
        operator = cls(**fields, kernels=kernels, boundary=boundary)
        _ = operator._convolution  # which checks the sizes
        return operator

    def unmasked(self, image: Tensor) -> Tensor:
        return self._convolution(image)

    def unmasked_adjoint(self, measurements: Tensor) -> Tensor:
        return self._convolution.adjoint(measurements)

    def initial(self) -> Tensor:
        """The measurements themselves."""
        return filled(self.measurements, self.weights)

    def proximal(self, image: Tensor, mu: Tensor | float, iterations: int) -> Tensor:
        """A product in Fourier space with the circular boundary; of a split, and mirrored, conjugate gradients."""
        if self.boundary != "circular" or self.weights is not None:
            return super().proximal(image, mu, iterations)
        kernel = self._convolution.spectrum
        power = kernel.real.square() + kernel.imag.square() + per_item(mu, image)
        # Where the kernel passes nothing and mu is 0, nothing is corrected.
        spectrum = torch.fft.rfft2(-self.residual(image)) * kernel.conj()
        spectrum = spectrum / power.clamp(min=torch.finfo(image.dtype).eps ** 2)
        return image + torch.fft.irfft2(spectrum, s=self.shape[2:])

    @cached_property
    def _convolution(self) -> Convolution:
        return Convolution(self.kernels, *self.shape[2:], self.boundary)


@dataclass(frozen=True, repr=False, kw_only=True)
class PixelsOperator(LinearPhotographOperator):
    """A x = the measured pixels of x themselves: inpainting where some are missing, denoising where none is."""

    @classmethod
    def from_measurements(cls, measurements: Tensor, mask: Tensor | None = None, sigma: float | None = None) -> Self:
        """Of images, float (B, 1 or 3, H, W), with noise.

        mask: bool (H, W) or (B, H, W), True where a pixel is measured; None: all are. sigma: standard deviation of the
        noise, in the unit of the measurements; None: to be estimated. ValueError for shapes that do not go together.
        """
        return cls(**checked_fields(measurements, sigma, mask))

    def unmasked(self, image: Tensor) -> Tensor:
        return image

    def unmasked_adjoint(self, measurements: Tensor) -> Tensor:
        return measurements

    def initial(self) -> Tensor:
        """The measured pixels, and between them what is around."""
        return filled(self.measurements, self.weights)

    def proximal(self, image: Tensor, mu: Tensor | float, iterations: int) -> Tensor:
        """(w y + mu u) / (w + mu) in every pixel: its own value where it is not measured, or both are 0."""
        mu = per_item(mu, image)
        weights = self.every_weight()
        total = weights + mu
        mean = (weights * self.measurements + mu * image) / torch.where(total > 0, total, 1.0)
        return torch.where(total > 0, mean, image)
