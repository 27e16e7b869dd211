"""The transforms' plans: for every length they are numpy's transform."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ugodit import kernels

TOLERANCE = 2e-6


@pytest.mark.parametrize("n", [131 * 131, 131 * 137])
def test_lengths_without_a_plan_are_refused(n: int) -> None:
    """Two large primes: neither a dense product nor Bluestein's algorithm is for both."""
    with pytest.raises(ValueError, match=f"no transform of length {n}"):
        forward(torch.zeros(1, 2, 1, n))


def forward(image: torch.Tensor) -> np.ndarray:
    """The centred transform along the width of a complex image (1, 2, H, W), as the kernels compute it."""
    rows, n = image.shape[-2:]
    maps = kernels.pack_maps(torch.ones(1, 1, rows, n, dtype=torch.complex64))
    return torch.view_as_complex(kernels.sense_forward(image, maps, torch.ones(1, n), 1))[0, 0].numpy()


def numpys(image: torch.Tensor) -> np.ndarray:
    samples = torch.complex(image[0, 0], image[0, 1]).numpy().astype(np.complex128)
    return np.fft.fftshift(np.fft.fft(np.fft.ifftshift(samples, axes=-1), norm="ortho"), axes=-1)


def check(n: int, rows: int, seed: int) -> None:
    image = torch.randn(1, 2, rows, n, generator=torch.Generator().manual_seed(seed))
    expected = numpys(image)
    assert np.linalg.norm(forward(image) - expected) <= TOLERANCE * np.linalg.norm(expected), n


@settings(max_examples=60)
@given(n=st.integers(1, 4096), rows=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_every_plan_is_numpys_centred_transform(n: int, rows: int, seed: int) -> None:
    check(n, rows, seed)


@pytest.mark.slow
def test_all_plans_are_numpys_centred_transform() -> None:
    for n in range(1, 4097):
        check(n, 1, n)
