"""What becomes of a prior for a scan."""

import dataclasses
from typing import Any

import pytest
import torch
from small_priors import prior, quick, scan

import ugodit.fit.initial
from ugodit.fit.fit import Step
from ugodit.fit.initial import InitialEstimates
from ugodit.fit.test_time import uncertainty
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.operators import SenseOperator
from ugodit.priors.acceptance import held_out_errors
from ugodit.priors.adaptation import (
    FitPlan,
    PriorMode,
    adapt,
    can_be_judged,
    from_prior,
    from_scratch,
    initial_estimates,
    plan_fit,
    serves,
    zero_shot,
)
from ugodit.priors.prior import Prior


def last_of(operator: SenseOperator, plan: FitPlan, estimates: InitialEstimates | None = None) -> Step:
    *_, last = adapt(operator, plan, estimates)
    return last


def test_an_adapted_prior_starts_from_its_own_images() -> None:
    preset, trained = quick(), prior(quick())
    plan = plan_fit(scan(2), trained, "adapt", preset)
    assert plan.first_stage is not None
    assert (plan.form, plan.config) == (trained.model, preset.adapt)
    assert preset.adapt.two_stage
    stage = plan.first_stage.model
    assert stage.network.decoders == 1
    assert not any(p.requires_grad for p in (*stage.parameters(), *plan.model.network.encoder.parameters()))
    assert all(p.requires_grad for p in plan.model.network.decoder.parameters())
    before = [parameter.clone() for parameter in stage.parameters()]
    last = last_of(scan(2), plan)
    assert last.averages()[0].shape == scan(2).shape
    assert all(torch.equal(a, b) for a, b in zip(before, stage.parameters(), strict=True))
    plain = quick(two_stage=False)
    assert plan_fit(scan(), trained, "adapt", plain).first_stage is None


def test_a_prior_that_initialises_leaves_the_rest_to_a_new_network() -> None:
    preset, trained = quick(), prior(quick())
    plan = plan_fit(scan(), trained, "initialise", preset)
    assert plan.first_stage is not None
    assert (plan.form, plan.config) == (trained.model, preset.alone)
    assert all(p.requires_grad for p in plan.model.network.parameters())
    fresh = GroupNet(preset.network, 1, seed=plan.config.seed).state_dict()
    assert all(torch.equal(weight, fresh[name]) for name, weight in plan.model.network.state_dict().items())
    with_it = last_of(scan(), plan)
    without = last_of(scan(), plan_fit(scan(), None, "reject", preset))
    assert not torch.allclose(with_it.averages()[0], without.averages()[0], rtol=1e-2)
    published = prior(quick("paper"))
    with pytest.raises(ValueError, match=r"^mode: initialise needs a prior of random splits"):
        plan_fit(scan(), published, "initialise", preset)


def test_a_decoder_that_starts_anew_has_no_first_stage() -> None:
    assert plan_fit(scan(), prior(quick()), "adapt", quick(), decoder="fresh").first_stage is None
    assert plan_fit(scan(), prior(quick()), "adapt", quick(), decoder=0).first_stage is not None
    form = quick().model
    assert [can_be_judged(form, decoder) for decoder in (0, "mean", "fresh")] == [True, True, False]
    assert not can_be_judged(quick("paper").model, "mean")


def test_held_out_lines_and_uncertainty_with_two_stages() -> None:
    preset = quick(held_out=0.2)
    plan = plan_fit(scan(2), prior(preset), "adapt", preset)
    last = last_of(scan(2), plan)
    assert last.held_out is not None
    images, spread = last.averages()[0], last.uncertainties()[0]
    assert torch.isfinite(images).all()
    assert spread.shape == (2, 1, *scan().shape[2:])
    assert (spread[:, :, 8:16, 15:25] > 0).any()


def test_a_rejected_prior_changes_nothing() -> None:
    preset, trained = quick(), prior(quick())
    rejected, none = plan_fit(scan(), trained, "reject", preset), plan_fit(scan(), None, "adapt", preset)
    for plan in (rejected, none):
        assert plan.first_stage is None
        assert (plan.form, plan.config) == (preset.alone_model, preset.alone)
    assert torch.equal(last_of(scan(), rejected).averages()[0], last_of(scan(), none).averages()[0])


def test_the_published_form_has_one_stage() -> None:
    preset = quick("paper")
    assert plan_fit(scan(), prior(preset), "adapt", preset).first_stage is None


