"""What holds of every split of a scan's lines or samples, whatever its mask."""

import math
from contextlib import nullcontext

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from ugodit.errors import InputError
from ugodit.operators import SenseOperator
from ugodit.operators.sense_lines import acs_core, split_weights

LINES = arrays.arrays(bool, st.tuples(st.integers(1, 3), st.integers(3, 24)))
SAMPLES = arrays.arrays(bool, st.tuples(st.integers(1, 2), st.integers(3, 9), st.integers(3, 9)))
FRACTIONS = st.floats(1e-3, 1 - 1e-3)
SEEDS = st.integers(0, 2**32 - 1)


def candidates(weights: Tensor) -> list[int]:
    """How many measured entries of each item are outside its core."""
    return ((weights > 0) & ~acs_core(weights)).flatten(1).sum(1).tolist()


@pytest.mark.parametrize("masks", [LINES, SAMPLES], ids=["lines", "samples"])
def test_every_split_is_a_partition_that_keeps_the_core(masks: st.SearchStrategy) -> None:
    @given(masks, FRACTIONS, SEEDS, st.floats(0.25, 4))
    def check(mask: object, fraction: float, seed: int, weight: float) -> None:
        weights = torch.as_tensor(mask).float() * weight
        core, counts = acs_core(weights), candidates(weights)
        assume(min(counts) >= 2)
        seen, held_out = split_weights(weights, core, fraction, torch.Generator().manual_seed(seed))
        assert torch.equal(seen + held_out, weights)
        assert not (seen * held_out).any()
        assert torch.equal(seen[core], weights[core])
        for item, count in enumerate(counts):
            found = int((held_out[item] > 0).sum())
            # So many as were asked for; at least one, and one is left.
            assert 1 <= found <= count - 1
            assert abs(found - min(max(fraction * count, 1), count - 1)) <= 0.5
        again = split_weights(weights, core, fraction, torch.Generator().manual_seed(seed))[1]
        assert torch.equal(held_out, again)

    check()


@pytest.mark.parametrize("masks", [LINES, SAMPLES], ids=["lines", "samples"])
def test_too_little_outside_the_core_is_refused_and_nothing_else_is(masks: st.SearchStrategy) -> None:
    @given(masks, FRACTIONS)
    def check(mask: object, fraction: float) -> None:
        weights = torch.as_tensor(mask).float()
        too_few = min(candidates(weights)) < 2
        refused = pytest.raises(InputError, match=r"at least 2 measured lines outside the ACS core, got [01]")
        with refused if too_few else nullcontext():
            split_weights(weights, acs_core(weights), fraction, torch.Generator().manual_seed(0))

    check()


@given(arrays.arrays(bool, st.integers(3, 24)), FRACTIONS)
def test_the_core_is_what_the_centre_is_connected_to(mask: object, fraction: float) -> None:
    weights = torch.as_tensor(mask).float()[None]
    core = acs_core(weights)[0]
    centre = weights.shape[1] // 2
    assert bool(core.any()) == bool(weights[0, centre] > 0)
    assert not bool((core & (weights[0] == 0)).any())
    where = torch.nonzero(core).flatten().tolist()
    assert where == list(range(where[0], where[-1] + 1)) if where else True
    for beside in (where[0] - 1, where[-1] + 1) if where else ():
        assert not 0 <= beside < weights.shape[1] or weights[0, beside] == 0


@pytest.mark.parametrize("plane", [False, True], ids=["lines", "samples"])
def test_an_operators_parts_add_up_to_it(plane: bool) -> None:
    shape = (2, 3, 6, 10)
    generator = torch.Generator().manual_seed(0)
    kspace, maps = (torch.randn(shape, dtype=torch.complex64, generator=generator) for _ in range(2))
    image = torch.randn(2, 2, 6, 10, generator=generator)
    masks = arrays.arrays(bool, (2, 6, 10) if plane else (2, 10))

    @given(masks, FRACTIONS, SEEDS)
    def check(mask: object, fraction: float, seed: int) -> None:
        weights = torch.as_tensor(mask)
        assume(min(candidates(weights.float())) >= 2)
        whole = SenseOperator.from_kspace(kspace, maps, weights)
        seen, held_out = whole.split(fraction, torch.Generator().manual_seed(seed))
        expected = split_weights(whole.weights, acs_core(whole.weights), fraction, torch.Generator().manual_seed(seed))
        for part, wanted in zip((seen, held_out), expected, strict=True):
            assert torch.equal(part.weights, wanted)
            assert part.kspace is whole.kspace
            assert part.maps is whole.maps
            assert bool((part.energy() > 0).all())
        assert torch.equal(seen.samples() + held_out.samples(), whole.samples())
        for question in (SenseOperator.energy, lambda one: one.data_consistency(image)):
            total = question(seen) + question(held_out)
            assert all(math.isclose(*pair, rel_tol=1e-5) for pair in zip(total, question(whole), strict=True))
        torch.testing.assert_close(
            seen.gradient(image) + held_out.gradient(image), whole.gradient(image), rtol=1e-4, atol=1e-4
        )

    check()
