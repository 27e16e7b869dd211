"""The CUDA kernels' bodies, run by this processor, against the reference in double precision and the CPU kernels.

A host block runs its threads one after another between barriers, in either order, on shared memory that starts as NaN
and is guarded behind its end: what is read before it is written, written outside, or raced for within a phase shows.
"""

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.kernels.problems import TOLERANCE, Problem, problem, relative_error
from ugodit import kernels
from ugodit.kernels import _cuda_ops, reference

# Width 1 (no pass); powers of two; primes with a butterfly, with a dense pass (61; 74 = 2 x 37: it comes first) and
# through Bluestein's algorithm, alone or last; twiddles as a step of their own (289 = 17 x 17); fastMRI's widths.
WIDTHS = [1, 2, 3, 15, 16, 17, 31, 61, 74, 96, 180, 230, 256, 289, 320, 322, 332, 368, 372, 386, 640, 1021, 1024]


def run(p: Problem, host: ModuleType, iterations: int = 5, half: bool = False, **wish: Any) -> dict[str, Tensor]:
    """Every kernel on one problem."""
    maps = _cuda_ops.pack_maps(p.maps, False, half=half, module=host)
    kspace = _cuda_ops.pack_kspace(p.kspace, False, module=host)
    mu = torch.linspace(0.1, 0.4, len(p.image))
    start = p.image.flip(-1)
    settings: dict[str, Any] = {"module": host, **wish}
    loss, gradient = _cuda_ops.sense_residual(p.image, maps, kspace, p.weights, p.coils, **settings)
    energy, normal = _cuda_ops.sense_residual(p.image, maps, None, p.weights, p.coils, **settings)
    forward = _cuda_ops.sense_forward(p.image, maps, p.weights, p.coils, **settings)
    adjoint = _cuda_ops.sense_adjoint(torch.view_as_real(p.kspace), maps, p.weights, p.coils, **settings)
    solution, _ = _cuda_ops.sense_solve(p.image, start, maps, p.weights, mu, p.coils, iterations, 0.0, **settings)
    return {
        "loss": loss,
        "gradient": gradient,
        "energy": energy,
        "normal": normal,
        "forward": forward,
        "adjoint": adjoint,
        "solution": solution,
    }


def truth(p: Problem, iterations: int = 5) -> dict[str, Tensor]:
    """What run() should return, in double precision."""
    image, maps, kspace, weights = p.double()
    mu = torch.linspace(0.1, 0.4, len(p.image)).double()
    loss, gradient = reference.sense_residual(image, maps, kspace, weights)
    energy, normal = reference.sense_residual(image, maps, None, weights)
    forward = reference.sense_forward(image, maps, weights)
    adjoint = reference.sense_adjoint(torch.view_as_real(kspace), maps, weights)
    solution, _ = reference.sense_solve(image, image.flip(-1), maps, weights, mu, iterations=iterations)
    return {
        "loss": loss,
        "gradient": gradient,
        "energy": energy,
        "normal": normal,
        "forward": forward,
        "adjoint": adjoint,
        "solution": solution,
    }


def worst(got: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    return max(relative_error(got[name], expected[name]) for name in expected)


def conditioned(p: Problem) -> Problem:
    """Maps with sum_c |S_c|^2 = 1: five CG steps then amplify rounding by no more than the residual's growth."""
    norm = p.maps.abs().square().sum(dim=1, keepdim=True).sqrt()
    return Problem(p.image, p.maps / norm, p.kspace, p.weights, p.coils)


@pytest.mark.parametrize("width", WIDTHS)
def test_widths(width: int, host: ModuleType) -> None:
    """Two items with their own maps, k-space, fractional weights and mu."""
    p = conditioned(problem(2, 3, 2, width))
    assert worst(run(p, host), truth(p)) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, 1025, 64))
def test_every_width(first: int, host: ModuleType) -> None:
    for width in range(first, first + 64):
        p = conditioned(problem(1, 2, 1, width))
        assert worst(run(p, host), truth(p)) < TOLERANCE, width


@pytest.mark.parametrize("coils", [1, 2, 7, 8, 9, 15, 16, 17, 32, 33, 64])
@pytest.mark.parametrize("width", [92, 131])
def test_coils(coils: int, width: int, host: ModuleType) -> None:
    p = conditioned(problem(1, coils, 2, width))
    assert worst(run(p, host), truth(p)) < TOLERANCE


