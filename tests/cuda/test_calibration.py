"""ESPIRiT's CUDA kernel: its body run by this processor, and on a GPU, against LAPACK and the CPU's kernel."""

import math
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from ugodit.calibration import estimate_maps
from ugodit.calibration.espirit import _operators, estimate_maps_and_eigenvalues, image_operator
from ugodit.data.geometry import centred_fft
from ugodit.kernels import _cuda_ops
from ugodit.kernels.calibration import espirit_maps_

HEIGHT, WIDTH = 7, 19


def random_correlations(coils: int, reach: int = 5) -> Tensor:
    columns = coils * (reach + 1) ** 2
    rows = torch.linalg.qr(torch.randn(columns, min(4 * coils, columns), dtype=torch.complex128))[0].mT
    return image_operator(rows, coils, reach + 1)


def exact_eigenvalues(correlations: Tensor) -> Tensor:
    """(H, W, C), largest first, by the operator's definition in double precision."""
    reach = correlations.shape[0] // 2
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64)

    def waves(length: int) -> Tensor:
        angles = 2 * torch.pi * (torch.arange(length) - length // 2)[:, None] * offsets / length
        return torch.polar(torch.ones_like(angles), angles)

    return torch.linalg.eigvalsh(torch.einsum("hu,wv,uvcd->hwcd", waves(HEIGHT), waves(WIDTH), correlations)).flip(-1)


def compare(coils: int, sets: int, device: torch.device | str = "cpu", **options: Any) -> None:
    """The maps of one random operator by the CPU's kernel and by the one under test."""
    correlations, reference = random_correlations(coils), torch.randn(coils, dtype=torch.complex64)
    maps = [
        torch.full((sets, coils, HEIGHT, WIDTH), math.nan, dtype=torch.complex64, device=d) for d in ("cpu", device)
    ]
    eigenvalues = [torch.full((sets, HEIGHT, WIDTH), math.nan, device=d) for d in ("cpu", device)]
    espirit_maps_(maps[0], eigenvalues[0], correlations, reference, 0.1)
    espirit_maps_(maps[1], eigenvalues[1], correlations, reference, 0.1, **options)
    # the same algorithm, compiled for other lanes: they differ by how products and sums are contracted
    assert (eigenvalues[0] - eigenvalues[1].cpu()).abs().max() < 1e-6
    truth = exact_eigenvalues(correlations)
    gaps = torch.cat([truth, torch.zeros(HEIGHT, WIDTH, 1)], -1).diff(dim=-1).abs()
    for s in range(sets):
        assert (eigenvalues[1][s].cpu() - truth[..., s]).abs().max() < 1e-6
        gap = gaps[..., s] if s == 0 else torch.minimum(gaps[..., s - 1], gaps[..., s])
        difference = torch.linalg.vector_norm(maps[0][s] - maps[1][s].cpu(), dim=0)
        assert (difference * gap).max() < 1e-5


@pytest.mark.parametrize("shared", [0, 1])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("coils", "sets"), [(1, 1), (5, 2), (5, 5), (15, 1), (32, 2)])
def test_the_body_on_the_host(coils: int, sets: int, descending: bool, shared: int, host: ModuleType) -> None:
    """Fewer blocks than rows and fewer threads than columns, in either order: races would show as differences. The
    coefficients in shared memory, and in the workspace, where many coils leave them."""
    compare(coils, sets, module=host, blocks=3, threads=8, descending=descending, shared=shared)


def test_as_it_would_be_launched(host: ModuleType) -> None:
    compare(8, 1, module=host)


def test_more_coils_than_shared_memory_holds(host: ModuleType) -> None:
    compare(73, 1, module=host)


def plan(host: ModuleType, coils: int, rows: int = 640, sets: int = 1, **wish: int) -> Any:
    sizes = {"coils": coils, "rows": rows, "columns": 368, "reach": 5, "sets": sets}
    return host.EspiritProblem(**sizes, crop=0.9, soft=False, device=0, stream=0, **wish)


