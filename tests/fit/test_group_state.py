"""What is held out from a fit is never fitted, and comes back for the final image."""

import torch
from scans import line_mask, small_operator

from ugodit.fit.fit_config import FitConfig
from ugodit.fit.group_state import GroupState, hold_out
from ugodit.fit.initial import InitialEstimates
from ugodit.fit.model_config import ModelConfig
from ugodit.operators import SenseOperator
from ugodit.operators.scale import normalize
from ugodit.operators.sense_lines import acs_core

FORM = ModelConfig(
    splitting="random", iterations=1, next_input="fixed", initial_estimate="conjugate_gradient", solve_iterations=3
)


def scan() -> SenseOperator:
    return normalize(small_operator(columns=60)[0])[0]


def state(config: FitConfig, estimates: InitialEstimates | None = None, form: ModelConfig = FORM) -> GroupState:
    generator = torch.Generator().manual_seed(config.seed)
    return GroupState(scan(), slice(0, 1), form, config, generator, estimates, None)


def test_held_out_lines_are_measured_ones_outside_the_core() -> None:
    operator = scan()
    core = acs_core(operator.weights)
    fitted, held_out = hold_out(operator, FitConfig(held_out=0.1))
    assert torch.equal(operator.weights[0], line_mask(60).float())
    assert torch.equal(fitted.weights + held_out.weights, operator.weights)
    assert held_out.weights.sum() > 0
    assert not held_out.weights[core].any()
    again = hold_out(operator, FitConfig(held_out=0.1))[1]
    assert torch.equal(again.weights, held_out.weights)


def test_what_is_held_out_is_neither_seen_nor_judged_by() -> None:
    config = FitConfig(held_out=0.2)
    found = state(config)
    fitted, held_out = hold_out(scan(), config)
    assert found.held_out is not None
    assert torch.equal(found.held_out.weights, held_out.weights)
    for _ in range(5):
        split = found.choose().split
        assert torch.equal(split.seen.weights + split.held_out.weights, fitted.weights)


def test_estimates_made_before_are_used_where_nothing_is_held_out() -> None:
    made = InitialEstimates(scan(), FORM, torch.Generator().manual_seed(0))
    found = state(FitConfig(), made)
    assert found.estimates is found.from_all_measured() is made
    held = state(FitConfig(held_out=0.2), made)
    assert held.estimates is not made


def test_the_final_image_is_made_from_all_measurements() -> None:
    found = state(FitConfig(held_out=0.2))
    everything = found.from_all_measured()
    assert everything is found.from_all_measured()
    assert torch.equal(everything.operator.weights, scan().weights)
    expected = InitialEstimates(scan(), FORM, torch.Generator().manual_seed(0))
    assert torch.equal(everything.all_measured, expected.all_measured)
    assert not torch.allclose(everything.all_measured, found.estimates.all_measured)
    # Looking at it leaves the fit's own draws alone.
    before = found.estimates.generator.get_state()
    everything.whole_bank(2)
    assert torch.equal(found.estimates.generator.get_state(), before)


def test_without_splits_everything_fitted_is_seen() -> None:
    found = state(FitConfig(), form=ModelConfig())
    split = found.choose().split
    assert split.seen is split.held_out is found.fitted
    assert split.estimate is found.input