@pytest.mark.parametrize("width", [17, 96, 332, 368])
def test_agrees_with_the_cpu_kernels(width: int, host: ModuleType) -> None:
    p = conditioned(problem(2, 5, 3, width))
    maps, kspace = kernels.pack_maps(p.maps), kernels.pack_kspace(p.kspace)
    got = run(p, host)
    loss, gradient = kernels.sense_residual(p.image, maps, kspace, p.weights, p.coils)
    # Both are within TOLERANCE of the truth.
    assert relative_error(got["loss"], loss) < 2 * TOLERANCE
    assert relative_error(got["gradient"], gradient) < 2 * TOLERANCE
    mu = torch.linspace(0.1, 0.4, 2)
    solution, _ = kernels.sense_solve(p.image, p.image.flip(-1), maps, p.weights, mu, p.coils, 5)
    assert relative_error(got["solution"], solution) < 2 * TOLERANCE


@pytest.mark.parametrize("width", [16, 74, 289, 332, 368])
def test_any_block_gives_the_same(width: int, host: ModuleType) -> None:
    """Threads in either order: the same bits, so no phase has a race. Any number of threads or coils in flight, maps
    in shared memory or not: the same bits where sums have one order, the same to rounding where threads share a sum."""
    p = conditioned(problem(1, 5, 2, width))
    first = run(p, host)
    for name, value in run(p, host, descending=True).items():
        assert torch.equal(value, first[name]), name
    for wish in ({"threads": 32}, {"threads": 128}, {"threads": 256}, {"flight": 1}, {"flight": 2}, {"resident": 0}):
        got = run(p, host, **wish)
        assert worst(got, first) < TOLERANCE, wish
        for name in ("gradient", "normal", "forward", "adjoint"):
            assert torch.equal(got[name], first[name]), (wish, name)


def test_leading_size_one_is_shared(host: ModuleType) -> None:
    many, one = conditioned(problem(3, 4, 3, 46)), conditioned(problem(1, 4, 3, 46, seed=1))
    p = Problem(many.image, one.maps, one.kspace, one.weights, 4)
    maps = _cuda_ops.pack_maps(p.maps, False, module=host)
    kspace = _cuda_ops.pack_kspace(p.kspace, False, module=host)
    loss, gradient = _cuda_ops.sense_residual(p.image, maps, kspace, p.weights, 4, module=host)
    expected = reference.sense_residual(p.image.double(), *p.double()[1:])
    assert relative_error(loss, expected[0]) < TOLERANCE
    assert relative_error(gradient, expected[1]) < TOLERANCE


@pytest.mark.parametrize("width", [31, 96])
def test_lines_of_zeros_are_not_stored(width: int, host: ModuleType) -> None:
    """Items with different numbers of measured lines; a stored line may get a weight of zero and an unstored one a
    positive weight, which then compares with zeros."""
    p = conditioned(problem(2, 3, 4, width, density=0.3))
    measured = (p.weights != 0)[:, None, None, :]
    p = Problem(p.image, p.maps, p.kspace * measured, p.weights.flip(0), p.coils)
    packed = _cuda_ops.pack_kspace(p.kspace, False, module=host)
    lines = int(measured.sum(dim=-1).max())
    assert packed.shape == (2, width + width % 2 + 2 * 3 * 4 * lines)
    assert worst(run(p, host), truth(p)) < TOLERANCE
    empty = Problem(p.image, p.maps, torch.zeros_like(p.kspace), p.weights, p.coils)
    assert worst(run(empty, host), truth(empty)) < TOLERANCE


def test_a_row_stops_by_itself(host: ModuleType) -> None:
    """Each row ends at its tolerance; a row of zeros is done before it starts; residual norms are the systems'."""
    p = conditioned(problem(2, 4, 5, 46))
    rhs = p.image.clone()
    rhs[0, :, 1] = 0
    maps = _cuda_ops.pack_maps(p.maps, False, module=host)
    mu = torch.tensor([0.5, 1.0])
    start = torch.zeros_like(rhs)
    solution, norm = _cuda_ops.sense_solve(rhs, start, maps, p.weights, mu, 4, 100, 1e-3, module=host)
    assert not solution[0, :, 1].any()
    _, maps64, _, weights64 = p.double()
    applied = reference.sense_residual(solution.double(), maps64, None, weights64)[1]
    residual = rhs.double() - applied - mu[:, None, None, None] * solution.double()
    rows = residual.square().sum(dim=(1, 3)).sqrt()
    # The recursive residual drifts from the true one by rounding, 6e-8 of rhs a step: far below a per cent of 1e-3.
    assert (rows <= 1.01e-3 * rhs.double().square().sum(dim=(1, 3)).sqrt()).all()
    torch.testing.assert_close(norm.double(), rows.square().sum(dim=1).sqrt(), rtol=0.01, atol=0)