def test_plans_fit_the_device(host: ModuleType) -> None:
    for coils in (1, 8, 15, 32, 50, 51, 72, 73, 128, 256):
        for rows in (1, 7, 396, 397, 640, 4096):
            problem = plan(host, coils, rows)
            # Two blocks with their reserved KB on a multiprocessor of 228 KB.
            assert 2 * (problem.shared_bytes + 1024) <= 228 * 1024
            assert 1 <= problem.blocks <= min(rows, 3 * 132)
            assert 4 * problem.workspace_floats <= 2**30
            # No block has two rows more than another.
            assert -(-rows // problem.blocks) - rows // problem.blocks <= 1
    assert plan(host, 50).shared_bytes == 4 * 11 * 50 * 51
    assert plan(host, 51).shared_bytes == 0
    with pytest.raises(ValueError, match="threads: expected an even number up to 128"):
        plan(host, 4, threads=130)


def test_arguments_are_checked() -> None:
    maps, eigenvalues = torch.zeros(1, 2, 4, 5, dtype=torch.complex64), torch.zeros(1, 4, 5)
    correlations, reference = torch.zeros(3, 3, 2, 2, dtype=torch.complex64), torch.ones(2, dtype=torch.complex64)
    with pytest.raises(ValueError, match="maps: expected contiguous complex64 on the CPU or CUDA"):
        espirit_maps_(maps.to("meta"), eigenvalues, correlations, reference, 0.5)
    with pytest.raises(ValueError, match="eigenvalues: expected contiguous float32"):
        espirit_maps_(maps, eigenvalues.double(), correlations, reference, 0.5)
    maps, eigenvalues = torch.zeros(3, 2, 4, 5, dtype=torch.complex64), torch.zeros(3, 4, 5)
    with pytest.raises(ValueError, match=r"sets: expected 1 to 2, got 3"):
        espirit_maps_(maps, eigenvalues, correlations, reference, 0.5)


def small_scans(items: int) -> Tensor:
    """Discs of different sizes seen by four smooth coils: k-space (items, 4, 24, 24), the last two axes centred."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 24), torch.linspace(-1, 1, 24), indexing="ij")
    corners = torch.tensor([(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)])[:, :, None, None]
    coils = torch.polar(torch.exp(-((x - corners[:, 0]) ** 2 + (y - corners[:, 1]) ** 2) / 4), x * corners[:, 0])
    radii = torch.linspace(0.6, 0.9, items)[:, None, None]
    return centred_fft(coils * (x**2 + y**2 < radii**2)[:, None], (-2, -1))


def test_calibrating_several_items_at_a_time_changes_nothing() -> None:
    """What a GPU's batch does on the CPU, and that it leaves torch's number of threads as it was."""
    blocks = small_scans(5)
    torch.set_num_threads(2)
    one_by_one, together = (list(_operators(blocks, 4, 0.02, together=together)) for together in (False, True))
    assert torch.get_num_threads() == 2
    for alone, beside in zip(one_by_one, together, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(alone, beside, strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize(("coils", "sets"), [(1, 1), (5, 2), (15, 1), (32, 2), (73, 1)])
def test_on_a_gpu(coils: int, sets: int, gpu: torch.device) -> None:
    assert _cuda_ops.extension() is not None, "ugodit.kernels._cuda is not built: configure with -DUGODIT_CUDA=on"
    compare(coils, sets, gpu)


@pytest.mark.gpu
def test_maps_of_a_batch_on_a_gpu(gpu: torch.device) -> None:
    kspace = small_scans(3)
    expected, expected_values = estimate_maps_and_eigenvalues(kspace, 20)
    maps, values = estimate_maps_and_eigenvalues(kspace.to(gpu), 20)
    assert maps.device == gpu
    assert (values.cpu() - expected_values).abs().max() < 1e-6
    assert torch.equal(estimate_maps(kspace.to(gpu), 20), maps)
    # Inside the object one eigenvalue is near 1 and the others are far below: rounding over a gap of a tenth at least.
    sure = (expected_values > 0.99)[:, None]
    assert sure.any()
    assert ((maps.cpu() - expected).abs() * sure).max() < 1e-4
