"""The kernels on CUDA: checks arguments, allocates outputs and hands raw pointers to ugodit.kernels._cuda.

Packed layouts (csrc/cuda/row.h), W at most LARGEST_WIDTH:
    maps     (B, H, C, W, 2) float32 in the order of the transform's positions, divided by sqrt(W); with half=True
             (B, H, C, W) float32 words that hold two halves each, arithmetic stays in float32
    kspace   (B, words): the slot of the line at each of W positions (-1: a line of zeros, which is not stored), one
             unused word if W is odd, then (H, C, lines, 2)
Masks along both axes, wider images, and builds without _cuda go through torch.fft: _torch_ops.py, and its
layouts, which have a second axis of length 1 and at least six axes.

Nothing here allocates or waits outside torch, so that every op can be captured in a CUDA graph once pack_maps has been
called for its width and device. The row sums are added in a fixed order: the same input gives the same bits.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ugodit.kernels import _checks, _torch_ops

LARGEST_WIDTH = 1024


@lru_cache(maxsize=1)
def extension() -> ModuleType | None:
    """ugodit.kernels._cuda, or None where the package was built without it. Imported only where a GPU is."""
    try:
        from ugodit.kernels import _cuda
    except ImportError:
        return None
    return _cuda


# Never dropped: kernels that are queued, and captured graphs, hold the table's address.
@cache
def _tables(module: ModuleType, width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The kernels' table for a width, and the centred sample and frequency at every position, on the device."""
    table, sample, frequency = module.tables(width)
    # Never empty, so that data_ptr() is an address.
    words = torch.frombuffer(bytearray(table), dtype=torch.int32).to(device)
    return words, torch.tensor(sample, device=device), torch.tensor(frequency, device=device)


def _is_fused(module: ModuleType | None, width: int, both: bool) -> bool:
    return module is not None and not both and width <= LARGEST_WIDTH


def pack_maps(maps: Tensor, both: bool, *, half: bool = False, module: ModuleType | None = None) -> Tensor:
    """Complex (B, C, H, W) maps, in the layout above. half: rounded to pairs of float16 (a relative 2^-11 each)."""
    module = module or extension()
    batch, coils, height, width = maps.shape
    if module is None or not _is_fused(module, width, both):
        if half:
            raise ValueError(
                f"half: expected False where the fused CUDA kernels do not run (masks along both axes, more than "
                f"{LARGEST_WIDTH} columns, built without them), got True"
            )
        return _torch_ops.pack_maps(maps, both)
    _, sample, _ = _tables(module, width, maps.device)
    ordered = torch.view_as_real(maps.resolve_conj()[..., sample].transpose(1, 2) * width**-0.5)
    if half:
        return ordered.to(torch.float16).contiguous().view(torch.float32).reshape(batch, height, coils, width)
    return ordered.contiguous()


def pack_kspace(kspace: Tensor, both: bool, *, module: ModuleType | None = None) -> Tensor:
    """Complex (B, C, H, W) k-space, in the layout above. Waits for the device: the shape depends on the lines."""
    module = module or extension()
    batch, _, _, width = kspace.shape
    if module is None or not _is_fused(module, width, both):
        return _torch_ops.pack_kspace(kspace, both)
    _, _, frequency = _tables(module, width, kspace.device)
    ordered = kspace.resolve_conj()[..., frequency].transpose(1, 2)  # (B, H, C, W)
    kept = (ordered != 0).flatten(1, 2).any(dim=1)  # (B, W)
    lines = int(kept.sum(dim=1).max())
    slots = torch.where(kept, kept.cumsum(dim=1) - 1, -1).to(torch.float32)
    first = kept.logical_not().to(torch.int8).argsort(dim=1, stable=True)[:, :lines]
    stored = torch.view_as_real(ordered.take_along_dim(first[:, None, None, :], dim=3).contiguous())
    unused = slots.new_zeros((batch, width % 2))
    return torch.cat([slots, unused, stored.flatten(1)], dim=1)


def _head(width: int) -> int:
    """The words before the lines of packed k-space."""
    return width + width % 2


def scale_kspace(kspace: Tensor, factor: float, shape: tuple[int, int, int]) -> Tensor:
    if kspace.dim() != 2:  # _torch_ops' layout
        return kspace * factor
    head = _head(shape[2])
    return torch.cat([kspace[:, :head], kspace[:, head:] * factor], dim=1)


def stack_kspace(kspaces: Sequence[Tensor], shape: tuple[int, int, int]) -> Tensor:
    """Items with fewer lines than the most get lines of zeros that no slot points to."""
    if kspaces[0].dim() != 2:
        return torch.cat(list(kspaces))
    coils, height, width = shape
    head = _head(width)
    lines = [_check_kspace(kspace, kspace.shape[0], height, width, coils) for kspace in kspaces]
    padded = []
    for kspace, stored in zip(kspaces, lines, strict=True):
        body = kspace[:, head:].reshape(kspace.shape[0], height * coils, stored, 2)
        body = torch.nn.functional.pad(body, (0, 0, 0, max(lines) - stored))
        padded.append(torch.cat([kspace[:, :head], body.flatten(1)], dim=1))
    return torch.cat(padded)


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
        table=_tables(module, width, device)[0].data_ptr(),
        maps=maps.data_ptr(),
        half=maps.dim() == 4,
        one_map=maps.shape[0] == 1,
        weights=weights.data_ptr(),
        one_weight=weights.shape[0] == 1,
        device=device.index or 0,
        stream=current_stream(device),
        **wish,
    )


def _check_maps(maps: Tensor, batch: int, height: int, width: int, coils: int) -> None:
    half = maps.dim() == 4
    _checks.packed("maps", maps, batch, (height, coils, width) + (() if half else (2,)))


def _check_kspace(kspace: Tensor, batch: int, height: int, width: int, coils: int) -> int:
    """Returns the number of lines stored for each coil."""
    head = _head(width)
    words = kspace.shape[-1] - head
    lines = max(words // (2 * coils * height), 0)
    _checks.packed("kspace", kspace, batch, (head + 2 * coils * height * lines,))
    return lines


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
    if maps.dim() >= 6:
        return _torch_ops.sense_residual(image, maps, kspace, weights, coils)
    batch, height, width, module = _begin("image", image, maps, weights, coils, module)
    image, maps, weights = _plain(image), _plain(maps), _plain(weights)
    lines = 0
    if kspace is not None:
        lines = _check_kspace(kspace, batch, height, width, coils)
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
    batch, given, height, width = _checks.coil_array("kspace", kspace, torch.float32)
    _checks.coils(coils)
    if given != coils:
        raise ValueError(f"kspace: expected {coils} coils, got {given}")
    if maps.dim() >= 6:
        return _torch_ops.sense_adjoint(kspace, maps, weights, coils)
    module = _require(module)
    _check_weights(weights, batch, height, width)
    _check_maps(maps, batch, height, width, coils)
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
    _check_maps(maps, batch, height, width, coils)
    return batch, height, width, _require(module)


torch.library.impl("ugodit::sense_residual", "CUDA", sense_residual)
torch.library.impl("ugodit::sense_forward", "CUDA", sense_forward)
torch.library.impl("ugodit::sense_adjoint", "CUDA", sense_adjoint)
torch.library.impl("ugodit::sense_solve", "CUDA", sense_solve)
