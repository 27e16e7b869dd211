"""What a prior is used for follows from what it leaves of lines that it does not see."""

import dataclasses

import pytest
import torch
from small_priors import prior, quick, scan

from ugodit.operators import SenseOperator
from ugodit.priors.acceptance import FITS, HELPS, NOISE_AT_MOST, OPEN, HeldOutErrors, held_out_errors, limits
from ugodit.priors.adaptation import from_prior, initial_estimates


def test_modes_follow_from_what_held_out_lines_say() -> None:
    cases = {
        (0.9, (FITS - 0.01) * 0.9): "adapt",
        (OPEN - 0.1, (FITS - 0.01) * (OPEN - 0.1)): "adapt",
        (OPEN + 0.01, (FITS + 0.01) * (OPEN + 0.01)): "initialise",
        (OPEN - 0.01, (FITS + 0.01) * (OPEN - 0.01)): "reject",
        (0.9, (HELPS + 0.01) * 0.9): "reject",
        (0.9, 3.0): "reject",
    }
    initial, left = torch.tensor(list(cases)).T
    config = quick("balanced").adapt
    assert HeldOutErrors(initial, left).modes(config) == list(cases.values())
    one_stage = dataclasses.replace(config, two_stage=False)
    assert "initialise" not in HeldOutErrors(initial, left).modes(one_stage)


def test_the_ratio_says_what_the_prior_adds() -> None:
    errors = HeldOutErrors(torch.tensor([0.5, 0.4]), torch.tensor([0.5, 0.1]))
    torch.testing.assert_close(errors.ratio, torch.tensor([1.0, 0.25]))


def test_the_record_holds_what_the_decision_depends_on() -> None:
    assert limits() == {"fits": FITS, "helps": HELPS, "open": OPEN, "noise_at_most": NOISE_AT_MOST}


def test_held_out_errors_are_shares_of_the_held_out_energy() -> None:
    preset = quick()
    plan = from_prior(scan(2), prior(preset), preset.adapt)
    estimates = initial_estimates(scan(2), plan.form, 0)
    estimates.noise_variance = torch.full((2,), torch.nan)  # not known: nothing is taken off
    errors = held_out_errors(estimates, plan, splits=2)
    before = after = energy = torch.zeros(2)
    with torch.no_grad():
        for split in estimates.whole_bank(2):
            image = plan.model(split.estimate, split.seen, mu=estimates.mu)
            before = before + split.held_out.data_consistency(split.estimate)
            after = after + split.held_out.data_consistency(image)
            energy = energy + split.held_out.energy()
    torch.testing.assert_close(errors.initial, before / energy)
    torch.testing.assert_close(errors.prior, after / energy)


def test_what_is_held_out_is_judged_without_its_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    preset = quick()
    plan = from_prior(scan(), prior(preset), preset.adapt)

    def found(variance: float) -> tuple[float, float]:
        estimates = initial_estimates(scan(), plan.form, plan.config.seed)
        estimates.noise_variance = torch.tensor([variance])
        shares = held_out_errors(estimates, plan)
        return float(shares.initial), float(shares.prior)

    first, left = found(float("nan"))
    assert found(0.0) == (first, left)
    noise = NOISE_AT_MOST * first  # of the lines' energy
    assert found(1e6) == pytest.approx(((first - noise) / (1 - noise), (left - noise) / (1 - noise)), rel=1e-4)
    # A little noise is taken off as it is: variance times samples.
    estimates = initial_estimates(scan(), plan.form, plan.config.seed)
    held_out = [split.held_out for split in estimates.whole_bank(3)]
    share = sum(float(one.samples()) for one in held_out) * 1e-4 / sum(float(one.energy()) for one in held_out)
    assert found(1e-4) == pytest.approx(((first - share) / (1 - share), (left - share) / (1 - share)), rel=1e-4)
    # An initial estimate that is worse than none: all of the lines' energy is open, and more.
    monkeypatch.setattr(SenseOperator, "energy", lambda self: self.data_consistency(torch.zeros(self.shape)) / 100)
    hopeless = held_out_errors(initial_estimates(scan(), plan.form, plan.config.seed), plan)
    assert float(hopeless.initial) > OPEN


def test_the_noise_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was read for the solve's weight already; without that weight it is read for the judgement."""
    preset = quick()
    plan = from_prior(scan(), prior(preset), preset.adapt)
    estimates = initial_estimates(scan(), plan.form, 0)
    expected = held_out_errors(estimates, plan)
    calls = []
    original = SenseOperator.noise_variance
    monkeypatch.setattr(SenseOperator, "noise_variance", lambda self: calls.append(1) or original(self))
    again = held_out_errors(initial_estimates(scan(), plan.form, 0), plan)
    assert len(calls) == 1
    assert torch.equal(again.prior, expected.prior)
    plain = dataclasses.replace(plan, form=dataclasses.replace(plan.form, prior_variance=0.0))
    calls.clear()
    held_out_errors(initial_estimates(scan(), plain.form, 0), plain)
    assert len(calls) == 1


def test_without_random_splits_nothing_is_held_out() -> None:
    preset = quick()
    plan = from_prior(scan(), prior(preset), preset.adapt)
    form = dataclasses.replace(plan.form, splitting="all", iterations=0)
    with pytest.raises(ValueError, match=r"^splitting: held-out lines come from random splits, got all"):
        held_out_errors(initial_estimates(scan(), form, 0), dataclasses.replace(plan, form=form))
