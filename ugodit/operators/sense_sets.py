"""The operations of `ugodit.kernels` for more than one set of maps: A x = M F sum_s S_s x_s.

An object larger than the field of view folds over itself: two tissues share a pixel, each seen by the coils in its own
way, and one map a coil cannot tell them apart. ESPIRiT then finds a second set (Uecker et al., Magn. Reson. Med.
71:990-1001, 2014: "soft SENSE"). An image has two channels for each set, (B, 2 sets, H, W).

The functions have the names and arguments of `ugodit.kernels`; the compiled kernels do the work of each set, and what
the sets share, the measurements, is summed here. Packed maps have the sets of an item one after another on their first
axis, (B sets, ...); k-space is real (B, C, H, W, 2), in hybrid space for weights (B, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ugodit import kernels
from ugodit.kernels._conjugate_gradients import conjugate_gradients


def pack_maps(maps: Tensor, masked_along: str = "width") -> Tensor:
    """complex64 maps (B, sets, C, H, W), packed set by set."""
    return kernels.pack_maps(maps.flatten(0, 1).contiguous(), masked_along)


def pack_kspace(kspace: Tensor, masked_along: str = "width") -> Tensor:
    """complex64 k-space (B, C, H, W) as real (B, C, H, W, 2)."""
    return torch.view_as_real(kspace.resolve_conj().contiguous())


def scale_kspace(kspace: Tensor, factor: float, shape: tuple[int, int, int]) -> Tensor:
    """`factor` times the k-space."""
    return factor * kspace


def stack_kspace(kspaces: Sequence[Tensor], shape: tuple[int, int, int]) -> Tensor:
    """The items of several, in order."""
    return torch.cat(list(kspaces))


def sense_forward(image: Tensor, maps: Tensor, weights: Tensor, coils: int) -> Tensor:
    """F sum_s S_s x_s, (B, C, H, W, 2): zero where a weight is zero."""
    sets = image.shape[1] // 2
    each = kernels.sense_forward(_items(image), maps, _repeated(weights, sets), coils)
    return each.unflatten(0, (-1, sets)).sum(1)


def sense_adjoint(kspace: Tensor, maps: Tensor, weights: Tensor, coils: int) -> Tensor:
    """S_s^H F^H (weights . k) of every set, (B, 2 sets, H, W)."""
    sets = maps.shape[0] // kspace.shape[0]
    each = kernels.sense_adjoint(kspace.repeat_interleave(sets, 0), maps, _repeated(weights, sets), coils)
    return each.unflatten(0, (-1, sets)).flatten(1, 2)


def sense_residual(
    image: Tensor, maps: Tensor, kspace: Tensor | None, weights: Tensor, coils: int
) -> tuple[Tensor, Tensor]:
    """sum weights |A x - y|^2 of each item (B,), summed in double precision, and A^H W (A x - y) (B, 2 sets, H, W)."""
    residual = sense_forward(image, maps, weights, coils)
    shaped = _per_sample(weights)
    if kspace is not None:
        residual = residual - torch.where(shaped != 0, kspace, 0)
    loss = (shaped * residual.double().square()).sum((1, 2, 3, 4)).to(image.dtype)
    return loss, sense_adjoint(residual, maps, weights, coils)


def sense_solve(
    rhs: Tensor,
    start: Tensor,
    maps: Tensor,
    weights: Tensor,
    mu: Tensor,
    coils: int,
    iterations: int,
    tolerance: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Conjugate gradients on (A^H W A + mu I) x = rhs over all sets at once; derivatives as in `kernels`."""
    solved: tuple[Tensor, Tensor] = _Solve.apply(rhs, start.detach(), maps, weights, mu, coils, iterations, tolerance)
    return solved


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rhs: Tensor,
        start: Tensor,
        maps: Tensor,
        weights: Tensor,
        mu: Tensor,
        coils: int,
        iterations: int,
        tolerance: float,
    ) -> tuple[Tensor, Tensor]:
        solution, norm = _solve(rhs, start, maps, weights, mu, coils, iterations, tolerance)
        ctx.save_for_backward(maps, weights, mu, solution)
        ctx.settings = coils, iterations, tolerance
        ctx.mark_non_differentiable(norm)
        return solution, norm

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        maps, weights, mu, solution = ctx.saved_tensors
        start = torch.zeros_like(solution)
        solved = _solve(gradients[0], start, maps, weights, mu, *ctx.settings)[0]
        of_mu = -(solved * solution).sum((1, 2, 3)) if ctx.needs_input_grad[4] else None
        return solved, None, None, None, of_mu, None, None, None


def _solve(
    rhs: Tensor,
    start: Tensor,
    maps: Tensor,
    weights: Tensor,
    mu: Tensor,
    coils: int,
    iterations: int,
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    """As the kernels do it: with weights (B, W) each image row is a system of its own, with (B, H, W) each item is."""

    def normal(x: Tensor) -> Tensor:
        return sense_residual(x, maps, None, weights, coils)[1] + mu[:, None, None, None] * x

    return conjugate_gradients(normal, rhs, start, (1, 3) if weights.ndim == 2 else (1, 2, 3), iterations, tolerance)


def _items(image: Tensor) -> Tensor:
    """(B, 2 sets, H, W) as (B sets, 2, H, W)."""
    return image.unflatten(1, (-1, 2)).flatten(0, 1)


def _repeated(weights: Tensor, sets: int) -> Tensor:
    return weights if weights.shape[0] == 1 else weights.repeat_interleave(sets, 0)


def _per_sample(weights: Tensor) -> Tensor:
    """To multiply (B, C, H, W, 2)."""
    return weights[:, None, None, :, None] if weights.ndim == 2 else weights[:, None, :, :, None]
