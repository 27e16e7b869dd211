"""The point-wise step of ESPIRiT, compiled, on the device of the maps. Calibration runs once a scan and outside any
compiled graph or gradient, so this is a plain function and not a torch.library operator."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ugodit.kernels import _cpu, _cuda_ops
from ugodit.kernels._arrays import array, plain


def runs_on(device: torch.device) -> bool:
    """Whether `espirit_maps_` runs on this device: the CPU, and CUDA where ugodit.kernels._cuda was built."""
    return device.type == "cpu" or (device.type == "cuda" and _cuda_ops.extension() is not None)


def espirit_maps_(
    maps: Tensor,
    eigenvalues: Tensor,
    correlations: Tensor,
    reference: Tensor,
    crop: float,
    *,
    soft: bool = False,
    module: ModuleType | None = None,
    **wish: Any,
) -> None:
    """Fills maps and eigenvalues with the dominant eigenpairs of ESPIRiT's operator at every pixel.

    maps: complex64 (sets, C, H, W), contiguous, on a device of which `runs_on` is true; on CUDA the work is queued on
    the current stream. eigenvalues: float32 (sets, H, W), contiguous, on the same device. correlations: complex
    (2 R + 1, 2 R + 1, C, C), on any device: the operator's Fourier coefficients, csrc/espirit/arguments.h. reference:
    complex (C,), on any device: the maps' projection on it is real and positive. crop: where the eigenvalue is not
    above it the maps are 0; soft: the smooth weights of BART's ecalib -S instead. On the CPU the result does not depend
    on the number of threads (torch.get_num_threads()). module, wish: for tests, another build of the CUDA kernels, and
    how they are launched (`_cuda.EspiritProblem`).
    """
    sets, coils, rows, columns = maps.shape
    terms, device = correlations.shape[0], maps.device
    if maps.dtype != torch.complex64 or not runs_on(device) or not _is_plain(maps) or maps.numel() == 0:
        raise ValueError(
            f"maps: expected contiguous complex64 on the CPU or CUDA, none of its axes 0, got {maps.dtype} "
            f"{tuple(maps.shape)} on {device}"
        )
    if (
        eigenvalues.dtype != torch.float32
        or eigenvalues.device != device
        or not _is_plain(eigenvalues)
        or eigenvalues.shape != (sets, rows, columns)
    ):
        raise ValueError(
            f"eigenvalues: expected contiguous float32 {(sets, rows, columns)} on {device}, "
            f"got {eigenvalues.dtype} {tuple(eigenvalues.shape)} on {eigenvalues.device}"
        )
    if correlations.shape != (terms, terms, coils, coils) or terms % 2 == 0 or reference.shape != (coils,):
        raise ValueError(
            f"correlations: expected (2 R + 1, 2 R + 1, {coils}, {coils}), got {tuple(correlations.shape)}"
        )
    if not 1 <= sets <= coils:
        raise ValueError(f"sets: expected 1 to {coils}, got {sets}")
    # (row, column) index pairs of the lower triangle, column by column
    columns_first = torch.triu_indices(coils, coils, device=correlations.device).flip(0)
    packed = correlations[:, :, columns_first[0], columns_first[1]]
    cosines_sines = torch.view_as_real(_waves(columns, terms)[:, terms // 2 + 1 :]).permute(1, 2, 0)
    arrays = {
        "correlations": plain(packed.to(device, torch.complex64)),
        "row_phases": plain(_waves(rows, terms).to(device, torch.complex64)),
        "waves": plain(cosines_sines.to(device, torch.float32)),
        "reference": plain(reference.to(device, torch.complex64)),
        "maps": maps,
        "eigenvalues": eigenvalues,
    }
    sizes = {"coils": coils, "rows": rows, "columns": columns, "reach": terms // 2, "sets": sets}
    if device.type == "cpu" and module is None:
        threads = torch.get_num_threads()
        problem = _cpu.EspiritProblem(**sizes, crop=crop, soft=soft, threads=threads)
        _cpu.espirit_maps(problem, **{name: array(tensor) for name, tensor in arrays.items()})
        return
    module = module or _cuda_ops.extension()
    assert module is not None
    stream = _cuda_ops.current_stream(device)
    problem = module.EspiritProblem(**sizes, crop=crop, soft=soft, device=device.index or 0, stream=stream, **wish)
    workspace = torch.empty(problem.workspace_floats, device=device)
    if device.type == "cpu":
        workspace.fill_(torch.nan)  # nothing may rely on what memory held before
    addresses = {name: tensor.data_ptr() for name, tensor in arrays.items()}
    module.espirit_maps(problem, **addresses, workspace=workspace.data_ptr())


def _is_plain(tensor: Tensor) -> bool:
    """Whether what a kernel writes into the tensor's memory is what it holds then."""
    return tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg()


def _waves(length: int, terms: int) -> Tensor:
    """exp(2 pi i (u - terms // 2) (n - length // 2) / length), complex128 (length, terms)."""
    positions = torch.arange(length, dtype=torch.float64) - length // 2
    offsets = torch.arange(terms, dtype=torch.float64) - terms // 2
    angles = 2 * torch.pi * positions[:, None] * offsets / length
    return torch.polar(torch.ones_like(angles), angles)
