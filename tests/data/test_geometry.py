import numpy as np
import pytest
import torch
from helpers import centred_fft as numpy_fft
from helpers import centred_ifft as numpy_ifft
from helpers import random_complex

from ugodit.data.geometry import center_crop, center_rows, central, centred_fft, centred_ifft


@pytest.mark.parametrize(
    ("size", "crop"), [((16, 12), (8, 8)), ((15, 13), (8, 8)), ((16, 12), (7, 5)), ((5, 5), (5, 4))]
)
def test_center_crop_rounds_like_fastmri(size, crop):
    image = np.arange(size[0] * size[1]).reshape(size)
    top, left = (size[0] - crop[0]) // 2, (size[1] - crop[1]) // 2
    expected = image[top : top + crop[0], left : left + crop[1]]
    np.testing.assert_array_equal(center_crop(image, crop), expected)
    np.testing.assert_array_equal(center_crop(torch.from_numpy(image), crop).numpy(), expected)
    np.testing.assert_array_equal(center_rows(image, crop[0]), image[top : top + crop[0]])


@pytest.mark.parametrize(("length", "size"), [(8, 3), (8, 4), (7, 3), (7, 4), (5, 5), (6, 0)])
def test_central_samples_keep_the_centre(length, size):
    chosen = list(range(length))[central(length, size)]
    assert len(chosen) == size
    assert not size or chosen[size // 2] == length // 2


@pytest.mark.parametrize("axes", [(-2, -1), (-1,), (-2,)])
@pytest.mark.parametrize("shape", [(2, 6, 5), (3, 7, 8)])
def test_the_transforms_are_centred_and_unitary(shape, axes):
    array = random_complex(shape)
    # Single precision, transforms of 8 points at most.
    np.testing.assert_allclose(centred_fft(torch.from_numpy(array), axes).numpy(), numpy_fft(array, axes), atol=1e-5)
    np.testing.assert_allclose(centred_ifft(torch.from_numpy(array), axes).numpy(), numpy_ifft(array, axes), atol=1e-5)
