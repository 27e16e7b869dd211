"""Methods with a group prior: UGoDIT as published, and ours, adapted and zero-shot."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from method import Configuration, Group, Settings
from priors import trained
from scoring import Outcome, Problem, Stopwatch, fitted, judged_uncertainty

from ugodit.errors import InputError
from ugodit.fit.fit_config import AdaptConfig, FitConfig, TrainConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.fit.test_time import uncertainty
from ugodit.networks.config import NetworkConfig
from ugodit.priors.acceptance import HeldOutErrors, held_out_errors
from ugodit.priors.adaptation import (
    Decoder,
    PriorMode,
    can_be_judged,
    from_prior,
    initial_estimates,
    plan_fit,
    zero_shot,
)
from ugodit.priors.presets import PRESETS, Preset
from ugodit.priors.prior import Prior
from ugodit.reconstruction.job import with_seed

OF_A_PRIOR = ("network", "model", "train")
"""The tables of a configuration that its prior depends on, beside the group and its sampling."""


def as_published(settings: Settings) -> Configuration:
    """UGoDIT at the preset's width, and for as many steps as the settings allow."""
    published = PRESETS["paper"]
    train, adaptation = (
        dataclasses.replace(fit, steps=steps, seed=settings.seed)
        for fit, steps in zip((published.train, published.adapt), settings.paper_steps, strict=True)
    )
    network = dataclasses.replace(published.network, channels=settings.preset.network.channels)
    return {
        "network": network.to_dict(),
        "model": published.model.to_dict(),
        "train": train.to_dict(),
        "adapt": adaptation.to_dict(),
        "decoder": "mean",
    }


def ours(settings: Settings) -> Configuration:
    """The preset's."""
    preset = with_seed(settings.preset, settings.seed)
    tables = (*OF_A_PRIOR, "adapt", "alone_model", "alone")
    return {**{name: getattr(preset, name).to_dict() for name in tables}, "decoder": settings.decoder}


def run_adapted(problem: Problem, configuration: Configuration, group: Group | None) -> Outcome:
    """As `reconstruct` does it: the prior is judged on held-out lines first, where it can be."""
    prior, preset, decoder = _understood(configuration, group)
    operator = problem.prepared.operator
    mode: PriorMode = "adapt"
    more: dict[str, Any] = {}
    with Stopwatch() as watch:
        estimates = initial_estimates(operator, prior.model, preset.adapt.seed)
        if can_be_judged(prior.model, decoder):
            errors = held_out_errors(estimates, from_prior(operator, prior, preset.adapt, decoder))
            (mode,) = errors.modes(preset.adapt)
            more["held_out_errors"] = _rounded(errors)
        plan = plan_fit(operator, prior, mode, preset, decoder)
    outcome = fitted(problem, plan, watch, estimates=estimates)
    outcome.more |= {**more, "prior_mode": mode, "training": _training(prior)}
    return outcome


def run_zero_shot(problem: Problem, configuration: Configuration, group: Group | None) -> Outcome:
    """The prior without adaptation, whatever it leaves of held-out lines."""
    prior, preset, decoder = _understood(configuration, group)
    operator = problem.prepared.operator
    with Stopwatch() as watch:
        plan = from_prior(operator, prior, preset.adapt, decoder)
        estimates = initial_estimates(operator, plan.form, plan.config.seed)
        image = problem.prepared.magnitude(zero_shot(operator, plan, estimates))
    outcome = Outcome(image, watch.seconds, watch.cpu_seconds)
    if plan.form.splitting == "random":
        # For the record only: it is not in the seconds.
        outcome.more["held_out_errors"] = _rounded(held_out_errors(estimates, plan))
        spread = problem.prepared.magnitude(zero_shot(operator, plan, estimates, uncertainty))
        outcome.more["uncertainty"] = judged_uncertainty(problem.target, image, spread)
    outcome.more["training"] = _training(prior)
    return outcome


class _Understood(NamedTuple):
    prior: Prior
    preset: Preset
    decoder: Decoder


def _understood(configuration: Configuration, group: Group | None) -> _Understood:
    """What a configuration says, its prior trained where it is not in the cache."""
    assert group is not None
    wanted = {name: configuration[name] for name in (*OF_A_PRIOR, "group", "sampling")}
    prior = trained(wanted, group.prepared, group.cache)
    adapt = AdaptConfig.from_dict(configuration["adapt"])
    # UGoDIT as published never goes without its prior, and has no tables for that.
    preset = Preset(
        network=NetworkConfig.from_dict(configuration["network"]),
        model=prior.model,
        train=TrainConfig.from_dict(configuration["train"]),
        adapt=adapt,
        alone_model=ModelConfig.from_dict(configuration.get("alone_model", configuration["model"])),
        alone=FitConfig.from_dict(configuration["alone"]) if "alone" in configuration else adapt,
    )
    decoder = configuration["decoder"]
    if str(decoder).isdecimal():
        decoder = int(decoder)
        if decoder >= prior.decoders:
            raise InputError(f"`decoder`: expected mean, fresh or 0 to {prior.decoders - 1}, got {decoder}")
    return _Understood(prior, preset, decoder)


def _rounded(errors: HeldOutErrors) -> dict[str, float]:
    return {"initial": round(float(errors.initial), 4), "prior": round(float(errors.prior), 4)}


def _training(prior: Prior) -> dict[str, Any]:
    """What the prior cost, and which it is."""
    cost = {name: prior.provenance.get(name) for name in ("seconds", "cpu_seconds", "steps")}
    return {**cost, "scans": len(prior.provenance["scans"]), "prior": prior.hash[:16]}
