"""Splits deal every measured line once, keep the core, and repeat with their seed."""

import pytest
import torch
from scans import line_mask
from ugodit.fit.splitting import acs_core, split_all, split_random

from ugodit.errors import InputError


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
    split = split_random(weights, core, fraction, torch.Generator().manual_seed(0))
    assert torch.equal(split.input + split.loss, weights)
    assert not (split.input * split.loss).any()
    assert not split.loss[core].any()
    outside = ((weights > 0) & ~core).sum(1)
    assert split.loss.sum(1).tolist() == [round(fraction * int(count)) for count in outside]


def test_random_split_of_a_2d_mask() -> None:
    weights = (torch.rand(1, 16, 12, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    weights[0, 6:10, 4:8] = 1
    split = split_random(weights, acs_core(weights), 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(split.input + split.loss, weights)
    assert split.loss.any()
    assert split.input.any()


def test_fractional_weights_are_kept() -> None:
    weights = line_mask(40).float() * 0.25
    split = split_random(weights[None], acs_core(weights[None]), 0.5, torch.Generator().manual_seed(0))
    assert set(split.loss.unique().tolist()) == {0.0, 0.25}


def test_splits_repeat_with_their_seed_and_differ_between_steps() -> None:
    weights = line_mask(64).float()[None]
    core = acs_core(weights)
    generator = torch.Generator().manual_seed(3)
    first, second = (split_random(weights, core, 0.4, generator).loss for _ in range(2))
    again = split_random(weights, core, 0.4, torch.Generator().manual_seed(3)).loss
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_too_few_lines_are_refused() -> None:
    weights = torch.zeros(1, 20)
    weights[0, 8:12] = 1
    weights[0, 0] = 1
    with pytest.raises(InputError, match="at least 2 measured lines outside the ACS core, got 1"):
        split_random(weights, acs_core(weights), 0.4, torch.Generator())


def test_all_lines_are_input_and_loss() -> None:
    weights = line_mask(20).float()[None]
    split = split_all(weights)
    assert torch.equal(split.input, weights)
    assert torch.equal(split.loss, weights)
