"""sense_solve against dense systems in double precision, one for each image row."""

import pytest
import torch
from torch import Tensor

from tests.kernels.problems import Problem, problem, relative_error
from ugodit import kernels
from ugodit.kernels import reference

MU = 0.5


def scaled_problem(batch: int, coils: int, height: int, width: int, *, both: bool = False) -> Problem:
    """Maps with sum_c |S_c|^2 = 1, so that A^H W A + mu I has eigenvalues in [mu, 1.5 + mu]."""
    p = problem(batch, coils, height, width, both=both)
    norm = p.maps.abs().pow(2).sum(dim=1, keepdim=True).sqrt()
    return Problem(p.image, p.maps / norm, p.kspace, p.weights, coils)


def dense_solve(p: Problem, rhs: Tensor, mu: Tensor) -> Tensor:
    """(A^H W A + mu I)^-1 rhs with the operator as one matrix of a whole item, in double precision."""
    _, maps, _, weights = p.double()
    batch, _, height, width = p.image.shape
    size = 2 * height * width
    basis = torch.eye(size, dtype=torch.float64).reshape(size, 2, height, width)
    solutions = []
    for item in range(batch):
        columns = reference.sense_residual(basis, maps[item : item + 1], None, weights[item : item + 1])[1]
        matrix = columns.reshape(size, size).T + mu[item] * torch.eye(size, dtype=torch.float64)
        solutions.append(torch.linalg.solve(matrix, rhs[item].reshape(size)).reshape(2, height, width))
    return torch.stack(solutions)


# Residuals recurred in float32 stagnate near 6e-8 times the condition number (1.5 + mu) / mu = 4, times a few for the
# operator's own rounding (3e-7): 2e-6.
CONVERGED = 2e-6


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("coils", [1, 3, 5, 8, 15, 17])
def test_converges_to_the_dense_solution(coils: int, both: bool, variant: str) -> None:
    p = scaled_problem(2, coils, 3, 23, both=both)
    mu = torch.tensor([MU, 2 * MU])
    maps = kernels.pack_maps(p.maps, p.masked_along)
    start = torch.randn(p.image.shape, generator=torch.Generator().manual_seed(1))
    truth = dense_solve(p, p.image.double(), mu.double())
    for begin in (torch.zeros_like(start), start):
        solution, residual_norm = kernels.sense_solve(p.image, begin, maps, p.weights, mu, coils, 60, 1e-7)
        assert relative_error(solution, truth) < CONVERGED
        assert (residual_norm < 3e-7 * p.image.flatten(1).norm(dim=1)).all()


@pytest.mark.parametrize("width", [23, 46, 48, 64])
def test_converges_for_regular_masks(width: int, variant: str) -> None:
    """Blocks of frequencies that are measured as a whole are not transformed at all."""
    p = scaled_problem(2, 5, 2, width)
    weights = torch.zeros(2, width)
    weights[0, ::4] = 1.0
    weights[1, 1::2] = 0.7
    weights[:, width // 2 - 3 : width // 2 + 3] = 0.7
    p = Problem(p.image, p.maps, p.kspace, weights, 5)
    mu = torch.tensor([MU, 2 * MU])
    solution, _ = kernels.sense_solve(
        p.image, torch.zeros_like(p.image), kernels.pack_maps(p.maps), weights, mu, 5, 60, 1e-7
    )
    assert relative_error(solution, dense_solve(p, p.image.double(), mu.double())) < CONVERGED


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_each_iteration_is_the_reference_one(iterations: int, both: bool, variant: str) -> None:
    p = scaled_problem(2, 3, 5, 46, both=both)
    mu = torch.tensor([MU, 0.1])
    start = torch.randn(p.image.shape, generator=torch.Generator().manual_seed(1))
    _, maps64, _, weights64 = p.double()
    maps = kernels.pack_maps(p.maps, p.masked_along)
    got = kernels.sense_solve(p.image, start, maps, p.weights, mu, 3, iterations)
    truth = reference.sense_solve(
        p.image.double(), start.double(), maps64, weights64, mu.double(), iterations=iterations
    )
    for value, expected in zip(got, truth, strict=True):
        # Three steps multiply the operator's error by little more than the condition number, 16 for mu = 0.1.
        assert relative_error(value, expected) < 1e-5


def test_rows_stop_by_themselves(variant: str) -> None:
    """A row that starts at its solution stays there to the bit; the others go on."""
    p = scaled_problem(1, 3, 6, 24)
    mu = torch.tensor([MU])
    maps = kernels.pack_maps(p.maps)
    solved, _ = kernels.sense_solve(p.image, torch.zeros_like(p.image), maps, p.weights, mu, 3, 60, 1e-6)
    start = torch.zeros_like(p.image)
    start[:, :, 2] = solved[:, :, 2]
    again, _ = kernels.sense_solve(p.image, start, maps, p.weights, mu, 3, 60, 1e-5)
    assert torch.equal(again[:, :, 2], start[:, :, 2])
    assert relative_error(again, solved) < 1e-4  # tolerance 1e-5 times the condition number 4


def test_zero_rows_and_zero_mu(variant: str) -> None:
    p = scaled_problem(1, 3, 4, 24)
    maps = kernels.pack_maps(p.maps)
    rhs = p.image.clone()
    rhs[:, :, 1] = 0
    zero = torch.zeros_like(rhs)
    solution, residual_norm = kernels.sense_solve(rhs, zero, maps, p.weights, torch.zeros(1), 3, 5)
    assert not solution[:, :, 1].any()
    assert torch.isfinite(solution).all()
    assert torch.isfinite(residual_norm).all()
    # With nothing measured and mu = 0 the matrix is zero: no step can be taken, and none is.
    solution, residual_norm = kernels.sense_solve(rhs, zero, maps, torch.zeros(1, 24), torch.zeros(1), 3, 5)
    assert not solution.any()
    assert relative_error(residual_norm, rhs.norm()[None]) < 1e-6


@pytest.mark.parametrize("both", [False, True])
def test_backward_is_that_of_the_dense_solve(both: bool) -> None:
    p = scaled_problem(2, 3, 3, 23, both=both)
    maps = kernels.pack_maps(p.maps, p.masked_along)
    mu, rhs = torch.tensor([MU, 2 * MU], requires_grad=True), p.image.clone().requires_grad_()
    probe = torch.randn(p.image.shape, generator=torch.Generator().manual_seed(2))
    solution, residual_norm = kernels.sense_solve(rhs, torch.zeros_like(rhs), maps, p.weights, mu, 3, 60, 1e-7)
    assert not residual_norm.requires_grad
    got = torch.autograd.grad((solution * probe).sum(), (rhs, mu))
    rhs64, mu64 = rhs.detach().double().requires_grad_(), mu.detach().double().requires_grad_()
    truth = torch.autograd.grad((dense_solve(p, rhs64, mu64) * probe).sum(), (rhs64, mu64))
    for value, expected in zip(got, truth, strict=True):
        assert relative_error(value, expected) < 2 * CONVERGED  # two solves
