"""The CUDA kernels on a GPU: right, on torch's streams, in graphs, compiled, and repeatable to the bit."""

import pytest
import torch
from torch import Tensor

from tests.kernels.problems import TOLERANCE, Problem, problem, relative_error
from ugodit import kernels
from ugodit.kernels import _cuda_ops, reference

pytestmark = pytest.mark.gpu

WIDTHS = [1, 2, 3, 15, 16, 17, 31, 61, 74, 96, 180, 230, 256, 289, 320, 322, 332, 368, 372, 386, 640, 1021, 1024]


@pytest.fixture(autouse=True)
def _fused(gpu: torch.device) -> None:
    """On a GPU these tests are about the compiled kernels, not about what stands in for them."""
    assert _cuda_ops.extension() is not None, "ugodit.kernels._cuda is not built: configure with -DUGODIT_CUDA=on"


def on(p: Problem, device: torch.device) -> Problem:
    """The problem on a device, with maps of sum_c |S_c|^2 = 1."""
    norm = p.maps.abs().square().sum(dim=1, keepdim=True).sqrt()
    return Problem(p.image.to(device), (p.maps / norm).to(device), p.kspace.to(device), p.weights.to(device), p.coils)


def poison(*shapes: tuple[int, ...]) -> None:
    """Leaves NaN in the memory that torch's allocator will hand out next, so that an unwritten output shows."""
    filled = [torch.full(shape, float("nan"), device="cuda") for shape in shapes]
    del filled


def results(p: Problem) -> list[Tensor]:
    maps, kspace = kernels.pack_maps(p.maps, p.masked_along), kernels.pack_kspace(p.kspace, p.masked_along)
    mu = torch.linspace(0.1, 0.4, len(p.image), device=p.image.device)
    poison(tuple(p.image.shape), (*p.kspace.shape, 2), (len(p.image), 2 * p.image.shape[2]))
    return [
        *kernels.sense_residual(p.image, maps, kspace, p.weights, p.coils),
        *kernels.sense_residual(p.image, maps, None, p.weights, p.coils),
        kernels.sense_forward(p.image, maps, p.weights, p.coils),
        kernels.sense_adjoint(torch.view_as_real(p.kspace), maps, p.weights, p.coils),
        kernels.sense_solve(p.image, p.image.flip(-1), maps, p.weights, mu, p.coils, 5)[0],
    ]


def truth(p: Problem) -> list[Tensor]:
    image, maps, kspace, weights = p.double()
    mu = torch.linspace(0.1, 0.4, len(p.image), device=p.image.device).double()
    return [
        *reference.sense_residual(image, maps, kspace, weights),
        *reference.sense_residual(image, maps, None, weights),
        reference.sense_forward(image, maps, weights),
        reference.sense_adjoint(torch.view_as_real(kspace), maps, weights),
        reference.sense_solve(image, image.flip(-1), maps, weights, mu, iterations=5)[0],
    ]


def worst(p: Problem) -> float:
    return max(relative_error(got, expected) for got, expected in zip(results(p), truth(p), strict=True))


@pytest.mark.parametrize("width", WIDTHS)
def test_widths(width: int, gpu: torch.device) -> None:
    assert worst(on(problem(2, 3, 5, width), gpu)) < TOLERANCE


@pytest.mark.parametrize("coils", [1, 2, 7, 8, 15, 16, 17, 33, 64])
@pytest.mark.parametrize("both", [False, True])
def test_coils(coils: int, both: bool, gpu: torch.device) -> None:
    assert worst(on(problem(3, coils, 6, 92, both=both), gpu)) < TOLERANCE


def test_full_size(gpu: torch.device) -> None:
    assert worst(on(problem(2, 15, 640, 368, density=0.25), gpu)) < TOLERANCE


@pytest.mark.parametrize("width", [96, 332, 368])
def test_same_bits_again(width: int, gpu: torch.device) -> None:
    p = on(problem(2, 15, 64, width), gpu)
    first = results(p)
    for _ in range(3):
        assert all(torch.equal(a, b) for a, b in zip(first, results(p), strict=True))


def test_half_maps(gpu: torch.device) -> None:
    p = on(problem(2, 8, 16, 368), gpu)
    maps = kernels.pack_maps(p.maps, half=True)
    got = kernels.sense_forward(p.image, maps, p.weights, 8)
    image, maps64, _, weights = p.double()
    # Bounds: tests/cuda/test_host.py.
    assert TOLERANCE < relative_error(got, reference.sense_forward(image, maps64, weights)) < 2**-11


