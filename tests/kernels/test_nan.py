"""What is not a number stays none: a solve never passes NaN off as zeros, or as the start it was given."""

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor

from tests.kernels.problems import Problem, problem
from ugodit import kernels
from ugodit.kernels import _cuda_ops, _torch_ops, reference

NAN, INFINITY = float("nan"), float("inf")
Solve = Callable[[Problem, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Of problem, rhs, start and mu: the solution and the residual norms after three iterations."""


def on_cpu(p: Problem, rhs: Tensor, start: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
    return kernels.sense_solve(rhs, start, kernels.pack_maps(p.maps, p.masked_along), p.weights, mu, p.coils, 3)


def through_torch(p: Problem, rhs: Tensor, start: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
    maps = _torch_ops.pack_maps(p.maps, p.masked_along == "both")
    return _torch_ops.sense_solve(rhs, start, maps, p.weights, mu, p.coils, 3, 0.0)


def by_reference(p: Problem, rhs: Tensor, start: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
    return reference.sense_solve(rhs, start, p.maps, p.weights, mu, iterations=3)


@pytest.fixture(params=["cpu", "torch", "reference", "cuda body"])
def solve(request: pytest.FixtureRequest, variant: str) -> Solve:
    """Every implementation; what the others make of it does not depend on the CPU's instruction set."""
    if request.param == "cuda body":
        host: ModuleType = pytest.importorskip("ugodit.kernels._cuda_host")

        def on_host(p: Problem, rhs: Tensor, start: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
            maps = _cuda_ops.pack_maps(p.maps, False, module=host)
            return _cuda_ops.sense_solve(rhs, start, maps, p.weights, mu, p.coils, 3, 0.0, module=host)

        return on_host
    return {"cpu": on_cpu, "torch": through_torch, "reference": by_reference}[request.param]


def small(both: bool = False, coils: int = 3) -> tuple[Problem, Tensor, Tensor, Tensor]:
    """Two items of three rows."""
    p = problem(2, coils, 3, 12, both=both)
    return p, p.image.clone(), p.image.flip(-1).clone(), torch.tensor([0.5, 1.0])


@pytest.mark.parametrize("value", [NAN, INFINITY])
@pytest.mark.parametrize("zero", [False, True], ids=["", "of zeros"])
def test_mu(value: float, zero: bool, solve: Solve) -> None:
    p, rhs, start, mu = small()
    mu[0] = value
    rhs, start = (torch.zeros_like(rhs), torch.zeros_like(start)) if zero else (rhs, start)
    solution, norm = solve(p, rhs, start, mu)
    assert solution[0].isnan().all()
    assert norm[0].isnan()
    assert solution[1].isfinite().all()
    assert norm[1].isfinite()


@pytest.mark.parametrize("value", [NAN, INFINITY])
@pytest.mark.parametrize("from_zero", [False, True])
@pytest.mark.parametrize("which", ["rhs", "start", "maps"])
def test_a_row_with_nan_becomes_nan_and_no_other(which: str, from_zero: bool, value: float, solve: Solve) -> None:
    p, rhs, start, mu = small()
    if from_zero:
        start.zero_()
    if which == "rhs":
        rhs[0, 1, 1, 5] = value
    elif which == "start":
        start[0, 1, 1, 5] = value
    else:
        p.maps[0, 2, 1, 5] = value
    solution, norm = solve(p, rhs, start, mu)
    assert solution[0, :, 1].isnan().all()
    assert solution[0, :, [0, 2]].isfinite().all()
    assert solution[1].isfinite().all()
    assert norm.isnan().tolist() == [True, False]


@pytest.mark.parametrize("value", [NAN, INFINITY])
@pytest.mark.parametrize("which", ["rhs", "start", "maps", "mu"])
def test_masks_along_both_axes(which: str, value: float, variant: str) -> None:
    p, rhs, start, mu = small(both=True)
    for one in {"rhs": [rhs], "start": [start], "maps": [p.maps], "mu": [mu]}[which]:
        one.view(-1)[0] = value
    for implementation in (on_cpu, through_torch, by_reference):
        solution, norm = implementation(p, rhs, start, mu)
        assert solution[0].isnan().all(), implementation
        assert solution[1].isfinite().all(), implementation
        assert norm.isnan().tolist() == [True, False], implementation


def test_gradients_of_nan_are_nan(variant: str) -> None:
    p, rhs, start, mu = small()
    rhs[0, 0, 1, 3] = NAN
    rhs.requires_grad_()
    mu.requires_grad_()
    solution, _ = on_cpu(p, rhs, start, mu)
    gradient, of_mu = torch.autograd.grad(solution.nan_to_num(1.0).sum(), (rhs, mu))
    assert gradient[1].isfinite().all()
    assert of_mu.isnan().tolist() == [True, False]


@pytest.mark.parametrize("both", [False, True])
def test_the_residual_of_nan_is_nan(both: bool, variant: str) -> None:
    p, image, _, _ = small(both)
    image[0, 0, 1, 3] = NAN
    maps, kspace = kernels.pack_maps(p.maps, p.masked_along), kernels.pack_kspace(p.kspace, p.masked_along)
    loss, gradient = kernels.sense_residual(image, maps, kspace, p.weights, 3)
    assert loss.isnan().tolist() == [True, False]
    assert gradient[0].isnan().any()
    assert gradient[1].isfinite().all()
