"""Resizing, against definitions that share no code with it."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from ugodit.data.resizing import cubic, resize, resize_matrix

SIZES = [(32, 16), (27, 9), (64, 16), (64, 8), (8, 2), (4, 1), (20, 13), (13, 13), (9, 36), (5, 40), (1, 4), (3, 1)]


def keys(distance: float, a: float = -0.5) -> float:
    """The cubic as Keys gives it, for any a."""
    t = abs(distance)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def slow_resize(line: list[float], new_length: int) -> list[float]:
    """MATLAB's imresize of a line, pixel by pixel: coordinates from 1, u = x / s + (1 - 1 / s) / 2."""
    length = len(line)
    s = new_length / length
    shrinks = min(s, 1.0)
    result = []
    for x in range(1, new_length + 1):
        u = x / s + 0.5 * (1 - 1 / s)
        total = weights = 0.0
        for position in range(math.floor(u - 4 / shrinks), math.ceil(u + 4 / shrinks) + 1):
            weight = shrinks * keys(shrinks * (u - position))
            source = position
            while not 1 <= source <= length:
                source = 1 - source if source < 1 else 2 * length + 1 - source
            total += weight * line[source - 1]
            weights += weight
        result.append(total / weights)
    return result


@pytest.mark.parametrize(("length", "new_length"), SIZES)
def test_the_published_definition(length: int, new_length: int) -> None:
    line = np.random.default_rng(length).random(length)
    found = resize_matrix(length, new_length) @ line
    np.testing.assert_allclose(found, slow_resize(line.tolist(), new_length), atol=1e-12)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_pillow_agrees_inside(factor: int) -> None:
    """Pillow has the same cubic, stretched in the same way; at the edges it leaves out what we mirror."""
    image = np.random.default_rng(0).random((12 * factor, 14 * factor)).astype(np.float32)
    expected = np.asarray(Image.fromarray(image).resize((14, 12), Image.Resampling.BICUBIC))
    found = resize(torch.from_numpy(image)[None, None], 12, 14)[0, 0].numpy()
    np.testing.assert_allclose(found[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-5)


@pytest.mark.parametrize(("length", "new_length"), SIZES)
def test_constants_are_kept_and_nothing_is_written_to(length: int, new_length: int) -> None:
    matrix = resize_matrix(length, new_length)
    assert matrix.shape == (new_length, length)
    np.testing.assert_allclose(matrix.sum(1), 1)
    assert not matrix.flags.writeable
    # A mirrored image is resized to the mirrored image.
    np.testing.assert_allclose(matrix[::-1, ::-1], matrix, atol=1e-12)


def test_the_cubic() -> None:
    distances = np.linspace(-2.5, 2.5, 101)
    np.testing.assert_allclose(cubic(distances), [keys(distance) for distance in distances], atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_of_a_batch(dtype: torch.dtype) -> None:
    image = torch.rand(2, 3, 12, 20, dtype=dtype)
    small = resize(image, 4, 10)
    assert small.shape == (2, 3, 4, 10)
    assert small.dtype == dtype
    for item in range(2):
        for channel in range(3):
            rows = [slow_resize(row, 10) for row in image[item, channel].tolist()]
            expected = [slow_resize(list(column), 4) for column in zip(*rows, strict=True)]
            torch.testing.assert_close(small[item, channel], torch.tensor(expected, dtype=dtype).T, atol=1e-6, rtol=0)
