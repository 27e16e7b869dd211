"""Kernels add up to 1, stay in place, are seeded; what can be none is refused."""

from typing import Any

import numpy as np
import pytest
import scipy.ndimage

from ugodit.data.blur_kernels import checked_kernel, gaussian_kernel, motion_kernel
from ugodit.errors import InputError


def centre_of_gravity(kernel: np.ndarray) -> np.ndarray:
    rows, columns = np.indices(kernel.shape)
    return np.array([(kernel * rows).sum(), (kernel * columns).sum()])


@pytest.mark.parametrize(("size", "width"), [(61, 3.0), (31, 0.5), (15, 1.7)])
def test_a_gaussian_is_scipys_where_it_fits(size: int, width: float) -> None:
    """DPS blurs a single point with SciPy."""
    point = np.zeros((size, size))
    point[size // 2, size // 2] = 1
    expected = scipy.ndimage.gaussian_filter(point, width, mode="constant")
    np.testing.assert_allclose(gaussian_kernel(size, width), expected, atol=1e-12)


def test_a_gaussian_that_does_not_fit_is_cut_off() -> None:
    kernel = gaussian_kernel(5, 10.0)
    assert kernel.sum() == pytest.approx(1)
    assert kernel.min() > 0.03


@pytest.mark.parametrize("size", [3, 9, 21, 61])
@pytest.mark.parametrize("intensity", [0.0, 0.5, 1.0])
def test_a_motion(size: int, intensity: float) -> None:
    for seed in range(5):
        kernel = motion_kernel(size, intensity, seed)
        assert kernel.shape == (size, size)
        assert kernel.min() >= 0
        assert kernel.sum() == pytest.approx(1)
        np.testing.assert_allclose(centre_of_gravity(kernel), size // 2, atol=1e-9)
        np.testing.assert_array_equal(kernel, motion_kernel(size, intensity, seed))
        # It reaches the edge on some side, and leaves no gap: one piece, corners touching.
        assert max(kernel[0].max(), kernel[-1].max(), kernel[:, 0].max(), kernel[:, -1].max()) > 0
        assert scipy.ndimage.label(kernel > 0, np.ones((3, 3)))[1] == 1
    assert (motion_kernel(size, intensity, 0) != motion_kernel(size, intensity, 1)).any()


def test_without_intensity_a_motion_is_a_line() -> None:
    kernel = motion_kernel(41, 0.0, 3)
    rows, columns = np.nonzero(kernel)
    weights = kernel[rows, columns]
    spread = np.linalg.eigvalsh(np.cov(np.stack((rows, columns)), aweights=weights))
    # Bilinear spreading alone has a variance of 1/4 at most; a line of length l has l^2 / 12.
    assert spread[0] < 0.3
    assert spread[1] > 40**2 / 12


def test_any_numbers_that_make_a_kernel() -> None:
    np.testing.assert_allclose(checked_kernel([[0, 2, 0], [2, 4, 0], [0, 0, 0]]).sum(), 1)
    assert checked_kernel(np.ones((1, 3), np.uint8)).tolist() == [[1 / 3, 1 / 3, 1 / 3]]


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ([[1, 1], [1, 1]], "expected an odd number of rows and columns, 511 at most, got 2 x 2; add a row"),
        ([1.0, 2.0, 1.0], r"expected rows and columns, got an array of shape \(3,\)"),
        ([[1.0], [1.0, 2.0]], "expected rows of numbers, all of one length"),
        ([["a"]], "expected rows of numbers"),
        ([[0.0, 0.0, 0.0]], "expected finite numbers of 0 or more, not all 0"),
        ([[1.0, -0.1, 1.0]], "expected finite numbers of 0 or more"),
        ([[1.0, float("nan"), 1.0]], "expected finite numbers"),
        (np.full((1, 3), 1e308), "expected finite numbers"),
        (np.ones((1, 513)), "expected an odd number .* 511 at most, got 1 x 513"),
        (np.ones((0, 3)), "expected an odd number .* got 0 x 3"),
    ],
)
def test_what_can_be_no_kernel(kernel: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^`kernel`: {message}") as error:
        checked_kernel(kernel)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gaussian_kernel(4, 1.0), "`size`: expected an odd number from 3 to 511 of pixels, got 4"),
        (lambda: gaussian_kernel(1, 1.0), "`size`"),
        (lambda: gaussian_kernel(9, 0.0), "`width`: expected a number above 0"),
        (lambda: gaussian_kernel(9, float("nan")), "`width`"),
        (lambda: motion_kernel(513, 0.5, 0), "`size`"),
        (lambda: motion_kernel(9, 1.1, 0), "`intensity`: expected a number from 0 to 1, got 1.1"),
        (lambda: motion_kernel(9, 0.5, -1), "`seed`: expected a whole number from 0 to 2"),
    ],
)
def test_out_of_range(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}"):
        make()
