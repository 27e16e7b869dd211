"""Splits deal every measured line once, keep the core, and repeat with their seed."""

import pytest
import torch
from scans import line_mask

from ugodit.errors import InputError
from ugodit.operators.sense_lines import acs_core, as_weights, split_weights


def test_core_is_the_run_of_lines_round_the_centre() -> None:
    mask = torch.tensor([[1, 0, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0]], dtype=torch.float32)
    assert torch.nonzero(acs_core(mask)[0]).flatten().tolist() == [5, 6, 7, 8]


def test_core_is_empty_where_the_centre_is_not_measured() -> None:
    assert not acs_core(torch.tensor([[1.0, 1.0, 0.0, 1.0]])).any()


def test_core_of_a_2d_mask_is_its_full_central_square() -> None:
    mask = torch.zeros(1, 12, 10)
    mask[0, 4:8, 3:7] = 1
    mask[0, 0, 0] = 1
    core = acs_core(mask)
    assert int(core.sum()) == 16
    assert core[0, 4:8, 3:7].all()


@pytest.mark.parametrize("fraction", [0.1, 0.4, 0.9])
def test_random_split_deals_each_line_once(fraction: float) -> None:
    weights = torch.stack((line_mask(40), line_mask(40, 3))).float()
    core = acs_core(weights)
    seen, held_out = split_weights(weights, core, fraction, torch.Generator().manual_seed(0))
    assert torch.equal(seen + held_out, weights)
    assert not (seen * held_out).any()
    assert not held_out[core].any()
    outside = ((weights > 0) & ~core).sum(1)
    assert held_out.sum(1).tolist() == [round(fraction * int(count)) for count in outside]


def test_random_split_of_a_2d_mask() -> None:
    weights = (torch.rand(1, 16, 12, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    weights[0, 6:10, 4:8] = 1
    seen, held_out = split_weights(weights, acs_core(weights), 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(seen + held_out, weights)
    assert held_out.any()
    assert seen.any()


def test_fractional_weights_are_kept() -> None:
    weights = line_mask(40).float() * 0.25
    _, held_out = split_weights(weights[None], acs_core(weights[None]), 0.5, torch.Generator().manual_seed(0))
    assert set(held_out.unique().tolist()) == {0.0, 0.25}


def test_splits_repeat_with_their_seed_and_differ_between_steps() -> None:
    weights = line_mask(64).float()[None]
    core = acs_core(weights)
    generator = torch.Generator().manual_seed(3)
    first, second = (split_weights(weights, core, 0.4, generator)[1] for _ in range(2))
    again = split_weights(weights, core, 0.4, torch.Generator().manual_seed(3))[1]
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_too_few_lines_are_refused() -> None:
    weights = torch.zeros(1, 20)
    weights[0, 8:12] = 1
    weights[0, 0] = 1
    with pytest.raises(InputError, match="at least 2 measured lines outside the ACS core, got 1"):
        split_weights(weights, acs_core(weights), 0.4, torch.Generator())


def test_weights_take_an_axis_of_items_and_know_their_plane() -> None:
    shape = torch.Size((2, 3, 5, 4))
    for given, expected, plane in (
        ((4,), (1, 4), False),
        ((2, 4), (2, 4), False),
        ((5, 4), (1, 5, 4), True),
        ((2, 5, 4), (2, 5, 4), True),
    ):
        weights, found = as_weights(torch.ones(given, dtype=torch.bool), shape)
        assert (weights.shape, weights.dtype, found) == (expected, torch.float32, plane)
    # As many items as rows: (B, W) is a mask along W.
    assert as_weights(torch.ones(5, 4), torch.Size((5, 3, 5, 4)))[1] is False
    with pytest.raises(ValueError, match=r"^mask: expected real \(4,\), \(2, 4\), \(5, 4\) or \(2, 5, 4\), got"):
        as_weights(torch.ones(3), shape)
