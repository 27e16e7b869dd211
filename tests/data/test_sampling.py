"""Sampling: checked when it is made, and the same mask for every slice of a volume."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from helpers import random_complex

from ugodit.data.masks import ALL_KINDS, cartesian_mask, poisson_disc_mask
from ugodit.data.sampling import Sampling
from ugodit.data.scan import Scan
from ugodit.data.undersampling import undersample
from ugodit.errors import InputError


def scan(mask: torch.Tensor | None = None, seed: int = 0) -> Scan:
    return Scan("volume", 2, torch.from_numpy(random_complex((3, 48, 40), seed)), mask, (48, 40), None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "spiral"}, "`kind`: expected one of random, equispaced, .*, poisson, got 'spiral'"),
        ({"acceleration": 0.5}, "`acceleration`: expected a number from 1 to 1000, got 0.5"),
        ({"acceleration": float("nan")}, "`acceleration`: expected a number from 1 to 1000, got nan"),
        ({"center_fraction": 0.0}, "`center_fraction`: expected a number above 0 and below 1, got 0.0"),
        ({"center_fraction": 1.0}, "`center_fraction`: expected a number above 0 and below 1, got 1.0"),
        ({"seed": -1}, "`seed`: expected whole numbers from 0 to 2\\^32 - 1, got -1"),
        ({"seed": 2**32}, "`seed`: expected whole numbers from 0 to 2\\^32 - 1"),
    ],
)
def test_options_out_of_range_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}") as error:
        Sampling(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_the_mask_is_that_of_its_kind_and_seed(kind: str) -> None:
    sampling = Sampling(kind, 4, 0.2, seed=3)
    mask = sampling.mask((48, 40))
    assert mask.dtype == bool
    if kind == "poisson":
        # Of the shorter axis, along both.
        np.testing.assert_array_equal(mask, poisson_disc_mask((48, 40), 4, 8, 3))
    else:
        np.testing.assert_array_equal(mask, cartesian_mask(kind, 40, 4, 0.2, 3))
    np.testing.assert_array_equal(mask, sampling.mask((48, 40)))
    others = [dataclasses.replace(sampling, seed=seed).mask((48, 40)) for seed in range(4, 12)]
    assert any((mask != other).any() for other in others)


def test_a_narrow_poisson_mask_has_a_sample_in_its_centre() -> None:
    mask = Sampling("poisson", 3, 0.01).mask((32, 24))
    np.testing.assert_array_equal(mask, poisson_disc_mask((32, 24), 3, 1, 0))


@pytest.mark.parametrize("kind", ["random", "poisson"])
def test_a_fully_sampled_scan_is_undersampled(kind: str) -> None:
    sampling = Sampling(kind, 3, 0.2)
    full = scan()
    done = sampling.apply(full)
    expected = undersample(full, sampling.mask((48, 40)))
    assert done.mask is not None
    assert done.mask.ndim == (2 if kind == "poisson" else 1)
    assert torch.equal(done.mask, expected.mask)
    assert torch.equal(done.kspace, expected.kspace)
    # The mask of the next slice is the same.
    other = sampling.apply(scan(seed=7))
    assert other.mask is not None
    assert torch.equal(other.mask, done.mask)


def test_a_scan_with_a_mask_of_its_own_stays() -> None:
    own = scan(torch.arange(40) % 2 == 0)
    assert Sampling().apply(own) is own


def test_equal_options_are_one_setting() -> None:
    assert Sampling(acceleration=4) == Sampling(acceleration=4.0)
    assert repr(Sampling(acceleration=4)) == repr(Sampling(acceleration=4.0))
