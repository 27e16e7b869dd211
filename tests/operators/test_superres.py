"""Super-resolution: the measured values, and the solve by formula."""

import math

import numpy as np
import pytest
import torch
from photographs import measured, part, photograph
from torch import Tensor

from ugodit.data.degradations import FACTORS, SuperResolution
from ugodit.operators.superres import SuperresOperator

FACTOR = pytest.mark.parametrize("factor", FACTORS)


def weight(distance: float) -> float:
    """Keys' cubic, a = -0.5."""
    t = abs(distance)
    if t >= 2:
        return 0.0
    return 1.5 * t**3 - 2.5 * t**2 + 1 if t <= 1 else -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2


def shrunk_pixel(image: np.ndarray, factor: int, row: int, column: int) -> float:
    """The mean of a mirrored image round the centre of a pixel of factor x factor, weighted by the stretched cubic."""
    total = weights = 0.0
    centre = ((row + 0.5) * factor - 0.5, (column + 0.5) * factor - 0.5)
    reach = 2 * factor
    mirrored = np.pad(image, reach, mode="symmetric")
    for down in range(math.ceil(centre[0] - reach), math.floor(centre[0] + reach) + 1):
        for across in range(math.ceil(centre[1] - reach), math.floor(centre[1] + reach) + 1):
            product = weight((down - centre[0]) / factor) * weight((across - centre[1]) / factor)
            total += product * mirrored[down + reach, across + reach]
            weights += product
    return total / weights


@FACTOR
def test_the_values_of_the_definition(factor: int) -> None:
    image = torch.rand(1, 1, 4 * factor, 5 * factor)
    operator = SuperresOperator.from_measurements(torch.zeros(1, 1, 4, 5), factor)
    pixels = image[0, 0].double().numpy()
    expected = [[shrunk_pixel(pixels, factor, row, column) for column in range(5)] for row in range(4)]
    np.testing.assert_allclose(operator.forward(image)[0, 0].numpy(), expected, atol=1e-5)


@FACTOR
def test_a_step_along_the_gradient_is_safe(factor: int) -> None:
    """The norm is the product of the axes' largest singular values."""
    operator, _ = measured(SuperResolution(factor=factor), channels=1)
    norm = torch.linalg.matrix_norm(operator.rows, 2) * torch.linalg.matrix_norm(operator.columns, 2)  # type: ignore[attr-defined]
    assert float(norm) <= 1
    # A constant is kept, and has 1 / factor^2 of the pixels.
    assert float(norm) >= 1 / factor - 1e-6


@FACTOR
@pytest.mark.parametrize("length", [1, 2, 5, 16, 100])
def test_no_measured_number_is_nearly_lost(factor: int, length: int) -> None:
    operator = SuperresOperator.from_measurements(torch.zeros(1, 1, length, 1), factor)
    singular = torch.linalg.svdvals(operator.rows.double())
    assert float(singular.min() ** 2 * factor) > 0.4
    assert float(singular.max() ** 2 * factor) < 1.0001
    torch.testing.assert_close(operator.row_values.double(), singular.square().flip(0), rtol=1e-5, atol=0)


def left(operator: SuperresOperator, solved: Tensor, image: Tensor, mu: Tensor) -> float:
    """The gradient of |A x - y|^2 + mu |x - u|^2, over that at u."""
    gradient = operator.gradient(solved) + mu.view(-1, 1, 1, 1) * (solved - image)
    return float(gradient.norm() / operator.gradient(image).norm())


@FACTOR
def test_the_formula_needs_no_steps(factor: int) -> None:
    kind = SuperResolution(factor=factor)
    image = torch.cat([photograph(height=48, width=96, seed=seed) for seed in (0, 1)])
    operator = SuperresOperator.from_measurements(kind.apply(image), factor)
    start, mu = torch.rand(image.shape), torch.tensor([1e-3, 1.0])
    solved = operator.proximal(start, mu, 0)
    assert left(operator, solved, start, mu) < 1e-5
    assert torch.equal(operator.proximal(start, mu, 10), solved)
    # A split has no formula; its conjugate gradients are among the few pixels of the small image.
    seen = part(operator)
    assert left(seen, seen.proximal(start, mu, 40), start, mu) < 1e-4  # type: ignore[arg-type]


@FACTOR
def test_the_initial_image_is_bicubic_interpolation(factor: int) -> None:
    """Which keeps constants, and what is linear along an axis away from the edges."""
    small = torch.arange(12.0).expand(1, 1, 12, 12)
    initial = SuperresOperator.from_measurements(small, factor).initial()
    assert initial.shape == (1, 1, 12 * factor, 12 * factor)
    expected = (torch.arange(12 * factor) + 0.5) / factor - 0.5
    inside = slice(2 * factor, -2 * factor)
    torch.testing.assert_close(initial[0, 0, 0, inside], expected[inside], atol=1e-5, rtol=0)
    torch.testing.assert_close(initial[0, 0, -1], initial[0, 0, 0])
