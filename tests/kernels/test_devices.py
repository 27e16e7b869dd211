"""Tensors of several devices, of other dtypes, lazily negated or conjugated: refused, or taken for what they say."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.kernels.problems import problem
from ugodit import kernels
from ugodit.kernels.calibration import espirit_maps_
from ugodit.kernels.wavelets import shrink_wavelets

P = problem(2, 3, 5, 12)
MAPS, KSPACE = kernels.pack_maps(P.maps), kernels.pack_kspace(P.kspace)
MU = torch.tensor([0.1, 0.2])
OPS = torch.ops.ugodit


ON_META: list[Callable[[Callable[[Tensor], Tensor]], object]] = [
    lambda meta: OPS.sense_residual(P.image, meta(MAPS), KSPACE, P.weights, 3),
    lambda meta: OPS.sense_residual(P.image, MAPS, meta(KSPACE), P.weights, 3),
    lambda meta: OPS.sense_residual(P.image, MAPS, None, meta(P.weights), 3),
    lambda meta: OPS.sense_residual(meta(P.image), MAPS, None, P.weights, 3),
    lambda meta: OPS.sense_forward(P.image, MAPS, meta(P.weights), 3),
    lambda meta: OPS.sense_forward(P.image, meta(MAPS), P.weights, 3),
    lambda meta: OPS.sense_adjoint(torch.view_as_real(P.kspace), meta(MAPS), P.weights, 3),
    lambda meta: OPS.sense_adjoint(meta(torch.view_as_real(P.kspace)), MAPS, P.weights, 3),
    lambda meta: OPS.sense_solve(P.image, P.image, MAPS, P.weights, meta(MU), 3, 1, 0.0),
    lambda meta: OPS.sense_solve(P.image, meta(P.image), MAPS, P.weights, MU, 3, 1, 0.0),
    lambda meta: OPS.sense_solve(P.image, P.image, meta(MAPS), P.weights, MU, 3, 1, 0.0),
]


@pytest.mark.parametrize("call", ON_META, ids=range(len(ON_META)))
def test_a_meta_tensor_among_real_ones_is_refused_at_the_op(call: Callable[..., object]) -> None:
    """An op that took it for a question about shapes would return memory that nobody has written."""
    call(lambda tensor: tensor)
    with pytest.raises(ValueError, match=r"expected device (cpu|meta), as of (image|kspace|rhs), got (meta|cpu)"):
        call(lambda tensor: tensor.to("meta"))


def test_meta_tensors_alone_say_what_shapes_come_out() -> None:
    image, maps, weights = (one.to("meta") for one in (P.image, MAPS, P.weights))
    loss, gradient = OPS.sense_residual(image, maps, None, weights, 3)
    assert (loss.shape, gradient.shape, gradient.device.type) == ((2,), (2, 2, 5, 12), "meta")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int32, torch.complex64])
def test_another_dtype_is_refused_at_the_op(dtype: torch.dtype) -> None:
    real = torch.view_as_real(P.kspace)
    calls: list[Callable[[], object]] = [
        lambda: OPS.sense_residual(P.image.to(dtype), MAPS, KSPACE, P.weights, 3),
        lambda: OPS.sense_residual(P.image, MAPS.to(dtype), KSPACE, P.weights, 3),
        lambda: OPS.sense_residual(P.image, MAPS, KSPACE.to(dtype), P.weights, 3),
        lambda: OPS.sense_forward(P.image, MAPS, P.weights.to(dtype), 3),
        lambda: OPS.sense_adjoint(real.to(dtype), MAPS, P.weights, 3),
        lambda: OPS.sense_solve(P.image, P.image.to(dtype), MAPS, P.weights, MU, 3, 1, 0.0),
        lambda: OPS.sense_solve(P.image, P.image, MAPS, P.weights, MU.to(dtype), 3, 1, 0.0),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=r"expected dtype torch\.float32"):
            call()


def negative(tensor: Tensor) -> Tensor:
    """The same values with torch's lazy negation, in contiguous memory."""
    lazy = torch._neg_view((-tensor).contiguous())
    assert lazy.is_neg()
    assert torch.equal(lazy, tensor)
    return lazy


def test_lazily_negated_tensors() -> None:
    real = torch.view_as_real(P.kspace).contiguous()
    pairs: list[Callable[[Callable[[Tensor], Tensor]], Any]] = [
        lambda n: kernels.sense_residual(n(P.image), n(MAPS), n(KSPACE), n(P.weights), 3),
        lambda n: [kernels.sense_forward(n(P.image), n(MAPS), n(P.weights), 3)],
        lambda n: [kernels.sense_adjoint(n(real), n(MAPS), n(P.weights), 3)],
        lambda n: kernels.sense_solve(n(P.image), n(P.image), n(MAPS), n(P.weights), n(MU), 3, 2),
        lambda n: [shrink_wavelets(n(P.image), n(MU), (1, 2))],
    ]
    for call in pairs:
        assert all(map(torch.equal, call(negative), call(lambda tensor: tensor)))


def test_lazily_negated_and_conjugated_maps() -> None:
    lazy = torch._neg_view(-P.maps)
    assert lazy.is_neg()
    assert torch.equal(kernels.pack_maps(lazy), MAPS)
    both = torch._neg_view((-P.maps).conj().resolve_conj()).conj()
    assert both.is_conj()
    assert both.is_neg()
    assert torch.equal(kernels.pack_maps(both), MAPS)
    assert torch.equal(kernels.pack_kspace(torch._neg_view(-P.kspace)), KSPACE)


def test_calibration_writes_no_lazy_views() -> None:
    """What is written into their memory would be read with another sign."""
    maps, eigenvalues = torch.zeros(1, 2, 4, 5, dtype=torch.complex64), torch.zeros(1, 4, 5)
    correlations, reference = torch.zeros(3, 3, 2, 2, dtype=torch.complex64), torch.ones(2, dtype=torch.complex64)
    for lazy in (maps.conj(), torch._neg_view(maps)):
        with pytest.raises(ValueError, match="maps: expected contiguous complex64"):
            espirit_maps_(lazy, eigenvalues, correlations, reference, 0.5)
    with pytest.raises(ValueError, match="eigenvalues: expected contiguous float32"):
        espirit_maps_(maps, torch._neg_view(eigenvalues), correlations, reference, 0.5)
    with pytest.raises(ValueError, match="none of its axes 0"):
        espirit_maps_(maps[..., :0], eigenvalues[..., :0], correlations, reference, 0.5)


def test_wavelets_have_no_gradient() -> None:
    with pytest.raises(ValueError, match="image: expected a tensor that does not require grad"):
        shrink_wavelets(P.image.clone().requires_grad_(), MU, (0, 0))
