"""Methods whose network knows nothing before it is fitted to the scan: the published ones, and ours without a prior.

The published ones have the width of the preset's network and are scored twice: at their last step, which is what one
would get, and at their best step as the truth would choose it, which nobody can have: an advantage that we grant them.
Their rates and weights are the best of those tried on one brain (results/tuning/baselines.jsonl), not the ones
published for other networks and budgets.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from conv_decoder import ConvDecoder
from method import Configuration, Group, Settings
from scoring import Outcome, Problem, Stopwatch, fitted

from ugodit.fit.fit_config import FitConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.networks.config import NetworkConfig, reference_unet
from ugodit.networks.group import GroupNet
from ugodit.priors.adaptation import FitPlan, build_model, from_scratch
from ugodit.priors.presets import PRESETS


def dip(settings: Settings) -> Configuration:
    """Ulyanov et al., CVPR 2018: fixed noise in, nothing frozen, the input shaken a little at every step."""
    form = ModelConfig(initial_estimate="noise", next_input="fixed", input_noise=0.03)
    return _configuration(settings, form, _fit(settings, learning_rate=3e-3))


def self_guided(settings: Settings) -> Configuration:
    """Liang et al., arXiv 2402.04097: the input is learned, noise on it is averaged over, and f(z) is held near z."""
    form = ModelConfig(initial_estimate="adjoint", next_input="fixed", learn_input=True, input_noise=0.03)
    return _configuration(settings, form, _fit(settings, autoencoding=0.01, learning_rate=3e-3))


def aseqdip(settings: Settings) -> Configuration:
    """As published without a prior (preset paper, `alone`), with fewer, longer turns and a lighter lambda.

    As published (two steps an input, lambda 1) it is 5 dB worse after as many steps: results/tuning/baselines.jsonl.
    """
    published = PRESETS["paper"]
    changes = {"steps": settings.baseline_steps, "seed": settings.seed}
    fit = dataclasses.replace(published.alone, **changes, inner_steps=50, autoencoding=0.1, learning_rate=1e-3)
    return _configuration(settings, published.alone_model, fit)


def deep_decoder(settings: Settings) -> Configuration:
    """ConvDecoder with as many parameters as the preset's network, for a quarter of the steps: each costs four."""
    network = GroupNet(settings.preset.network)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    form = ModelConfig(initial_estimate="adjoint", next_input="fixed")
    fit = _fit(settings, learning_rate=3e-4, steps=max(settings.baseline_steps // 4, 1))
    return {
        "decoder": {"parameters": parameters, "layers": 6},
        "model": form.to_dict(),
        "fit": fit.to_dict(),
        "seconds": settings.budget,
    }


def alone(settings: Settings) -> Configuration:
    """Ours without a prior."""
    preset = settings.preset
    return {
        "network": preset.network.to_dict(),
        "model": preset.alone_model.to_dict(),
        "fit": dataclasses.replace(preset.alone, seed=settings.seed).to_dict(),
        "seconds": None,
    }


def alone_equal(settings: Settings) -> Configuration:
    """The same, for as many steps as an adaptation has."""
    configuration = alone(settings)
    configuration["fit"]["steps"] = settings.preset.adapt.steps
    return configuration


def run(problem: Problem, configuration: Configuration, group: Group | None) -> Outcome:
    """The fit of any of these."""
    form, config = ModelConfig.from_dict(configuration["model"]), FitConfig.from_dict(configuration["fit"])
    operator = problem.prepared.operator
    with Stopwatch() as watch:
        if "decoder" in configuration:
            decoder = ConvDecoder.of_size(**configuration["decoder"], seed=config.seed)
            # The loop asks a network for what ConvDecoder has, and no more.
            model = build_model(decoder, form).to(operator.device)  # type: ignore[arg-type]
            plan = FitPlan(model, form, config)
        else:
            plan = from_scratch(operator, NetworkConfig.from_dict(configuration["network"]), form, config)
    return fitted(problem, plan, watch, budget=configuration["seconds"])


def _fit(settings: Settings, **options: Any) -> FitConfig:
    return FitConfig(**{"steps": settings.baseline_steps, "seed": settings.seed, **options})


def _configuration(settings: Settings, form: ModelConfig, fit: FitConfig) -> Configuration:
    """Of the reference's U-Net with the preset's channels: what the published baselines have, at our size."""
    channels = settings.preset.network.channels
    network = dataclasses.replace(reference_unet(initialisation="default"), channels=channels)
    return {
        "network": network.to_dict(),
        "model": form.to_dict(),
        "fit": fit.to_dict(),
        "seconds": settings.budget,
    }
