"""Convolution by FFT, against SciPy's sums; its adjoint, against its own matrix."""

import numpy as np
import pytest
import scipy.ndimage
import torch

from ugodit.data.convolution import BOUNDARIES, Boundary, Convolution
from ugodit.errors import InputError

# SciPy's names: "mirror" does not repeat the outermost pixel.
MODES = {"reflect": "mirror", "circular": "wrap"}
EVERY = pytest.mark.parametrize("boundary", BOUNDARIES)
SIZES = pytest.mark.parametrize(
    ("kernel", "image"), [((3, 3), (8, 9)), ((5, 1), (5, 7)), ((1, 1), (1, 1)), ((7, 9), (31, 10)), ((9, 7), (11, 13))]
)


def random(*shape: int) -> torch.Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@EVERY
@SIZES
def test_scipys_convolution(boundary: Boundary, kernel: tuple[int, int], image: tuple[int, int]) -> None:
    kernels, images = random(2, *kernel), random(2, 3, *image)
    found = Convolution(kernels, *image, boundary)(images)
    for item in range(2):
        for channel in range(3):
            expected = scipy.ndimage.convolve(
                images[item, channel].numpy(), kernels[item].numpy(), mode=MODES[boundary]
            )
            np.testing.assert_allclose(found[item, channel].numpy(), expected, atol=1e-12)


@EVERY
@SIZES
def test_the_adjoint_is_the_transposed_matrix(
    boundary: Boundary, kernel: tuple[int, int], image: tuple[int, int]
) -> None:
    convolution = Convolution(random(1, *kernel), *image, boundary)
    units = torch.eye(image[0] * image[1], dtype=torch.float64).view(-1, 1, *image)
    there, back = (function(units).flatten(1) for function in (convolution, convolution.adjoint))
    torch.testing.assert_close(there, back.T, atol=1e-12, rtol=0)


@EVERY
def test_derivatives(boundary: Boundary) -> None:
    convolution = Convolution(random(1, 3, 5), 6, 7, boundary)
    image = random(2, 1, 6, 7).requires_grad_()
    assert torch.autograd.gradcheck(convolution, image)
    assert torch.autograd.gradcheck(convolution.adjoint, image)


def test_an_image_that_is_too_small() -> None:
    with pytest.raises(
        InputError, match=r"^`kernel`: one of 9 x 5 pixels needs an image of 5 x 3 or more, got 4 x 8; take a smaller"
    ):
        Convolution(random(1, 9, 5), 4, 8, "reflect")
    with pytest.raises(InputError, match=r"^`kernel`: one of 9 x 5 pixels needs an image of 9 x 5 or more, got 8 x 8"):
        Convolution(random(1, 9, 5), 8, 8, "circular")
