"""How maps and k-space are packed for the CUDA kernels (csrc/cuda/row.h), W at most LARGEST_WIDTH:

    maps     (B, H, C, W, 2) float32 in the order of the transform's positions, divided by sqrt(W); with half=True
             (B, H, C, W) float32 words that hold two halves each, arithmetic stays in float32
    kspace   (B, words): the slot of the line at each of W positions (-1: a line of zeros, which is not stored), one
             unused word if W is odd, then (H, C, lines, 2)

Masks along both axes, wider images, and builds without _cuda go through torch.fft: _torch_ops.py, with its layouts,
which have a second axis of length 1 and at least six axes.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from types import ModuleType

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
def tables(module: ModuleType, width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
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
    _, sample, _ = tables(module, width, maps.device)
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
    _, _, frequency = tables(module, width, kspace.device)
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
    lines = [check_kspace(kspace, kspace.shape[0], height, width, coils) for kspace in kspaces]
    padded = []
    for kspace, stored in zip(kspaces, lines, strict=True):
        body = kspace[:, head:].reshape(kspace.shape[0], height * coils, stored, 2)
        body = torch.nn.functional.pad(body, (0, 0, 0, max(lines) - stored))
        padded.append(torch.cat([kspace[:, :head], body.flatten(1)], dim=1))
    return torch.cat(padded)


def check_maps(maps: Tensor, batch: int, height: int, width: int, coils: int) -> None:
    """Refuses what pack_maps did not make for this size."""
    half = maps.dim() == 4
    _checks.packed("maps", maps, batch, (height, coils, width) + (() if half else (2,)))


def check_kspace(kspace: Tensor, batch: int, height: int, width: int, coils: int) -> int:
    """Returns the number of lines stored for each coil."""
    head = _head(width)
    words = kspace.shape[-1] - head
    lines = max(words // (2 * coils * height), 0)
    _checks.packed("kspace", kspace, batch, (head + 2 * coils * height * lines,))
    return lines
