"""The kernels on CUDA: checks arguments, allocates outputs and hands raw pointers to ugodit.kernels._cuda.

_cuda_layout.py packs maps and k-space.

Nothing here allocates or waits outside torch, so that every op can be captured in a CUDA graph once pack_maps has been
called for its width and device. The row sums are added in a fixed order: the same input gives the same bits.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ugodit.kernels import _checks, _torch_ops
from ugodit.kernels._cuda_layout import LARGEST_WIDTH as LARGEST_WIDTH
from ugodit.kernels._cuda_layout import check_kspace, check_maps, extension, tables
from ugodit.kernels._cuda_layout import pack_kspace as pack_kspace
from ugodit.kernels._cuda_layout import pack_maps as pack_maps
from ugodit.kernels._cuda_layout import scale_kspace as scale_kspace
from ugodit.kernels._cuda_layout import stack_kspace as stack_kspace


def _plain(tensor: Tensor) -> Tensor:
    """The same values, contiguous in memory and without lazy negation, complex pairs at multiples of 8 bytes."""
    plain = tensor.resolve_neg().contiguous()
    return plain.clone() if plain.data_ptr() % 8 else plain  # a view from an odd element on


def current_stream(device: torch.device) -> int:
    """torch's current stream there, as an address; 0 on the CPU, where tests run the kernels."""
    return int(torch.cuda.current_stream(device).cuda_stream) if device.type == "cuda" else 0


def _problem(
    module: ModuleType, batch: int, height: int, width: int, coils: int, maps: Tensor, weights: Tensor, **wish: Any
) -> Any:
    """What every kernel is given, from checked and plain tensors. `wish`: launch settings, for tests and tuning."""
    device = weights.device
    return module.Problem(
        items=batch,
        coils=coils,
        rows=height,
        width=width,
        table=tables(module, width, device)[0].data_ptr(),
        maps=maps.data_ptr(),
        half=maps.dim() == 4,
        one_map=maps.shape[0] == 1,
        weights=weights.data_ptr(),
        one_weight=weights.shape[0] == 1,
        device=device.index or 0,
        stream=current_stream(device),
        **wish,
    )


def sense_residual(
    image: Tensor,
    maps: Tensor,
    kspace: Tensor | None,
    weights: Tensor,
    coils: int,
    *,
    module: ModuleType | None = None,
    **wish: Any,
) -> tuple[Tensor, Tensor]:
    _checks.devices("image", image=image, maps=maps, weights=weights, kspace=kspace)
    if maps.dim() >= 6:
        return _torch_ops.sense_residual(image, maps, kspace, weights, coils)
    batch, height, width, module = _begin("image", image, maps, weights, coils, module)
    image, maps, weights = _plain(image), _plain(maps), _plain(weights)
    lines = 0
    if kspace is not None:
        lines = check_kspace(kspace, batch, height, width, coils)
        kspace = _plain(kspace)
    row_loss = torch.empty((batch, height), dtype=torch.float64, device=image.device)
    gradient = torch.empty_like(image)  # contiguous, as the image is now
    module.sense_residual(
        _problem(module, batch, height, width, coils, maps, weights, **wish),
        image.data_ptr(),
        0 if kspace is None else kspace.data_ptr(),
        0 if kspace is None or kspace.shape[0] == 1 else kspace.shape[1],
        lines,
        row_loss.data_ptr(),
        gradient.data_ptr(),
    )
    return row_loss.sum(dim=1).to(torch.float32), gradient


def sense_forward(
    image: Tensor, maps: Tensor, weights: Tensor, coils: int, *, module: ModuleType | None = None, **wish: Any
) -> Tensor:
    _checks.devices("image", image=image, maps=maps, weights=weights)
    if maps.dim() >= 6:
        return _torch_ops.sense_forward(image, maps, weights, coils)
    batch, height, width, module = _begin("image", image, maps, weights, coils, module)
    image, maps, weights = _plain(image), _plain(maps), _plain(weights)
    kspace = torch.empty((batch, coils, height, width, 2), dtype=torch.float32, device=image.device)
    problem = _problem(module, batch, height, width, coils, maps, weights, **wish)
    module.sense_forward(problem, image.data_ptr(), kspace.data_ptr())
    return kspace


