"""The helpers notice an operator that is wrong."""

import math

import torch

from tests.kernels.problems import TOLERANCE, problem, relative_error
from ugodit.kernels import reference


def test_relative_error_notices_a_missing_shift_a_conjugate_and_a_scale() -> None:
    p = problem(1, 3, 4, 15)
    image, maps, kspace, weights = p.double()
    loss, gradient = reference.sense_residual(image, maps, kspace, weights)
    for wrong in (maps.conj(), maps.roll(1, -1), 1.00001 * maps):
        wrong_loss, wrong_gradient = reference.sense_residual(image, wrong, kspace, weights)
        assert relative_error(wrong_loss, loss) > TOLERANCE
        assert relative_error(wrong_gradient, gradient) > TOLERANCE


def test_relative_error_is_zero_only_for_equal_arrays() -> None:
    zero, one = torch.zeros(3), torch.ones(3)
    assert relative_error(zero, zero) == 0
    assert relative_error(one, one) == 0
    assert math.isinf(relative_error(one, zero))
    assert relative_error(zero, one) == 1


def test_the_reference_is_the_definition_written_out() -> None:
    """One item against a dense matrix built from the definition of the centred unitary DFT."""
    p = problem(1, 2, 1, 5)
    image, maps, kspace, weights = p.double()
    index = torch.arange(5, dtype=torch.float64) - 5 // 2
    dft = torch.exp(-2j * math.pi * index[:, None] * index / 5) / math.sqrt(5)
    x = torch.complex(image[0, 0, 0], image[0, 1, 0])
    loss, gradient = torch.zeros((), dtype=torch.float64), torch.zeros(5, dtype=torch.complex128)
    for coil in range(2):
        residual = dft @ (maps[0, coil, 0] * x) - kspace[0, coil, 0]
        loss = loss + (weights[0] * residual.abs() ** 2).sum()
        gradient = gradient + maps[0, coil, 0].conj() * (dft.conj().T @ (weights[0] * residual))
    got_loss, got_gradient = reference.sense_residual(image, maps, kspace, weights)
    torch.testing.assert_close(got_loss[0], loss)
    torch.testing.assert_close(torch.complex(got_gradient[0, 0, 0], got_gradient[0, 1, 0]), gradient)
