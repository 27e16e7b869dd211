"""The stopping rule, and that held-out lines are never fitted."""

import torch
from scans import line_mask

from ugodit.fit.splitting import acs_core
from ugodit.fit.stopping import HeldOutStopping, hold_out


def test_stops_when_patience_has_run_out() -> None:
    rule = HeldOutStopping(patience=3)
    losses = [5.0, 4.0, 4.5, 4.2, 4.1]
    improved = [rule.improved(i, loss) for i, loss in enumerate(losses, 1)]
    assert improved == [True, True, False, False, False]
    assert rule.reason(4) is None
    assert rule.reason(5) == "held-out loss lowest at step 2, not for 3 steps since"


def test_nan_is_no_improvement() -> None:
    rule = HeldOutStopping(patience=1)
    assert not rule.improved(1, float("nan"))


def test_held_out_lines_are_measured_ones_outside_the_core() -> None:
    weights = line_mask(60).float()[None]
    core = acs_core(weights)
    fitted, held = hold_out(weights, core, 0.1, seed=0)
    assert torch.equal(fitted + held, weights)
    assert held.sum() > 0
    assert not held[core].any()
