"""Motion blur in linear light, seen through a camera: the measured photograph is C(k * L(x)).

L takes the numbers of a file to linear light, k is the motion, C exposes, compresses and encodes (`data/camera.py`). No
weights are learned. With the slopes L' and C' as diagonal matrices the derivative is J = C' K L', and its adjoint is as
exact as the convolution's.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from ugodit.data.blur_kernels import Kernel, checked_kernel
from ugodit.data.camera import Camera
from ugodit.data.convolution import Convolution
from ugodit.data.resizing import matrix_like
from ugodit.operators.photograph import PhotographOperator, checked_fields
from ugodit.operators.photograph_noise import filled
from ugodit.operators.photograph_solve import per_item, steps

INNER = 10
"""Steps of conjugate gradients in a step of Gauss-Newton."""
SHORTENED = (1.0, 0.5, 0.25, 0.0625)
"""Of a step of Gauss-Newton, the lengths that are tried. The best is taken, if it is any better than none."""


@dataclass(frozen=True, repr=False, kw_only=True)
class NonlinearBlurOperator(PhotographOperator):
    """A(x) = s C(k * L(x / s)), where s is the unit of the measurements, 1 unless they were scaled.

    Not linear: it has no adjoint, but `linearized(x)` has. The derivative's norm depends on the image. It is 1.1 for
    plain grey below the shoulder, at the default exposure, and more where bright points are smeared over black.
    """

    kernels: Tensor
    """(B, rows, columns), odd sizes, each adds up to 1."""
    camera: Camera
    """What encodes the light."""
    scale: Tensor
    """(B,): s."""

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

    def forward(self, image: Tensor) -> Tensor:
        """A(x), (B, channels, H, W)."""
        return self.masked(self._unit * self.camera.response(self._blurred_light(image)))

    def initial(self) -> Tensor:
        """The measurements, what the camera did to them undone pixel by pixel."""
        measured = filled(self.measurements, self.weights)
        return self._unit * self.camera.developed(measured / self._unit)

    def gradient(self, image: Tensor) -> Tensor:
        """J^T (A(x) - y)."""
        return self.linearized(image).adjoint(self.residual(image))

    def scaled(self, factor: float) -> Self:
        return dataclasses.replace(super().scaled(factor), scale=factor * self.scale)

    def linearized(self, image: Tensor) -> Linearization:
        """The derivative J at `image`."""
        light_slope, light_bend = self.camera.light_slopes(image / self._unit)
        response_slope, response_bend = self.camera.response_slopes(self._blurred_light(image))
        bends = light_bend / self._unit, response_bend / self._unit
        return Linearization(light_slope, self.masked(response_slope), *bends, self._convolution)

    def proximal(self, image: Tensor, mu: Tensor | float, iterations: int) -> Tensor:
        """By so many steps of Gauss-Newton from `image`, each shortened where the whole of it would not help.

        Derivatives are those of the minimum, with the second derivatives that Gauss-Newton itself leaves out.
        """
        solved: Tensor = _GaussNewton.apply(image, per_item(mu, image), self, iterations)
        return solved

    def _blurred_light(self, image: Tensor) -> Tensor:
        return self._convolution(self.camera.light(image / self._unit))

    @property
    def _unit(self) -> Tensor:
        return self.scale.view(-1, 1, 1, 1)

    @cached_property
    def _convolution(self) -> Convolution:
        return Convolution(self.kernels, *self.shape[2:], "reflect")


@dataclass(frozen=True)
class Linearization:
    """J = C' K L' at an image, all (B, channels, H, W)."""

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
        """J v: how the measurements change with the image, to first order."""
        return self.response_slope * self.convolution(self.light_slope * change)

    def adjoint(self, measurements: Tensor) -> Tensor:
        """J^T r, an image."""
        return self.light_slope * self.convolution.adjoint(self.response_slope * measurements)

    def normal(self, change: Tensor) -> Tensor:
        """J^T J v."""
        return self.adjoint(self.forward(change))

    def hessian(self, change: Tensor, residual: Tensor) -> Tensor:
        """Half the second derivative of |A(x) - y|^2 applied to v, exactly: J^T J v and what the residual adds."""
        light = self.convolution(self.light_slope * change)
        curved = self.convolution.adjoint((self.response_slope**2 + self.response_bend * residual) * light)
        return self.light_slope * curved + self.light_bend * change * self.convolution.adjoint(
            self.response_slope * residual
        )


class _GaussNewton(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, mu: Tensor, operator: NonlinearBlurOperator, iterations: int) -> Tensor:
        solution = image.clone()
        for _ in range(iterations):
            solution = _improved(operator, solution, image, mu)
        ctx.save_for_backward(image, mu, solution)
        ctx.settings = operator, iterations
        return solution

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """At the minimum J^T (A(x) - y) + mu (x - u) = 0: its derivative tells how x follows u and mu."""
        image, mu, solution = ctx.saved_tensors
        operator, iterations = ctx.settings
        linear, residual = operator.linearized(solution), operator.residual(solution)
        zeros = torch.zeros_like(solution)
        solved = steps(lambda v: linear.hessian(v, residual), gradients[0], zeros, mu, INNER * iterations)
        of_mu = -(solved * (solution - image)).sum((1, 2, 3), keepdim=True) if ctx.needs_input_grad[1] else None
        return mu * solved, of_mu, None, None


def _improved(operator: NonlinearBlurOperator, solution: Tensor, image: Tensor, mu: Tensor) -> Tensor:
    """One step of Gauss-Newton towards argmin_x |A(x) - y|^2 + mu |x - image|^2, of the best length for each item."""

    def objective(x: Tensor) -> Tensor:
        return operator.data_consistency(x) + (mu * (x - image).square()).sum((1, 2, 3))

    linear = operator.linearized(solution)
    downhill = -linear.adjoint(operator.residual(solution)) - mu * (solution - image)
    change = steps(linear.normal, downhill, torch.zeros_like(solution), mu, INNER)
    least, best = objective(solution), solution
    for length in SHORTENED:
        tried = solution + length * change
        found = objective(tried)
        better = found < least
        least = torch.where(better, found, least)
        best = torch.where(better.view(-1, 1, 1, 1), tried, best)
    return best
