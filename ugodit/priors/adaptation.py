"""One unseen scan: a model for it, with or without a prior, and the scale that the fit loop expects."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ugodit.fit.config import FitConfig
from ugodit.fit.ensemble import Starts, in_precision, reconstruct, uncertainty
from ugodit.fit.fit import Step, fit
from ugodit.fit.loop import Question
from ugodit.fit.noise_level import measured_samples, noise_variance
from ugodit.networks.config import NetworkConfig
from ugodit.networks.group import GroupNet
from ugodit.networks.unrolled import Unrolled
from ugodit.operators.sense import SenseOperator
from ugodit.priors.presets import MODEL_FIELDS, Preset
from ugodit.priors.prior import Prior

FITS, HELPS = 0.7, 0.95
"""A prior leaves of unseen lines a share of what the first image leaves. From FITS on it is not adapted: a frozen
encoder that does not fit costs more than a fit from scratch. From HELPS on it is of no use at all."""

OPEN = 0.6
"""Share of unseen lines' energy that a first image must leave for a prior that does not fit to make better ones: where
little is known it knows more than nothing, and a network of the scan's own corrects it (docs/ablation.md)."""

NOISE_AT_MOST = 0.5
"""Of unseen lines, and of what the first image leaves of them: the most that is taken for noise."""

WarmStart = int | Literal["mean", "fresh"]
Use = Literal["adapted", "first images", "dropped"]
"""What becomes of a prior for a scan, see `recipe`."""


def normalize(operator: SenseOperator) -> tuple[SenseOperator, float]:
    """The operator with its measurements scaled so that the zero-filled image is of order one, and the scale.

    Scanners' units differ by twelve orders of magnitude. Images of the scaled operator times the returned scale (the
    99.5th percentile of the zero-filled magnitude inside the support) are images in the scan's own units.
    """
    magnitude = operator.initial().square().sum(1, keepdim=True).sqrt()
    inside = magnitude[operator.support]
    scale = float(torch.quantile(inside[: 1 << 24], 0.995)) if len(inside) else 0.0
    if scale == 0:
        raise ValueError("operator: the zero-filled image is empty; nothing was measured inside the maps' support")
    return operator.scaled(1 / scale), scale


def build_model(network: GroupNet, config: FitConfig, extra: Mapping[str, Tensor] | None = None) -> Unrolled:
    """The network in the unrolled form that the configuration asks for; `extra` holds a prior's learned scalars."""
    model = Unrolled(
        network,
        unrolls=config.unrolls,
        mu=config.mu,
        iterations=config.solve_iterations,
        learn_mu=config.learn_mu,
    )
    if extra and "log_mu" in extra:
        model.log_mu.data.copy_(extra["log_mu"])
    return model


def from_scratch(operator: SenseOperator, network: NetworkConfig, config: FitConfig) -> Unrolled:
    """A model for the items of `operator` that knows nothing yet."""
    _check_channels(operator)
    return build_model(GroupNet(network, operator.shape[0], seed=config.seed), config).to(operator.device)


def config_for(prior: Prior, config: FitConfig) -> FitConfig:
    """`config` with the options that the prior's weights were learned for (MODEL_FIELDS)."""
    trained = FitConfig.from_dict(prior.training)
    return dataclasses.replace(config, **{name: getattr(trained, name) for name in MODEL_FIELDS})


def from_prior(
    operator: SenseOperator, prior: Prior, config: FitConfig, start: WarmStart = "mean"
) -> tuple[Unrolled, FitConfig]:
    """A model with the prior's encoder, frozen, and decoders that start from the prior's.

    Returns the model and `config_for(prior, config)`.
    """
    _check_channels(operator)
    config = config_for(prior, config)
    network = prior.build().warm_start(operator.shape[0], start, seed=config.seed).freeze_encoder()
    return build_model(network, config, prior.extra).to(operator.device), config


def _check_channels(operator: SenseOperator) -> None:
    if operator.sets != 1:
        raise ValueError(
            f"operator: expected one set of maps, got {operator.sets}; networks take none of more: use operator.solve"
        )


@dataclass(frozen=True)
class Unseen:
    """What is left of lines that were not seen, as a share of their energy, (B,). Their noise, which nothing explains,
    is left out where it can be told (`noise_level.py`)."""

    first: Tensor
    """By the first image."""
    prior: Tensor
    """By the prior, used as it is."""

    @property
    def ratio(self) -> Tensor:
        """(B,): 1 is a prior that adds nothing to the first image."""
        return self.prior / self.first

    def uses(self, config: FitConfig) -> list[Use]:
        """What becomes of the prior, for each item, where `config` is how it would be adapted."""

        def use(ratio: float, first: float) -> Use:
            if ratio < FITS:
                return "adapted"
            helps = config.improve_start and ratio < HELPS and first >= OPEN
            return "first images" if helps else "dropped"

        return [use(*pair) for pair in zip(self.ratio.tolist(), self.first.tolist(), strict=True)]


