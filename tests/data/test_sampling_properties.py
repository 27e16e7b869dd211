"""What holds for every mask, not only for the examples of test_sampling.py."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ugodit.data.geometry import central
from ugodit.data.masks import KINDS, cartesian_mask
from ugodit.data.scan import Scan
from ugodit.data.undersampling import acs_width, central_run, undersample
from ugodit.errors import InputError

SEEDS = st.integers(0, 2**32 - 1) | st.tuples(st.integers(0, 255), st.integers(0, 255))
WIDTHS = st.integers(1, 400)
FRACTIONS = st.floats(0.005, 0.6)
LINES = arrays.arrays(bool, st.integers(1, 60))
FITTING = arrays.arrays(bool, (6,)) | arrays.arrays(bool, (4, 6))
PLANES = arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def centre_of(width: int, fraction: float) -> slice:
    """Where fastMRI puts the fully sampled lines."""
    lines = round(width * fraction)
    first = (width - lines + 1) // 2
    return slice(first, first + lines)


@given(kind=st.sampled_from(KINDS), width=WIDTHS, acceleration=st.integers(1, 16), fraction=FRACTIONS, seed=SEEDS)
def test_every_mask_has_its_centre_and_its_seed(kind, width, acceleration, fraction, seed):
    try:
        mask = cartesian_mask(kind, width, acceleration, fraction, seed)
    except InputError:  # the one kind that takes its centre from the lines there are
        assert kind == "equispaced_fraction"
        assert round(width * fraction) * acceleration >= width
        return
    assert mask.dtype == bool
    assert mask.shape == (width,)
    centre = centre_of(width, fraction)
    assert mask[centre].all()
    if centre.stop > centre.start:
        assert mask[width // 2]
        # Of an even number of lines in an odd width one lies on the far side, and is not part of a centred block.
        assert acs_width(mask) >= centre.stop - centre.start - 1
    np.testing.assert_array_equal(mask, cartesian_mask(kind, width, acceleration, fraction, seed))


@given(width=WIDTHS, acceleration=st.integers(1, 16), fraction=FRACTIONS, seed=SEEDS)
def test_equispaced_lines_are_one_in_so_many(width, acceleration, fraction, seed):
    mask = cartesian_mask("equispaced", width, acceleration, fraction, seed)
    centre = centre_of(width, fraction)
    outside = np.flatnonzero(mask)
    outside = outside[(outside < centre.start) | (outside >= centre.stop)]
    assert len({int(line) % acceleration for line in outside}) <= 1
    lines = centre.stop - centre.start
    assert width // acceleration <= mask.sum() <= -(-width // acceleration) + lines


@given(width=st.integers(20, 400), acceleration=st.floats(2, 8), fraction=st.floats(0.02, 0.1), seed=SEEDS)
def test_equispaced_fraction_keeps_about_one_line_in_so_many(width, acceleration, fraction, seed):
    assume(round(width * fraction) * acceleration < width)
    mask = cartesian_mask("equispaced_fraction", width, acceleration, fraction, seed)
    # A line more or less at either end, and where the rounded positions meet the centre.
    assert abs(mask.sum() - width / acceleration) <= 4


@given(LINES)
def test_the_central_run_is_the_longest_that_holds_the_centre(mask):
    start, stop = central_run(mask)
    centre = len(mask) // 2
    assert 0 <= start <= centre <= stop <= len(mask)
    assert mask[start:stop].all()
    assert (start == stop) == (not mask[centre])
    if mask[centre]:
        assert start == 0 or not mask[start - 1]
        assert stop == len(mask) or not mask[stop]
    assert central_run(torch.from_numpy(mask)) == (start, stop)


@given(LINES)
def test_acs_width_is_the_largest_centred_run(mask):
    sampled = [size for size in range(len(mask) + 1) if mask[central(len(mask), size)].all()]
    assert acs_width(mask) == max(sampled) == acs_width(torch.from_numpy(mask))


@given(PLANES)
def test_acs_width_is_the_largest_centred_square(mask):
    rows, columns = mask.shape
    sizes = range(min(mask.shape) + 1)
    sampled = [size for size in sizes if mask[central(rows, size), central(columns, size)].all()]
    assert acs_width(mask) == max(sampled)


@given(arrays.arrays(np.int8, (2, 4, 6), elements=st.integers(-1, 1)), FITTING)
def test_undersample_keeps_exactly_the_masked_samples(values, mask):
    kspace = torch.from_numpy(values).to(torch.complex64)
    scan = Scan("volume", 0, kspace, None, (4, 6), None)
    acquired = (values != 0).any((0, 1))
    if not (mask & acquired).any():
        with pytest.raises(InputError, match="no measured line"):
            undersample(scan, mask)
        return
    result = undersample(scan, mask)
    assert result.mask is not None
    np.testing.assert_array_equal(result.mask.numpy(), mask & acquired)
    np.testing.assert_array_equal(result.kspace.numpy(), np.where(mask, kspace.numpy(), 0))
