"""What operators that are not linear share: Gauss-Newton, and images in the unit of scaled measurements."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from ugodit.operators.photograph import PhotographOperator
from ugodit.operators.photograph_noise import filled
from ugodit.operators.photograph_solve import per_item, steps

INNER = 10
"""Steps of conjugate gradients in a step of Gauss-Newton."""
SHORTENED = (1.0, 0.5, 0.25, 0.0625)
"""Of a step of Gauss-Newton, the lengths that are tried. The best is taken, if it is any better than none."""


class Linearization(Protocol):
    """The derivative J of A at an image."""

    def forward(self, change: Tensor) -> Tensor:
        """J v: how the measurements change with the image, to first order."""

    def adjoint(self, measurements: Tensor) -> Tensor:
        """J^T r, an image."""

    def normal(self, change: Tensor) -> Tensor:
        """J^T J v."""

    def hessian(self, change: Tensor, residual: Tensor) -> Tensor:
        """Half the second derivative of |A(x) - y|^2 applied to v, exactly: J^T J v and what the residual adds."""


@dataclass(frozen=True, repr=False, kw_only=True)
class NonlinearPhotographOperator(PhotographOperator):
    """A(x) = s F(x / s), where F degrades images in [0, 1], and s is the unit of the measurements.

    It has no adjoint, but `linearized(x)` has.
    """

    scale: Tensor
    """(B,): s, 1 unless they were scaled."""

    @abstractmethod
    def degraded(self, image: Tensor) -> Tensor:
        """F of an image in [0, 1]."""

    @abstractmethod
    def developed(self, measurements: Tensor) -> Tensor:
        """What can be undone pixel by pixel of measurements in [0, 1]."""

    @abstractmethod
    def linearized(self, image: Tensor) -> Linearization:
        """The derivative at `image`."""

    def forward(self, image: Tensor) -> Tensor:
        """A(x), (B, channels, H, W)."""
        return self.masked(self.unit * self.degraded(image / self.unit))

    def initial(self) -> Tensor:
        """The measurements, with what the camera did to them undone."""
        measured = filled(self.measurements, self.weights)
        return self.unit * self.developed(measured / self.unit)

    def gradient(self, image: Tensor) -> Tensor:
        """J^T (A(x) - y)."""
        return self.linearized(image).adjoint(self.residual(image))

    def scaled(self, factor: float) -> Self:
        """The operator of the measurements `factor` y."""
        return dataclasses.replace(super().scaled(factor), scale=factor * self.scale)

    def proximal(self, image: Tensor, mu: Tensor | float, iterations: int) -> Tensor:
        """By so many steps of Gauss-Newton from `image`, each shortened where the whole of it would not help.

        Derivatives are those of the minimum, with the second derivatives that Gauss-Newton itself leaves out.
        """
        solved: Tensor = _GaussNewton.apply(image, per_item(mu, image), self, iterations)
        return solved

    @property
    def unit(self) -> Tensor:
        """s, (B, 1, 1, 1)."""
        return self.scale.view(-1, 1, 1, 1)


class _GaussNewton(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, mu: Tensor, operator: NonlinearPhotographOperator, iterations: int) -> Tensor:
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


def _improved(operator: NonlinearPhotographOperator, solution: Tensor, image: Tensor, mu: Tensor) -> Tensor:
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
