"""The stopping rule."""

from ugodit.fit.stopping import HeldOutStopping


def test_stops_when_patience_has_run_out() -> None:
    rule = HeldOutStopping(patience=3)
    errors = [5.0, 4.0, 4.5, 4.2, 4.1]
    improved = [rule.improved(i, error) for i, error in enumerate(errors, 1)]
    assert improved == [True, True, False, False, False]
    assert rule.reason(4) is None
    assert rule.reason(5) == "held-out error lowest at step 2, not for 3 steps since"


def test_nan_is_no_improvement() -> None:
    rule = HeldOutStopping(patience=1)
    assert not rule.improved(1, float("nan"))