def sense_adjoint(
    kspace: Tensor, maps: Tensor, weights: Tensor, coils: int, *, module: ModuleType | None = None, **wish: Any
) -> Tensor:
    _checks.devices("kspace", kspace=kspace, maps=maps, weights=weights)
    batch, given, height, width = _checks.coil_array("kspace", kspace, torch.float32)
    _checks.coils(coils)
    if given != coils:
        raise ValueError(f"kspace: expected {coils} coils, got {given}")
    if maps.dim() >= 6:
        return _torch_ops.sense_adjoint(kspace, maps, weights, coils)
    module = _require(module)
    _check_weights(weights, batch, height, width)
    check_maps(maps, batch, height, width, coils)
    kspace, maps, weights = _plain(kspace), _plain(maps), _plain(weights)
    image = torch.empty((batch, 2, height, width), dtype=torch.float32, device=kspace.device)
    problem = _problem(module, batch, height, width, coils, maps, weights, **wish)
    module.sense_adjoint(problem, kspace.data_ptr(), image.data_ptr())
    return image


def sense_solve(
    rhs: Tensor,
    start: Tensor,
    maps: Tensor,
    weights: Tensor,
    mu: Tensor,
    coils: int,
    iterations: int,
    tolerance: float,
    *,
    module: ModuleType | None = None,
    **wish: Any,
) -> tuple[Tensor, Tensor]:
    _checks.devices("rhs", rhs=rhs, start=start, maps=maps, weights=weights, mu=mu)
    batch, height, width = _checks.image("rhs", rhs)
    if _checks.image("start", start) != (batch, height, width):
        raise ValueError(f"start: expected the shape of rhs, {tuple(rhs.shape)}, got {tuple(start.shape)}")
    _checks.solver(mu, batch, iterations, tolerance)
    if maps.dim() >= 6:
        return _torch_ops.sense_solve(rhs, start, maps, weights, mu, coils, iterations, tolerance)
    batch, height, width, module = _begin("rhs", rhs, maps, weights, coils, module)
    rhs, start, maps, weights, mu = _plain(rhs), _plain(start), _plain(maps), _plain(weights), _plain(mu)
    solution = torch.empty_like(rhs)
    row_energy = torch.empty((batch, height), dtype=torch.float64, device=rhs.device)
    module.sense_solve(
        _problem(module, batch, height, width, coils, maps, weights, **wish),
        rhs.data_ptr(),
        start.data_ptr(),
        mu.data_ptr(),
        iterations,
        tolerance,
        solution.data_ptr(),
        row_energy.data_ptr(),
    )
    return solution, row_energy.sum(dim=1).sqrt().to(torch.float32)


def _require(module: ModuleType | None) -> ModuleType:
    found = module or extension()
    if found is None:
        raise RuntimeError("ugodit was built without CUDA kernels, but the maps were packed for them: pack them again")
    return found


def _check_weights(weights: Tensor, batch: int, height: int, width: int) -> None:
    if _checks.weights(weights, batch, height, width):
        raise ValueError(
            f"weights: expected shape ({batch} or 1, {width}), as the maps were packed for masks along the width, "
            f"got {tuple(weights.shape)}"
        )


def _begin(
    name: str, image: Tensor, maps: Tensor, weights: Tensor, coils: int, module: ModuleType | None
) -> tuple[int, int, int, ModuleType]:
    """Checks what every kernel on an image takes; returns B, H, W and the compiled module."""
    batch, height, width = _checks.image(name, image)
    _checks.coils(coils)
    _check_weights(weights, batch, height, width)
    check_maps(maps, batch, height, width, coils)
    return batch, height, width, _require(module)


torch.library.impl("ugodit::sense_residual", "CUDA", sense_residual)
torch.library.impl("ugodit::sense_forward", "CUDA", sense_forward)
torch.library.impl("ugodit::sense_adjoint", "CUDA", sense_adjoint)
torch.library.impl("ugodit::sense_solve", "CUDA", sense_solve)
