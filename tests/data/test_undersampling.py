import numpy as np
import pytest
import torch
from helpers import random_complex

from ugodit.data.masks import cartesian_mask
from ugodit.data.scan import Scan
from ugodit.data.undersampling import acs_width, central_run, undersample
from ugodit.errors import InputError


def test_acs_width_counts_a_centred_block():
    def line(width, first, last):
        mask = np.zeros(width, bool)
        mask[first : last + 1] = True
        return mask

    assert acs_width(line(16, 7, 9)) == 3  # centre 8
    assert acs_width(line(16, 6, 9)) == 4
    assert acs_width(line(16, 7, 15)) == 3  # a long run to one side does not widen a centred block
    assert acs_width(line(16, 0, 7)) == 0
    assert acs_width(line(15, 7, 8)) == 1  # fastMRI's two central lines of an odd width
    assert acs_width(np.ones(5, bool)) == 5
    assert acs_width(torch.ones(6, 4, dtype=torch.bool)) == 4
    block = np.zeros((12, 10), bool)
    block[4:9, 3:8] = True
    assert acs_width(block) == 5
    block[5, 5] = False
    assert acs_width(block) < 5


@pytest.mark.parametrize("width", [1, 2, 7, 8])
def test_central_lines_of_every_mask(width):
    for bits in range(2**width):
        mask = np.array([bool(bits >> i & 1) for i in range(width)])
        centre = width // 2
        start, stop = central_run(torch.from_numpy(mask))
        if not mask[centre]:
            assert (start, stop, acs_width(mask)) == (centre, centre, 0)
            continue
        assert start <= centre < stop
        assert mask[start:stop].all()
        assert start == 0 or not mask[start - 1]
        assert stop == width or not mask[stop]
        blocks = [n for n in range(1, width + 1) if mask[centre - n // 2 : centre - n // 2 + n].sum() == n]
        assert acs_width(mask) == max(blocks)


def _scan(mask=None):
    kspace = torch.from_numpy(random_complex((3, 12, 10)))
    return Scan("volume", 2, kspace, mask, (12, 10), None)


def test_undersample_keeps_the_masked_samples_only():
    scan = _scan()
    mask = cartesian_mask("random", 10, 2, 0.3, 0)
    result = undersample(scan, mask)
    np.testing.assert_array_equal(result.mask.numpy(), mask)
    np.testing.assert_array_equal(result.kspace.numpy(), scan.kspace.numpy() * mask)
    assert (result.name, result.slice_index, result.crop) == ("volume", 2, (12, 10))


def test_undersample_drops_padding_lines_that_were_never_acquired():
    scan = _scan()
    scan.kspace[..., :2] = 0
    result = undersample(scan, np.ones(10, bool))
    assert result.mask.tolist() == [False] * 2 + [True] * 8
    two_dimensional = undersample(scan, np.ones((12, 10), bool))
    assert two_dimensional.mask.shape == (12, 10)
    assert not two_dimensional.mask[:, :2].any()


def test_undersample_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="own mask"):
        undersample(_scan(torch.ones(10, dtype=torch.bool)), np.ones(10, bool))
    with pytest.raises(InputError, match="expected bool"):
        undersample(_scan(), np.ones(12, bool))
    with pytest.raises(InputError, match="expected bool"):
        undersample(_scan(), np.ones(10, np.float32))
    with pytest.raises(InputError, match="no measured line"):
        undersample(_scan(), np.zeros(10, bool))
