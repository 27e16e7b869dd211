"""Blurs, missing pixels and noise: solves by formula, and norms."""

import pytest
import torch
from photographs import photograph

from ugodit.data.blur_kernels import gaussian_kernel, motion_kernel
from ugodit.data.convolution import BOUNDARIES, Boundary
from ugodit.operators.blur import BlurOperator, PixelsOperator
from ugodit.operators.photograph import LinearPhotographOperator


def norm(operator: BlurOperator) -> float:
    """By the power method: from below, and within a hundredth after so many steps."""
    vector = torch.rand(operator.shape)
    for _ in range(60):
        vector = operator.normal(vector)
        length = vector.norm()
        vector = vector / length
    return float(length.sqrt())


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_norms(boundary: Boundary) -> None:
    empty = torch.zeros(1, 1, 40, 40)
    kernels = [gaussian_kernel(31, 3.0), *(motion_kernel(31, 0.5, seed) for seed in range(6)), motion_kernel(31, 0, 1)]
    norms = [norm(BlurOperator.from_measurements(empty, kernel, boundary=boundary)) for kernel in kernels]
    assert max(norms) < (1.2 if boundary == "reflect" else 1.0001)
    assert min(norms) > 0.9999  # that of a constant


def test_the_formula_is_what_conjugate_gradients_approach() -> None:
    image = torch.cat([photograph(seed=seed) for seed in (0, 1)])
    operator = BlurOperator.from_measurements(image, motion_kernel(9, 0.5, 0), boundary="circular")
    mu = torch.tensor([0.02, 0.5])
    start = torch.rand(image.shape)
    formula = operator.proximal(start, mu, 0)
    torch.testing.assert_close(
        LinearPhotographOperator.proximal(operator, start, mu, 80), formula, rtol=1e-4, atol=1e-4
    )
    assert torch.equal(operator.proximal(start, mu, 7), formula)


def test_a_point_becomes_the_kernel() -> None:
    kernel = motion_kernel(9, 0.7, 2)
    point = torch.zeros(1, 1, 21, 21)
    point[..., 10, 10] = 1
    for boundary in BOUNDARIES:
        operator = BlurOperator.from_measurements(point, kernel, boundary=boundary)
        blurred = operator.forward(point)[0, 0]
        torch.testing.assert_close(blurred[6:15, 6:15].double(), torch.tensor(kernel), atol=1e-6, rtol=0)


def test_missing_pixels_are_left_to_the_network() -> None:
    image = photograph()
    mask = torch.rand(image.shape[-2:]) < 0.5
    operator = PixelsOperator.from_measurements(image, mask)
    proposal = torch.rand(image.shape)
    solved = operator.proximal(proposal, 0.5, 1)
    assert torch.equal(solved[..., ~mask], proposal[..., ~mask])
    torch.testing.assert_close(solved[..., mask], ((image + 0.5 * proposal) / 1.5)[..., mask])
    # What a network says of a hole is not blanked: the support is everywhere.
    assert bool(operator.support.all())
    # Without a weight: the measured pixels themselves.
    exact = operator.proximal(proposal, 0.0, 1)
    assert torch.equal(exact[..., mask], image[..., mask])
    assert torch.equal(exact[..., ~mask], proposal[..., ~mask])


def test_each_item_may_have_its_mask() -> None:
    image = torch.cat([photograph(seed=seed) for seed in (0, 1)])
    masks = torch.rand(2, *image.shape[-2:]) < 0.5
    operator = PixelsOperator.from_measurements(image, masks)
    assert operator.samples().tolist() == [3 * int(mask.sum()) for mask in masks]
    assert torch.equal(operator.forward(image), image * masks[:, None])
