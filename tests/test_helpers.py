import numpy as np
import pytest
from helpers import centred_fft, centred_ifft, random_complex


def _matrix(n, centre):
    """The unitary DFT with its zero frequency and its origin at index `centre`, from the definition."""
    index = np.arange(n) - centre
    return np.exp(-2j * np.pi * np.outer(index, index) / n) / np.sqrt(n)


@pytest.mark.parametrize("shape", [(6, 4), (5, 7), (1, 8)])
def test_the_centred_transforms_are_the_definition_and_another_centre_is_not(shape):
    image = random_complex(shape).astype(complex)
    expected = _matrix(shape[0], shape[0] // 2) @ image @ _matrix(shape[1], shape[1] // 2).T
    np.testing.assert_allclose(centred_fft(image), expected, atol=1e-12)
    np.testing.assert_allclose(centred_ifft(expected), image, atol=1e-12)
    wrong = _matrix(shape[0], shape[0] // 2) @ image @ _matrix(shape[1], (shape[1] - 1) // 2 - 1).T
    assert np.abs(centred_fft(image) - wrong).max() > 0.1