def test_a_prior_serves_in_the_form_that_it_was_trained_in() -> None:
    """Whatever the preset's own form is, and with the scalars that were learned beside the network."""
    trained = prior(quick())
    form = dataclasses.replace(trained.model, iterations=2, loss_fraction=0.2)
    other = dataclasses.replace(trained, model=form, extra={"log_mu": torch.tensor(-1.0)})
    for plan in (from_prior(scan(), other, quick().adapt), plan_fit(scan(), other, "adapt", quick())):
        assert plan.form == form
        assert plan.model.iterations == 2
        assert float(plan.model.log_mu) == -1
    stage = plan_fit(scan(), other, "initialise", quick()).first_stage
    assert stage is not None
    assert float(stage.model.log_mu) == -1


def test_a_network_of_other_channels_is_refused() -> None:
    preset = quick()
    with pytest.raises(ValueError, match=r"^operator: expected images of 3 channels, which the network takes, got 2$"):
        from_scratch(scan(), NetworkConfig.unet(4, 1, in_channels=3, out_channels=3), preset.model, preset.alone)
    with pytest.raises(ValueError, match=r"^operator: expected images of 3 channels"):
        from_prior(scan(), Prior.of(GroupNet(NetworkConfig.unet(4, 1, in_channels=3), 1)), preset.adapt)


# ---- estimates that are made once -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["adapt", "initialise", "reject"])
@pytest.mark.parametrize("seed", [0, 7])
def test_estimates_that_judged_the_prior_give_the_same_bits(mode: PriorMode, seed: int) -> None:
    preset = quick(seed=seed)
    preset = dataclasses.replace(preset, alone=dataclasses.replace(preset.alone, seed=seed))
    trained = prior(preset)
    shared = initial_estimates(scan(2), trained.model, seed)
    errors = held_out_errors(shared, from_prior(scan(2), trained, preset.adapt))
    again = held_out_errors(initial_estimates(scan(2), trained.model, seed), from_prior(scan(2), trained, preset.adapt))
    assert torch.equal(errors.prior, again.prior)
    assert torch.equal(errors.initial, again.initial)
    # From the same weights each time.
    steps = [list(adapt(scan(2), plan_fit(scan(2), trained, mode, preset), made)) for made in (shared, None)]
    assert [step.loss for step in steps[0]] == [step.loss for step in steps[1]]
    (judged,), (anew,) = (found[-1].averages() for found in steps)
    assert torch.equal(judged, anew)
    (judged,), (anew,) = (found[-1].uncertainties() for found in steps)
    assert torch.equal(judged, anew)


def test_zero_shot_takes_estimates_that_judged_the_prior() -> None:
    preset = quick()
    trained = prior(preset)
    shared = initial_estimates(scan(), trained.model, preset.adapt.seed)
    plan = from_prior(scan(), trained, preset.adapt)
    held_out_errors(shared, plan)
    for question in ({}, {"question": uncertainty}):
        assert torch.equal(zero_shot(scan(), plan, shared, **question), zero_shot(scan(), plan, **question))


def test_estimates_serve_the_form_and_seed_that_they_were_made_by() -> None:
    preset, trained = quick(), prior(quick())
    plan = plan_fit(scan(), trained, "adapt", preset)
    right = initial_estimates(scan(), plan.form, plan.config.seed)
    assert serves(right, plan)
    another_form = dataclasses.replace(plan.form, loss_fraction=0.2)
    assert not serves(initial_estimates(scan(), another_form, plan.config.seed), plan)
    wrong_seed = initial_estimates(scan(), plan.form, plan.config.seed + 1)
    assert not serves(wrong_seed, plan)
    assert not serves(right, dataclasses.replace(plan, config=dataclasses.replace(plan.config, held_out=0.2)))
    # Others are made where they do not serve: the result is that of the plan's own.
    expected = last_of(scan(), plan_fit(scan(), trained, "adapt", preset)).averages()[0]
    assert torch.equal(last_of(scan(), plan, wrong_seed).averages()[0], expected)


@pytest.mark.parametrize("mode", ["adapt", "initialise"])
def test_one_choice_of_a_threshold_serves_judgement_and_fit(mode: PriorMode, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = ugodit.fit.initial.choose_weight

    def counted(*arguments: Any) -> torch.Tensor:
        calls.append(1)
        return original(*arguments)

    monkeypatch.setattr(ugodit.fit.initial, "choose_weight", counted)
    preset = quick()
    trained = prior(preset)
    estimates = initial_estimates(scan(), trained.model, preset.adapt.seed)
    held_out_errors(estimates, from_prior(scan(), trained, preset.adapt))
    last_of(scan(), plan_fit(scan(), trained, mode, preset), estimates).averages()
    assert len(calls) == 1


def test_uncertainty_needs_random_splits() -> None:
    preset = quick("paper")
    plan = from_prior(scan(), prior(preset), preset.adapt)
    assert zero_shot(scan(), plan).shape == scan().shape
    with pytest.raises(ValueError, match=r"^splitting: uncertainty comes from random splits, got all"):
        zero_shot(scan(), plan, question=uncertainty)
