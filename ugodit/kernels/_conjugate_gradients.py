"""Conjugate gradients in plain torch, for operators that no kernel solves."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradients(
    normal: Callable[[Tensor], Tensor],
    rhs: Tensor,
    start: Tensor,
    system: tuple[int, ...],
    iterations: int,
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    """Solution of normal(x) = rhs, of rhs's shape, and the norm of each item's residual (B,).

    One system for each index that is not in `system`, the dimensions that a system extends over: (1, 2, 3) an item,
    (1, 3) an image row. A system stops where its residual's norm has fallen to `tolerance` of its right-hand side's.
    A system with NaN in it becomes NaN. Never waits for the device: what has stopped goes on with steps of zero.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim=system, keepdim=True)

    solution = start.clone(memory_format=torch.contiguous_format)  # never the caller's memory
    residual = rhs - normal(start)
    direction = residual
    energy = dot(residual, residual)
    target = tolerance**2 * dot(rhs, rhs)
    active = torch.ones_like(energy, dtype=torch.bool)
    for _ in range(iterations):
        applied = normal(direction)
        curvature = dot(direction, applied)
        active = active & ~(energy <= target) & ~(curvature <= 0)
        step = torch.where(active, energy / torch.where(active, curvature, 1.0), 0.0)
        solution = solution + step * direction
        residual = residual - step * applied
        renewed = torch.where(active, dot(residual, residual), energy)
        direction = residual + renewed / torch.where(active, energy, 1.0) * direction
        energy = renewed
    return solution.contiguous(), energy.sum(dim=(1, 2, 3)).sqrt()
