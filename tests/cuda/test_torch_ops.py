"""The path through torch.fft that CUDA takes for masks along both axes: it runs on the CPU as well."""

import pytest
import torch

from tests.kernels.problems import TOLERANCE, problem, relative_error
from ugodit.kernels import _torch_ops, reference


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 8), (8, 5), (31, 33)])
def test_agrees_with_the_reference(height: int, width: int, both: bool) -> None:
    p = problem(2, 3, height, width, both=both)
    p64 = p.double()
    maps, kspace = _torch_ops.pack_maps(p.maps, both), _torch_ops.pack_kspace(p.kspace, both)
    mu = torch.tensor([0.5, 2.0])
    start = p.image.flip(-1)
    coil_array = torch.view_as_real(p.kspace)
    pairs = [
        *zip(
            _torch_ops.sense_residual(p.image, maps, kspace, p.weights, 3), reference.sense_residual(*p64), strict=True
        ),
        (
            _torch_ops.sense_residual(p.image, maps, None, p.weights, 3)[1],
            reference.sense_residual(p64[0], p64[1], None, p64[3])[1],
        ),
        (_torch_ops.sense_forward(p.image, maps, p.weights, 3), reference.sense_forward(p64[0], p64[1], p64[3])),
        (
            _torch_ops.sense_adjoint(coil_array, maps, p.weights, 3),
            reference.sense_adjoint(coil_array.double(), p64[1], p64[3]),
        ),
        (
            _torch_ops.sense_solve(p.image, start, maps, p.weights, mu, 3, 3, 0.0)[0],
            reference.sense_solve(p64[0], start.double(), p64[1], p64[3], mu.double(), iterations=3)[0],
        ),
    ]
    for got, expected in pairs:
        assert relative_error(got, expected) < TOLERANCE


@pytest.mark.parametrize("both", [False, True])
def test_an_item_stops_by_itself(both: bool) -> None:
    p = problem(2, 3, 6, 8, both=both)
    rhs = p.image.clone()
    rhs[0] = 0
    maps, mu = _torch_ops.pack_maps(p.maps, both), torch.tensor([0.5, 2.0])
    solution, norm = _torch_ops.sense_solve(rhs, torch.zeros_like(rhs), maps, p.weights, mu, 3, 50, 1e-3)
    assert not solution[0].any()
    assert norm[0] == 0
    assert norm[1] <= 1.01e-3 * rhs[1].norm()


@pytest.mark.parametrize("both", [False, True])
def test_no_iterations_return_a_copy(both: bool) -> None:
    p = problem(2, 3, 6, 8, both=both)
    maps, mu = _torch_ops.pack_maps(p.maps, both), torch.tensor([0.5, 2.0])
    solution, _ = _torch_ops.sense_solve(p.image, p.image, maps, p.weights, mu, 3, 0, 0.0)
    assert torch.equal(solution, p.image)
    assert solution.data_ptr() != p.image.data_ptr()


@pytest.mark.parametrize("both", [False, True])
def test_maps_of_the_other_kind_of_mask_are_refused(both: bool) -> None:
    p = problem(2, 9, 6, 8, both=both)
    with pytest.raises(ValueError, match="maps: expected what pack_maps makes"):
        _torch_ops.sense_forward(p.image, _torch_ops.pack_maps(p.maps, not both), p.weights, 9)


def test_implementations_are_registered_for_cuda() -> None:
    for name in ("sense_residual", "sense_forward", "sense_adjoint", "sense_solve"):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"ugodit::{name}", "CUDA")