@pytest.mark.parametrize("width", [96, 368])
def test_half_maps(width: int, host: ModuleType) -> None:
    """Maps in half precision are maps with an independent relative rounding of at most 2^-11 (uniform: 2^-11 / sqrt 3
    in root mean square, less as mantissas spread), once in A and twice in A^H A: below 2^-11 of the norm each."""
    p = conditioned(problem(2, 8, 2, width))
    got, expected = run(p, host, half=True), truth(p)
    assert relative_error(got["forward"], expected["forward"]) < 2**-11
    assert relative_error(got["normal"], expected["normal"]) < 2**-10
    assert relative_error(got["normal"], expected["normal"]) > TOLERANCE  # the storage was indeed half
    rounded = p.maps * width**-0.5
    rounded = torch.complex(rounded.real.half().float(), rounded.imag.half().float()) * width**0.5
    # With the rounded maps nothing but float32 arithmetic is left.
    same = truth(Problem(p.image, rounded, p.kspace, p.weights, p.coils))
    assert worst(got, same) < TOLERANCE


def test_shared_memory_is_respected(host: ModuleType) -> None:
    for limit in (99, 163, 227):  # KB: what sm_86, sm_80 and sm_90 let a block have
        for width in (1, 16, 332, 368, 1021, 1024):
            for coils in (1, 15, 64):
                for kernel in ("sense_residual", "sense_forward", "sense_adjoint", "sense_solve"):
                    layout = host.describe(kernel, width, coils, shared_bytes=limit * 1024)
                    assert layout["shared_bytes"] <= limit * 1024
                    assert 1 <= layout["flight"] <= coils
    with pytest.raises(ValueError, match="does not fit in 4096 bytes"):
        host.describe("sense_residual", 1024, 1, shared_bytes=4096)
    with pytest.raises(ValueError, match="width: expected 1 to 1024, got 1025"):
        host.tables(1025)


def test_refuses_what_was_packed_otherwise(host: ModuleType) -> None:
    p = problem(2, 3, 4, 16)
    maps = _cuda_ops.pack_maps(p.maps, False, module=host)
    kspace = _cuda_ops.pack_kspace(p.kspace, False, module=host)
    with pytest.raises(ValueError, match="maps: expected what pack_maps makes"):
        _cuda_ops.sense_residual(p.image, maps[:, :, :2], kspace, p.weights, 3, module=host)
    with pytest.raises(ValueError, match="kspace: expected what pack_kspace makes"):
        _cuda_ops.sense_residual(p.image, maps, kspace[:, :-2], p.weights, 3, module=host)
    with pytest.raises(ValueError, match="packed for masks along the width"):
        _cuda_ops.sense_residual(p.image, maps, kspace, torch.ones(1, 4, 16), 3, module=host)


def test_views_from_an_odd_element_on_are_moved(host: ModuleType) -> None:
    """The kernels read complex values as one word of 8 bytes."""
    p = conditioned(problem(1, 3, 2, 46))
    expected = run(p, host)["adjoint"]
    kspace = torch.view_as_real(p.kspace)
    odd = torch.empty(kspace.numel() + 1)[1:].view(kspace.shape).copy_(kspace)
    assert odd.data_ptr() % 8 == 4
    assert _cuda_ops._plain(odd).data_ptr() % 8 == 0
    maps = _cuda_ops.pack_maps(p.maps, False, module=host)
    assert torch.equal(_cuda_ops.sense_adjoint(odd, maps, p.weights, 3, module=host), expected)


def test_half_maps_are_refused_where_no_kernel_reads_them(host: ModuleType) -> None:
    maps = problem(1, 2, 4, 16).maps
    with pytest.raises(ValueError, match="half: expected False on the CPU"):
        kernels.pack_maps(maps, half=True)
    with pytest.raises(ValueError, match="half: expected False where the fused CUDA kernels do not run"):
        _cuda_ops.pack_maps(maps, True, half=True, module=host)
