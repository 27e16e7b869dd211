"""One unseen scan: a model for it, with or without a prior, and how it is fitted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ugodit.fit.execution import in_precision
from ugodit.fit.fit import Step, fit
from ugodit.fit.fit_config import FitConfig
from ugodit.fit.initial import FirstStage, InitialEstimates
from ugodit.fit.model_config import ModelConfig
from ugodit.fit.test_time import Question, reconstruct
from ugodit.networks.config import NetworkConfig
from ugodit.networks.group import GroupNet
from ugodit.networks.unrolled import Unrolled
from ugodit.operators.protocol import Operator
from ugodit.priors.presets import Preset
from ugodit.priors.prior import Prior

Decoder = int | Literal["mean", "fresh"]
"""The decoder that an adaptation starts from: one of the prior's, their mean, or an untrained one."""

PriorMode = Literal["adapt", "initialise", "reject"]
"""What a prior is used for in a scan; see `plan_fit`."""


@dataclass(frozen=True)
class FitPlan:
    """All that a fit of some items needs beside their operator."""

    model: Unrolled
    form: ModelConfig
    config: FitConfig
    first_stage: FirstStage | None = None
    """See `fit.fit`."""


def build_model(network: GroupNet, form: ModelConfig, extra: Mapping[str, Tensor] | None = None) -> Unrolled:
    """The network in the unrolled form that the configuration asks for; `extra` holds a prior's learned scalars."""
    model = Unrolled(
        network,
        iterations=form.iterations,
        mu=form.mu,
        solve_iterations=form.solve_iterations,
        learn_mu=form.learn_mu,
    )
    if extra and "log_mu" in extra:
        model.log_mu.data.copy_(extra["log_mu"])
    return model


def from_scratch(operator: Operator, network: NetworkConfig, form: ModelConfig, config: FitConfig) -> FitPlan:
    """A model for the items of `operator` that knows nothing yet. ValueError where it has other channels."""
    check_channels(operator, network)
    model = build_model(GroupNet(network, operator.shape[0], seed=config.seed), form).to(operator.device)
    return FitPlan(model, form, config)


def from_prior(operator: Operator, prior: Prior, config: FitConfig, decoder: Decoder = "mean") -> FitPlan:
    """A model in the prior's form with its encoder, frozen, and decoders that start from the prior's."""
    check_channels(operator, prior.network)
    network = prior.build().warm_start(operator.shape[0], decoder, seed=config.seed).freeze_encoder()
    model = build_model(network, prior.model, prior.extra).to(operator.device)
    return FitPlan(model, prior.model, config)


def check_channels(operator: Operator, network: NetworkConfig) -> None:
    """ValueError where the network takes images of other channels than the operator's."""
    channels = operator.shape[1]
    if (network.in_channels, network.out_channels) != (channels, channels):
        raise ValueError(
            f"operator: expected images of {network.in_channels} channels, which the network takes, got {channels}"
        )


def plan_fit(
    operator: Operator, prior: Prior | None, mode: PriorMode, preset: Preset, decoder: Decoder = "mean"
) -> FitPlan:
    """How the items of `operator` are fitted by `preset`, given what the prior is used for.

    adapt: its decoder is adapted, in two stages if `two_stage` says so (and `decoder` is one of the prior's).
    initialise: it makes the initial estimates for a network that starts anew. reject, or no prior: from scratch.
    ValueError for initialise by a prior that was trained without random splits.
    """
    if prior is None or mode == "reject":
        return from_scratch(operator, preset.network, preset.alone_model, preset.alone)
    judged = can_be_judged(prior.model, decoder)
    if mode == "initialise":
        if not judged:
            raise ValueError("mode: initialise needs a prior of random splits, and one of its decoders")
        plan = from_scratch(operator, preset.network, prior.model, preset.alone)
        return with_first_stage(plan, operator, prior, decoder)
    plan = from_prior(operator, prior, preset.adapt, decoder)
    return with_first_stage(plan, operator, prior, decoder) if judged and preset.adapt.two_stage else plan


def with_first_stage(plan: FitPlan, operator: Operator, prior: Prior, decoder: Decoder) -> FitPlan:
    """The plan with initial estimates that the prior makes, without adaptation."""
    model = build_model(prior.build().warm_start(1, decoder), prior.model, prior.extra)
    stage = FirstStage(model.to(operator.device).requires_grad_(False), plan.config.precision)
    return FitPlan(plan.model, plan.form, plan.config, stage)


def can_be_judged(form: ModelConfig, decoder: Decoder) -> bool:
    """Whether a prior can be asked about held-out lines before it is used. A fresh decoder has nothing to say."""
    return form.splitting == "random" and decoder != "fresh"


def initial_estimates(operator: Operator, form: ModelConfig, seed: int) -> InitialEstimates:
    """Made once for the judgement of a prior and the fit that follows."""
    return InitialEstimates(operator, form, torch.Generator().manual_seed(seed))


def adapt(operator: Operator, plan: FitPlan, estimates: InitialEstimates | None = None) -> Iterator[Step]:
    """Fit the model's free parameters to the scans of `operator`; see `fit.fit`.

    `estimates` that were made by the plan's form and seed are used, others are made.
    """
    made = None
    if estimates is not None and serves(estimates, plan):
        made = [estimates if plan.first_stage is None else estimates.through(plan.first_stage)]
    return fit(plan.model, [operator], plan.form, plan.config, estimates=made, first_stage=plan.first_stage)


def serves(estimates: InitialEstimates, plan: FitPlan) -> bool:
    """Whether these are the estimates that the plan would make."""
    same_seed = estimates.generator.initial_seed() == plan.config.seed
    return same_seed and estimates.config == plan.form and not plan.config.held_out


def zero_shot(
    operator: Operator, plan: FitPlan, estimates: InitialEstimates | None = None, question: Question = reconstruct
) -> Tensor:
    """What the model makes of the scan without adaptation, (B, channels, H, W): a second or two instead of minutes.

    With question `test_time.uncertainty`: how uncertain that is, (B, 1, H, W); ValueError without random splits.
    """
    if question is not reconstruct and plan.form.splitting == "all":
        raise ValueError("splitting: uncertainty comes from random splits, got all")
    if estimates is None or not serves(estimates, plan):
        estimates = initial_estimates(operator, plan.form, plan.config.seed)
    network = in_precision(plan.model, plan.config.precision)
    return question(estimates, plan.model, network, None, plan.config.mask_bank)
