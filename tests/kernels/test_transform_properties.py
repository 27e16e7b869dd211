"""The transforms' plans: what they are made of for every length, and that they are numpy's transform."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ugodit import kernels
from ugodit.kernels import _cpu

BUTTERFLIES = {1, 2, 3, 4, 5, 6, 8, 12, 16}
LARGEST_DENSE_PRIME = 127
TOLERANCE = 2e-6


def is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))


def check_plan(n: int) -> None:
    radices = _cpu.radices(n)
    assert math.prod(radices) == n, n
    # A radix without a butterfly is a prime: a dense product, or, for one that is large, Bluestein's algorithm.
    assert all(radix in BUTTERFLIES or is_prime(radix) for radix in radices), n
    assert sum(radix > LARGEST_DENSE_PRIME for radix in radices) <= 1, n
    assert all(radix <= LARGEST_DENSE_PRIME for radix in radices[:-1]), n


def test_plans_of_small_lengths() -> None:
    for n in range(1, 513):
        check_plan(n)


@pytest.mark.slow
def test_plans_of_all_lengths() -> None:
    for n in range(513, 4097):
        check_plan(n)


@pytest.mark.parametrize("n", [0, -1, 131 * 131, 131 * 137])
def test_lengths_without_a_plan_are_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"no transform of length {n}"):
        _cpu.radices(n)


@settings(max_examples=40)
@given(n=st.integers(1, 4096), rows=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_forward_is_numpys_centred_transform(n: int, rows: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(1, 2, rows, n, generator=generator)
    maps = kernels.pack_maps(torch.ones(1, 1, rows, n, dtype=torch.complex64))
    found = torch.view_as_complex(kernels.sense_forward(image, maps, torch.ones(1, n), 1))[0, 0].numpy()
    samples = torch.complex(image[0, 0], image[0, 1]).numpy().astype(np.complex128)
    shifted = np.fft.fft(np.fft.ifftshift(samples, axes=-1), norm="ortho")
    expected = np.fft.fftshift(shifted, axes=-1)
    assert np.linalg.norm(found - expected) <= TOLERANCE * np.linalg.norm(expected)