def is_tried(config: FitConfig, start: WarmStart) -> bool:
    """Whether a prior is asked about unseen lines before it is used. A fresh decoder has nothing to be asked about."""
    return config.splitting == "random" and start != "fresh"


@torch.no_grad()
def unseen(operator: SenseOperator, model: Unrolled, config: FitConfig, splits: int = 3) -> Unseen:
    """How well a prior's model explains lines that it does not see, beside its own first image.

    Over a few of the random splits that a fit would use; no truth is needed. ValueError without random splits.
    """
    if config.splitting == "all":
        raise ValueError("splitting: unseen lines come from random splits, got all")
    starts = Starts(operator, dataclasses.replace(config, pool=splits), torch.Generator().manual_seed(config.seed))
    variance = noise_variance(operator).nan_to_num(0.0)
    before = after = noise = energy = torch.zeros(operator.shape[0], device=operator.device)
    for member in starts.pool():
        lines = operator.with_weights(member.split.loss)
        seen = operator.with_weights(member.split.input)
        image = model(member.start, seen, None, in_precision(model, config), starts.mu)
        before = before + lines.data_consistency(member.start)
        after = after + lines.data_consistency(image)
        noise = noise + variance * measured_samples(lines)
        energy = energy + lines.energy()
    # The variance is an estimate, and holds the maps' errors: it may come out above all that there is.
    noise = torch.minimum(noise, NOISE_AT_MOST * torch.minimum(before, energy))
    return Unseen((before - noise) / (energy - noise), (after - noise) / (energy - noise))


@dataclass(frozen=True)
class Recipe:
    """All that a fit of some items needs beside their operator."""

    model: Unrolled
    config: FitConfig
    improve: Unrolled | None = None
    """See `fit.fit`."""


def recipe(
    operator: SenseOperator, prior: Prior | None, use: Use | None, preset: Preset, start: WarmStart = "mean"
) -> Recipe:
    """How the items of `operator` are fitted by `preset`, given what becomes of the prior.

    `adapted`: its decoder is, on first images that the prior makes if `improve_start` says so (and `start` is a decoder
    of the prior's). `first images`: the prior makes them for a network that starts anew. `dropped`, or no prior (any
    use): from scratch. ValueError for first images by a prior that was trained without random splits.
    """
    if prior is None or use == "dropped":
        return Recipe(from_scratch(operator, preset.network, preset.alone), preset.alone)
    config = config_for(prior, preset.adapt)
    tried = is_tried(config, start)
    if use == "first images" and not tried:
        raise ValueError("use: first images need a prior of random splits, and one of its decoders")
    improve = None
    if tried and (use == "first images" or config.improve_start):
        improve = build_model(prior.build().warm_start(1, start), config, prior.extra)
        improve = improve.to(operator.device).requires_grad_(False)
    if use == "first images":
        config = config_for(prior, preset.alone)
        return Recipe(from_scratch(operator, preset.network, config), config, improve)
    model, config = from_prior(operator, prior, preset.adapt, start)
    return Recipe(model, config, improve)


def unadapted(operator: SenseOperator, model: Unrolled, config: FitConfig) -> Tensor:
    """What the model makes of the scan as it is, (B, 2, H, W): a second or two instead of minutes."""
    return _as_it_is(operator, model, config, reconstruct)


def unadapted_uncertainty(operator: SenseOperator, model: Unrolled, config: FitConfig) -> Tensor:
    """How uncertain that is, (B, 1, H, W), see `ensemble.uncertainty`; ValueError without random splits."""
    if config.splitting == "all":
        raise ValueError("splitting: uncertainty comes from random splits, got all")
    return _as_it_is(operator, model, config, uncertainty)


def _as_it_is(operator: SenseOperator, model: Unrolled, config: FitConfig, question: Question) -> Tensor:
    starts = Starts(operator, config, torch.Generator().manual_seed(config.seed))
    if config.splitting == "all":
        with torch.no_grad():
            image: Tensor = model(starts.all_lines, operator, None, in_precision(model, config), starts.mu)
        return image

    return question(starts, model, slice(None), in_precision(model, config))


def adapt(
    operator: SenseOperator, model: Unrolled, config: FitConfig, improve: Unrolled | None = None
) -> Iterator[Step]:
    """Fit the model's free parameters to the scans of `operator`; see `fit.fit`."""
    return fit(model, [operator], config, improve)
