"""Motion blur in linear light, seen through a camera: the measured photograph is C(k * L(x)).

L takes the numbers of a file to linear light, k is the motion, C exposes, compresses and encodes (`data/camera.py`). No
weights are learned. With the slopes L' and C' as diagonal matrices the derivative is J = C' K L', and its adjoint is as
exact as the convolution's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from ugodit.data.blur_kernels import Kernel, checked_kernel
from ugodit.data.camera import Camera
from ugodit.data.convolution import Convolution
from ugodit.data.resizing import matrix_like
from ugodit.operators.nonlinear import NonlinearPhotographOperator
from ugodit.operators.photograph import checked_fields


@dataclass(frozen=True, repr=False, kw_only=True)
class NonlinearBlurOperator(NonlinearPhotographOperator):
    """A(x) = s C(k * L(x / s)), where s is the unit of the measurements, 1 unless they were scaled.

    The derivative's norm depends on the image. It is 1.1 for plain grey below the shoulder, at the default exposure,
    and more where bright points are smeared over black.
    """

    kernels: Tensor
    """(B, rows, columns), odd sizes, each adds up to 1."""
    camera: Camera
    """What encodes the light."""

    @classmethod
    def from_measurements(
        cls, measurements: Tensor, kernel: Kernel, sigma: float | None = None, *, camera: Camera | None = None
    ) -> Self:
        """Of photographs, float (B, 1 or 3, H, W), all with one kernel; `stack` puts several kernels together.

        kernel: any array of rows and columns, odd sizes, entries of 0 or more; its sum is made 1. sigma: standard
        deviation of the noise, in the unit of the measurements; None: to be estimated. camera: by default Camera().
        ValueError for a tensor that is no batch of images, InputError for what can be no kernel, or is too large for
        the image.
        """
        fields = checked_fields(measurements, sigma)
        kernels = matrix_like(checked_kernel(kernel), measurements).expand(len(measurements), -1, -1)
        scale = torch.ones_like(fields["known_noise"])
        operator = cls(**fields, kernels=kernels, camera=camera or Camera(), scale=scale)
        _ = operator._convolution  # which checks the sizes
        return operator

    def degraded(self, image: Tensor) -> Tensor:
        return self.camera.response(self._convolution(self.camera.light(image)))

    def developed(self, measurements: Tensor) -> Tensor:
        return self.camera.developed(measurements)

    def linearized(self, image: Tensor) -> BlurLinearization:
        inside = image / self.unit
        light_slope, light_bend = self.camera.light_slopes(inside)
        response_slope, response_bend = self.camera.response_slopes(self._convolution(self.camera.light(inside)))
        bends = light_bend / self.unit, response_bend / self.unit
        return BlurLinearization(light_slope, self.masked(response_slope), *bends, self._convolution)

    @cached_property
    def _convolution(self) -> Convolution:
        return Convolution(self.kernels, *self.shape[2:], "reflect")


@dataclass(frozen=True)
class BlurLinearization:
    """J = C' K L' at an image, all (B, channels, H, W). See `nonlinear.Linearization`."""

    light_slope: Tensor
    """L'"""
    response_slope: Tensor
    """C', 0 where nothing is measured."""
    light_bend: Tensor
    """L'' over the unit of the measurements."""
    response_bend: Tensor
    """C'' over the unit of the measurements."""
    convolution: Convolution
    """K"""

    def forward(self, change: Tensor) -> Tensor:
        return self.response_slope * self.convolution(self.light_slope * change)

    def adjoint(self, measurements: Tensor) -> Tensor:
        return self.light_slope * self.convolution.adjoint(self.response_slope * measurements)

    def normal(self, change: Tensor) -> Tensor:
        return self.adjoint(self.forward(change))

    def hessian(self, change: Tensor, residual: Tensor) -> Tensor:
        light = self.convolution(self.light_slope * change)
        curved = self.convolution.adjoint((self.response_slope**2 + self.response_bend * residual) * light)
        pulled = self.convolution.adjoint(self.response_slope * residual)
        return self.light_slope * curved + self.light_bend * pulled * change
