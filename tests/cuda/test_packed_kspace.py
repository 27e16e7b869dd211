"""Packed k-space of the CUDA kernels, scaled and stacked: its head is a table, and its length depends on the lines."""

import pytest
import torch

from ugodit.kernels import _cuda_ops


class Tables:
    """Stands in for the compiled module where k-space is packed: positions in natural order."""

    @staticmethod
    def tables(width: int) -> tuple[bytes, list[int], list[int]]:
        return bytes(4), list(range(width)), list(range(width))


def scan(lines: int, width: int, seed: int) -> torch.Tensor:
    kspace = torch.randn(1, 3, 4, width, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))
    kspace[..., lines:] = 0
    return kspace.flip(-1)


def pack(kspace: torch.Tensor) -> torch.Tensor:
    return _cuda_ops.pack_kspace(kspace, False, module=Tables)  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [7, 8])
def test_scaling_leaves_the_slots_alone(width: int) -> None:
    kspace = scan(3, width, 0)
    assert torch.equal(_cuda_ops.scale_kspace(pack(kspace), 2.5, (3, 4, width)), pack(2.5 * kspace))


@pytest.mark.parametrize("width", [7, 8])
def test_stacking_is_packing_at_once(width: int) -> None:
    scans = [scan(lines, width, lines) for lines in (3, 5, 0)]
    stacked = _cuda_ops.stack_kspace([pack(kspace) for kspace in scans], (3, 4, width))
    assert torch.equal(stacked, pack(torch.cat(scans)))