def test_runs_on_the_current_stream(gpu: torch.device) -> None:
    """Work queued on a stream is seen by the kernel queued after it there, with no synchronisation by the host."""
    p = on(problem(1, 8, 256, 368), gpu)
    maps, kspace = kernels.pack_maps(p.maps), kernels.pack_kspace(p.kspace)
    expected = kernels.sense_residual(2 * p.image, maps, kspace, p.weights, 8)[1]
    stream = torch.cuda.Stream(gpu)
    stream.wait_stream(torch.cuda.current_stream(gpu))
    with torch.cuda.stream(stream):
        image = p.image.clone()
        torch.cuda._sleep(20_000_000)
        image.mul_(2)
        got = kernels.sense_residual(image, maps, kspace, p.weights, 8)[1]
    stream.synchronize()
    assert torch.equal(got, expected)


@pytest.mark.parametrize("both", [False, True])
def test_captured_in_a_graph(both: bool, gpu: torch.device) -> None:
    p = on(problem(2, 4, 32, 46, both=both), gpu)
    along = p.masked_along
    maps, kspace = kernels.pack_maps(p.maps, along), kernels.pack_kspace(p.kspace, along)
    mu, image = torch.full((2,), 0.3, device=gpu), p.image.clone()

    def step() -> tuple[Tensor, ...]:
        loss, gradient = kernels.sense_residual(image, maps, kspace, p.weights, 4)
        solution, norm = kernels.sense_solve(gradient, torch.zeros_like(image), maps, p.weights, mu, 4, 3)
        return loss, gradient, solution, norm

    side = torch.cuda.Stream(gpu)
    side.wait_stream(torch.cuda.current_stream(gpu))
    with torch.cuda.stream(side):
        step()  # cuFFT plans, where there are any
    torch.cuda.current_stream(gpu).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    image.copy_(p.image.flip(-1))
    graph.replay()
    for got, expected in zip(captured, step(), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_compiles_without_a_graph_break(gpu: torch.device) -> None:
    p = on(problem(2, 4, 16, 46), gpu)
    maps, kspace = kernels.pack_maps(p.maps), kernels.pack_kspace(p.kspace)
    mu = torch.full((2,), 0.3, device=gpu)

    def objective(x: Tensor) -> Tensor:
        solved, _ = kernels.sense_solve(1.5 * x, torch.zeros_like(x), maps, p.weights, mu, 4, 30)
        return kernels.sense_residual(solved, maps, kspace, p.weights, 4)[0].sum()

    eager, compiled = p.image.clone().requires_grad_(), p.image.clone().requires_grad_()
    expected, got = objective(eager), torch.compile(objective, fullgraph=True)(compiled)
    expected.backward()
    got.backward()
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=0)
    assert eager.grad is not None
    assert compiled.grad is not None
    assert relative_error(compiled.grad, eager.grad) < 1e-5


def test_refuses_tensors_on_different_devices(gpu: torch.device) -> None:
    p = on(problem(1, 3, 4, 16), gpu)
    maps, kspace = kernels.pack_maps(p.maps), kernels.pack_kspace(p.kspace)
    with pytest.raises(ValueError, match="weights: expected device cuda"):
        kernels.sense_residual(p.image, maps, kspace, p.weights.cpu(), 3)


def test_a_second_device(gpu: torch.device) -> None:
    """Tensors decide where a kernel runs, not the current device, and the current device is left as it was."""
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two CUDA devices")
    before = torch.cuda.current_device()
    assert worst(on(problem(2, 3, 5, 46), torch.device("cuda", 1))) < TOLERANCE
    assert torch.cuda.current_device() == before


def test_cupy_arrays_reach_the_kernels_without_a_copy(gpu: torch.device) -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    from ugodit.data.arrays import as_tensor

    p = on(problem(1, 3, 4, 46), gpu)
    kspace = as_tensor("kspace", cupy.from_dlpack(p.kspace))
    assert kspace.data_ptr() == p.kspace.data_ptr()
    maps = kernels.pack_maps(p.maps)
    got = kernels.sense_residual(p.image, maps, kernels.pack_kspace(kspace), p.weights, 3)[1]
    assert torch.equal(got, kernels.sense_residual(p.image, maps, kernels.pack_kspace(p.kspace), p.weights, 3)[1])
