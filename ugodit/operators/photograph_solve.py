"""Solves (N + mu) x = b by conjugate gradients, differentiated as if they were solved to the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ugodit.kernels._conjugate_gradients import conjugate_gradients

Map = Callable[[Tensor], Tensor]


def solve(normal: Map, rhs: Tensor, start: Tensor, mu: Tensor, iterations: int) -> Tensor:
    """The solution x of N x + mu x = rhs, each item a system of its own.

    Args:
        normal: N, symmetric and without negative eigenvalues. It gets no derivative.
        rhs: (B, channels, rows, columns).
        start: of the same shape; gets no derivative.
        mu: (B, 1, 1, 1), 0 or more.
        iterations: steps at most. An item stops where its residual has fallen to rounding.
    """
    solution: Tensor = _Solve.apply(rhs, start.detach(), mu, normal, iterations)
    return solution


def steps(normal: Map, rhs: Tensor, start: Tensor, mu: Tensor, iterations: int) -> Tensor:
    """As `solve`, without derivatives."""
    tolerance = 8 * torch.finfo(rhs.dtype).eps  # what is left then are roundings of the sums
    return conjugate_gradients(lambda x: normal(x) + mu * x, rhs, start, (1, 2, 3), iterations, tolerance)[0]


def per_item(mu: Tensor | float, image: Tensor) -> Tensor:
    """mu, a number or (B,), as (B, 1, 1, 1) of the image's dtype, on its device."""
    if not isinstance(mu, Tensor):
        mu = torch.full((image.shape[0],), mu, dtype=image.dtype, device=image.device)
    return mu.to(image).expand(image.shape[0]).view(-1, 1, 1, 1)


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rhs: Tensor, start: Tensor, mu: Tensor, normal: Map, iterations: int) -> Tensor:
        solution = steps(normal, rhs, start, mu, iterations)
        ctx.save_for_backward(mu, solution)
        ctx.settings = normal, iterations
        return solution

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        mu, solution = ctx.saved_tensors
        normal, iterations = ctx.settings
        solved = steps(normal, gradients[0], torch.zeros_like(solution), mu, iterations)
        of_mu = -(solved * solution).sum((1, 2, 3), keepdim=True) if ctx.needs_input_grad[2] else None
        return solved, None, of_mu, None, None
