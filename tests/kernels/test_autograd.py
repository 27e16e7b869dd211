"""Derivatives of the ops, and of the reference that they are compared with."""

import pytest
import torch
from torch import Tensor

from tests.kernels.problems import TOLERANCE, problem, relative_error
from ugodit import kernels
from ugodit.kernels import reference


@pytest.mark.parametrize("both", [False, True])
def test_gradcheck_of_the_reference(both: bool) -> None:
    p = problem(1, 2, 2, 3, both=both)
    image, maps, kspace, weights = p.double()
    image.requires_grad_()
    coil_array = torch.view_as_real(kspace).clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: reference.sense_residual(x, maps, kspace, weights), (image,))
    assert torch.autograd.gradcheck(lambda x: reference.sense_forward(x, maps, weights), (image,))
    assert torch.autograd.gradcheck(lambda k: reference.sense_adjoint(k, maps, weights), (coil_array,))


@pytest.mark.parametrize("both", [False, True])
def test_residual_differentiates_as_the_reference_does(both: bool) -> None:
    """Loss and gradient output together, once and twice."""
    p = problem(2, 3, 5, 12, both=both)
    image64, maps64, kspace64, weights64 = p.double()
    maps, kspace = kernels.pack_maps(p.maps, p.masked_along), kernels.pack_kspace(p.kspace, p.masked_along)
    probe = torch.randn(p.image.shape, generator=torch.Generator().manual_seed(1))

    def derivatives(image: Tensor, outputs: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        loss, gradient = outputs
        objective = (loss**2).sum() / 100 + (gradient * probe).sum()
        (first,) = torch.autograd.grad(objective, image, create_graph=True)
        (second,) = torch.autograd.grad((first * probe).sum(), image)
        return first, second

    image, image64 = p.image.clone().requires_grad_(), image64.requires_grad_()
    got = derivatives(image, kernels.sense_residual(image, maps, kspace, p.weights, 3))
    truth = derivatives(image64, reference.sense_residual(image64, maps64, kspace64, weights64))
    for value, expected in zip(got, truth, strict=True):
        assert relative_error(value, expected) < 2 * TOLERANCE  # two applications of the operator


@pytest.mark.parametrize("both", [False, True])
def test_forward_and_adjoint_differentiate_as_the_reference_does(both: bool) -> None:
    p = problem(2, 3, 5, 12, both=both)
    image64, maps64, _, weights64 = p.double()
    maps, coil_array = kernels.pack_maps(p.maps, p.masked_along), torch.view_as_real(p.kspace)
    image, image64 = p.image.clone().requires_grad_(), image64.requires_grad_()
    (got,) = torch.autograd.grad((kernels.sense_forward(image, maps, p.weights, 3) * coil_array).sum(), image)
    (truth,) = torch.autograd.grad((reference.sense_forward(image64, maps64, weights64) * coil_array).sum(), image64)
    assert relative_error(got, truth) < TOLERANCE
    samples, samples64 = coil_array.clone().requires_grad_(), coil_array.double().requires_grad_()
    (got,) = torch.autograd.grad((kernels.sense_adjoint(samples, maps, p.weights, 3) * p.image).sum(), samples)
    (truth,) = torch.autograd.grad((reference.sense_adjoint(samples64, maps64, weights64) * p.image).sum(), samples64)
    assert relative_error(got, truth) < TOLERANCE


def test_opcheck() -> None:
    """torch's own audit of schema, fake implementation and autograd registration."""
    p = problem(2, 3, 4, 12)
    maps, kspace = kernels.pack_maps(p.maps), kernels.pack_kspace(p.kspace)
    image = p.image.clone().requires_grad_()
    ops = torch.ops.ugodit
    coil_array = torch.view_as_real(p.kspace).clone().requires_grad_()
    mu = torch.full((2,), 0.1, requires_grad=True)
    torch.library.opcheck(ops.sense_residual.default, (image, maps, kspace, p.weights, 3))
    torch.library.opcheck(ops.sense_residual.default, (image, maps, None, p.weights, 3))
    torch.library.opcheck(ops.sense_forward.default, (image, maps, p.weights, 3))
    torch.library.opcheck(ops.sense_adjoint.default, (coil_array, maps, p.weights, 3))
    torch.library.opcheck(ops.sense_solve.default, (image, torch.zeros_like(image), maps, p.weights, mu, 3, 5, 0.0))


def test_compiles_without_a_graph_break() -> None:
    p = problem(1, 3, 4, 12)
    maps, kspace = kernels.pack_maps(p.maps), kernels.pack_kspace(p.kspace)
    mu = torch.tensor([0.1])

    def objective(image: Tensor) -> Tensor:
        loss, gradient = kernels.sense_residual(image, maps, kspace, p.weights, 3)
        solution, _ = kernels.sense_solve(gradient, torch.zeros_like(image), maps, p.weights, mu, 3, 5)
        back = kernels.sense_adjoint(kernels.sense_forward(solution, maps, p.weights, 3), maps, p.weights, 3)
        return loss.sum() + (back**2).sum()

    image = p.image.clone().requires_grad_()
    eager = torch.autograd.grad(objective(image), image)[0]
    compiled = torch.compile(objective, fullgraph=True, backend="aot_eager")
    assert torch.equal(torch.autograd.grad(compiled(image), image)[0], eager)
