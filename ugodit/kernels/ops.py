"""The SENSE operations as torch.library ops: one opaque node each for torch.compile, differentiable, the same on every
device.

Device by device: the CPU's implementations are in _cpu_ops.py, CUDA's in _cuda_ops.py; each registers itself for its
dispatch key, and packs maps and k-space in a layout of its own. Shapes: B items, C coils, H readout rows, W
phase-encode columns. Images are real (B, 2, H, W), channels real and imaginary. `maps` and `kspace` are what pack_maps
and pack_kspace returned; maps, kspace and weights may have a leading size of 1 against B images.

With F unitary and centred (fastMRI's definition), S the maps and
    loss = sum weights |F S x - y|^2,        A^H W A = S^H F^H diag(weights) F S:
weights (B or 1, W) make F the transform along W alone (hybrid space: y is k-space after a centred unitary inverse FFT
along the readout), weights (B or 1, H, W) make it the transform along both axes. A weight of 0 means not measured.

Every function raises TypeError for a wrong type or dtype, ValueError for a wrong shape, device or range, and where
maps, k-space of sense_residual or weights require a gradient: there is none for them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ugodit.kernels import _checks

torch.library.define(
    "ugodit::sense_residual",
    "(Tensor image, Tensor maps, Tensor? kspace, Tensor weights, int coils) -> (Tensor, Tensor)",
)
torch.library.define("ugodit::sense_forward", "(Tensor image, Tensor maps, Tensor weights, int coils) -> Tensor")
torch.library.define("ugodit::sense_adjoint", "(Tensor kspace, Tensor maps, Tensor weights, int coils) -> Tensor")
torch.library.define(
    "ugodit::sense_solve",
    "(Tensor rhs, Tensor start, Tensor maps, Tensor weights, Tensor mu, int coils, int iterations, float tolerance)"
    " -> (Tensor, Tensor)",
)


def sense_residual(
    image: Tensor, maps: Tensor, kspace: Tensor | None, weights: Tensor, coils: int
) -> tuple[Tensor, Tensor]:
    """Loss of each item, (B,), and g = S^H F^H weights (F S x - y), (B, 2, H, W): the loss's gradient is 2 g.

    kspace None means zeros: g is then A^H W A x. Where a weight is zero the k-space may hold anything finite. The loss
    is summed in double precision in a fixed order: any number of threads gives the same bits. Differentiable in image.
    """
    _checks.floats(image=image, maps=maps, weights=weights)
    if kspace is not None:
        _checks.floats(kspace=kspace)
    _checks.constants(maps=maps, weights=weights, kspace=kspace)
    _checks.coils(coils)
    return torch.ops.ugodit.sense_residual(image, maps, kspace, weights, coils)


def sense_forward(image: Tensor, maps: Tensor, weights: Tensor, coils: int) -> Tensor:
    """F S x, (B, C, H, W, 2) in centred order: zero where a weight is zero, not multiplied by the others.

    Differentiable in image.
    """
    _checks.floats(image=image, maps=maps, weights=weights)
    _checks.constants(maps=maps, weights=weights)
    _checks.coils(coils)
    return torch.ops.ugodit.sense_forward(image, maps, weights, coils)


def sense_adjoint(kspace: Tensor, maps: Tensor, weights: Tensor, coils: int) -> Tensor:
    """S^H F^H (weights . k) for k (B, C, H, W, 2) in centred order: an image (B, 2, H, W). Differentiable in kspace."""
    _checks.floats(kspace=kspace, maps=maps, weights=weights)
    _checks.constants(maps=maps, weights=weights)
    _checks.coils(coils)
    return torch.ops.ugodit.sense_adjoint(kspace, maps, weights, coils)


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
    """Conjugate gradients on (A^H W A + mu I) x = rhs from `start`: the solution and each item's residual norm (B,).

    With weights (B, W) the system falls apart into one for each image row: rows have step sizes of their own, and each
    stops once ||r|| <= tolerance ||rhs||. With weights (B, H, W) the same holds for items. mu: (B,), not negative.

    Differentiable in rhs and mu, not in start: the backward is the same solve from zero, d x / d mu = -solve(x).
    That is exact where the iterations converge; stopped early the solve depends on rhs nonlinearly, and this is an
    approximation of its gradient.

    NaN in rhs, start or the maps makes NaN of the rows (or items) that it is in, and so does a mu that is not finite.
    """
    _checks.floats(rhs=rhs, start=start, maps=maps, weights=weights, mu=mu)
    _checks.constants(maps=maps, weights=weights)
    _checks.coils(coils)
    _checks.steps(iterations, tolerance)
    return torch.ops.ugodit.sense_solve(rhs, start, maps, weights, mu, coils, iterations, tolerance)


def pack_maps(maps: Tensor, masked_along: str = "width", *, half: bool = False) -> Tensor:
    """Sensitivity maps, complex64 (B, C, H, W), in the layout that the kernels of their device read.

    masked_along: "width" for weights (B, W), "both" for weights (B, H, W). half: on CUDA, for masks along the width
    only, each map stored as two float16 numbers, with float32 arithmetic: half the maps' memory and traffic, for a
    relative rounding of at most 2^-11 of each (3e-4 of the operator's norm or less; ValueError elsewhere).
    """
    both = _checks.masked_along(masked_along)
    _checks.coil_array("maps", maps)
    _checks.constants(maps=maps)
    return _device_ops(maps).pack_maps(maps.detach(), both, half=half)


def pack_kspace(kspace: Tensor, masked_along: str = "width") -> Tensor:
    """K-space, complex64 (B, C, H, W) in centred order: in hybrid space for "width", full k-space for "both"."""
    both = _checks.masked_along(masked_along)
    _checks.coil_array("kspace", kspace)
    _checks.constants(kspace=kspace)
    return _device_ops(kspace).pack_kspace(kspace.detach(), both)


def scale_kspace(kspace: Tensor, factor: float, shape: tuple[int, int, int]) -> Tensor:
    """What pack_kspace makes of `factor` times the k-space; shape: (C, H, W) of what was packed."""
    _checks.tensor("kspace", kspace, torch.float32)
    return _device_ops(kspace).scale_kspace(kspace, factor, shape)


def stack_kspace(kspaces: Sequence[Tensor], shape: tuple[int, int, int]) -> Tensor:
    """The items of several packed k-spaces of one (C, H, W) and kind of mask, as if they had been packed at once."""
    for kspace in kspaces:
        _checks.tensor("kspace", kspace, torch.float32)
    if len({(kspace.dim(), kspace.device) for kspace in kspaces}) != 1:
        raise ValueError("kspaces: expected at least one, all on one device and packed for one kind of mask")
    return _device_ops(kspaces[0]).stack_kspace(kspaces, shape)


def _device_ops(tensor: Tensor):  # type: ignore[no-untyped-def]  # a module
    if tensor.device.type == "cpu":
        from ugodit.kernels import _cpu_ops

        return _cpu_ops
    if tensor.device.type == "cuda":
        from ugodit.kernels import _cuda_ops

        return _cuda_ops
    raise ValueError(f"expected a tensor on the CPU or a CUDA device, got one on {tensor.device}")


# ---- shapes for torch.compile --------------------------------------------------------------------------------------


@torch.library.register_fake("ugodit::sense_residual")
def _(image: Tensor, maps: Tensor, kspace: Tensor | None, weights: Tensor, coils: int) -> tuple[Tensor, Tensor]:
    _checks.devices("image", image=image, maps=maps, weights=weights, kspace=kspace)
    return image.new_empty(image.shape[0]), image.new_empty(image.shape)


@torch.library.register_fake("ugodit::sense_forward")
def _(image: Tensor, maps: Tensor, weights: Tensor, coils: int) -> Tensor:
    _checks.devices("image", image=image, maps=maps, weights=weights)
    batch, _, height, width = image.shape
    return image.new_empty((batch, coils, height, width, 2))


@torch.library.register_fake("ugodit::sense_adjoint")
def _(kspace: Tensor, maps: Tensor, weights: Tensor, coils: int) -> Tensor:
    _checks.devices("kspace", kspace=kspace, maps=maps, weights=weights)
    batch, _, height, width, _ = kspace.shape
    return kspace.new_empty((batch, 2, height, width))


@torch.library.register_fake("ugodit::sense_solve")
def _(
    rhs: Tensor,
    start: Tensor,
    maps: Tensor,
    weights: Tensor,
    mu: Tensor,
    coils: int,
    iterations: int,
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    _checks.devices("rhs", rhs=rhs, start=start, maps=maps, weights=weights, mu=mu)
    return rhs.new_empty(rhs.shape), rhs.new_empty(rhs.shape[0])


# ---- derivatives ---------------------------------------------------------------------------------------------------


def _per_item(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _save_residual(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]  # torch's own context
    _, maps, _, weights, ctx.coils = inputs
    ctx.save_for_backward(maps, weights, output[1])
    ctx.set_materialize_grads(False)


def _residual_backward(ctx, loss_gradient, gradient_gradient):  # type: ignore[no-untyped-def]
    maps, weights, gradient = ctx.saved_tensors
    total = None
    if loss_gradient is not None:
        total = _per_item(2 * loss_gradient) * gradient
    if gradient_gradient is not None:
        # g is affine in the image and A^H W A is its own adjoint.
        applied = torch.ops.ugodit.sense_residual(gradient_gradient, maps, None, weights, ctx.coils)[1]
        total = applied if total is None else total + applied
    return total, None, None, None, None


def _save_forward(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    _, maps, weights, ctx.coils = inputs
    ctx.save_for_backward(maps, weights)


def _forward_backward(ctx, gradient):  # type: ignore[no-untyped-def]
    maps, weights = ctx.saved_tensors
    measured = (weights != 0).to(weights.dtype)
    return torch.ops.ugodit.sense_adjoint(gradient, maps, measured, ctx.coils), None, None, None


def _adjoint_backward(ctx, gradient):  # type: ignore[no-untyped-def]
    maps, weights = ctx.saved_tensors
    shaped = weights[:, None, None, :, None] if weights.dim() == 2 else weights[:, None, :, :, None]
    return shaped * torch.ops.ugodit.sense_forward(gradient, maps, weights, ctx.coils), None, None, None


def _save_solve(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    _, _, maps, weights, mu, *ctx.settings = inputs
    solution, residual_norm = output
    ctx.mark_non_differentiable(residual_norm)
    ctx.save_for_backward(maps, weights, mu, solution)


def _solve_backward(ctx, gradient, _):  # type: ignore[no-untyped-def]
    maps, weights, mu, solution = ctx.saved_tensors
    start = torch.zeros_like(gradient)
    solved = torch.ops.ugodit.sense_solve(gradient, start, maps, weights, mu, *ctx.settings)[0]
    mu_gradient = -(solved * solution).sum(dim=(1, 2, 3)) if ctx.needs_input_grad[4] else None
    return solved, None, None, None, mu_gradient, None, None, None


torch.library.register_autograd("ugodit::sense_residual", _residual_backward, setup_context=_save_residual)
torch.library.register_autograd("ugodit::sense_forward", _forward_backward, setup_context=_save_forward)
torch.library.register_autograd("ugodit::sense_adjoint", _adjoint_backward, setup_context=_save_forward)
torch.library.register_autograd("ugodit::sense_solve", _solve_backward, setup_context=_save_solve)
