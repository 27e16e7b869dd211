"""The point-wise step of ESPIRiT, compiled. Calibration runs once a scan and outside any compiled graph or gradient,
so this is a plain function and not a torch.library operator."""

from __future__ import annotations

import torch
from torch import Tensor

from ugodit import _cpu


def espirit_maps_(
    maps: Tensor,
    eigenvalues: Tensor,
    correlations: Tensor,
    reference: Tensor,
    crop: float,
    *,
    soft: bool = False,
    blocks: tuple[int, int, bool] | None = None,
) -> None:
    """Fills maps and eigenvalues with the dominant eigenpairs of ESPIRiT's operator at every pixel.

    maps: complex64 (sets, C, H, W), contiguous, on the CPU. eigenvalues: float32 (sets, H, W), contiguous.
    correlations: complex (2 R + 1, 2 R + 1, C, C): the operator's Fourier coefficients, csrc/espirit/arguments.h.
    reference: complex (C,): the maps' projection on it is real and positive. crop: where the eigenvalue is not above
    it the maps are 0; soft: the smooth weights of BART's ecalib -S instead. The result does not depend on the number of
    threads (torch.get_num_threads()). blocks: for tests, the GPU's kernel on the host instead, with (blocks, threads a
    block, whether they take their turns backwards).
    """
    sets, coils, rows, columns = maps.shape
    terms = correlations.shape[0]
    if maps.dtype != torch.complex64 or maps.device.type != "cpu" or not maps.is_contiguous():
        raise ValueError(f"maps: expected contiguous complex64 on the CPU, got {maps.dtype} on {maps.device}")
    if (
        eigenvalues.dtype != torch.float32
        or not eigenvalues.is_contiguous()
        or eigenvalues.shape != (sets, rows, columns)
    ):
        raise ValueError(f"eigenvalues: expected contiguous float32 {(sets, rows, columns)}, got {eigenvalues.shape}")
    if correlations.shape != (terms, terms, coils, coils) or terms % 2 == 0 or reference.shape != (coils,):
        raise ValueError(
            f"correlations: expected (2 R + 1, 2 R + 1, {coils}, {coils}), got {tuple(correlations.shape)}"
        )
    if not 1 <= sets <= min(coils, 8):
        raise ValueError(f"sets: expected 1 to {min(coils, 8)}, got {sets}")
    # (row, column) index pairs of the lower triangle, column by column
    columns_first = torch.triu_indices(coils, coils).flip(0)
    packed = correlations[:, :, columns_first[0], columns_first[1]].to(torch.complex64).resolve_conj().contiguous()
    row_phases = _waves(rows, terms).to(torch.complex64).contiguous()
    cosines_sines = (
        torch.view_as_real(_waves(columns, terms)[:, terms // 2 + 1 :]).permute(1, 2, 0).float().contiguous()
    )
    reference = reference.to(torch.complex64).resolve_conj().contiguous()
    problem = (coils, rows, columns, terms // 2, sets, crop, soft)
    arrays = [x.data_ptr() for x in (packed, row_phases, cosines_sines, reference, maps, eigenvalues)]
    if blocks is None:
        _cpu.espirit_maps(*problem, torch.get_num_threads(), *arrays)
    else:
        count, threads, descending = blocks
        _cpu.espirit_maps_by_blocks(count, threads, descending, *problem, *arrays)


def _waves(length: int, terms: int) -> Tensor:
    """exp(2 pi i (u - terms // 2) (n - length // 2) / length), complex128 (length, terms)."""
    positions = torch.arange(length, dtype=torch.float64) - length // 2
    offsets = torch.arange(terms, dtype=torch.float64) - terms // 2
    angles = 2 * torch.pi * positions[:, None] * offsets / length
    return torch.polar(torch.ones_like(angles), angles)
