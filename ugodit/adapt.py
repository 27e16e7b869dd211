"""One unseen scan: a model for it, with or without a prior, and the scale that the fit loop expects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor

from .config import FitConfig
from .ensemble import Starts, reconstruct, uncertainty
from .fit import Step, fit
from .loop import Question
from .networks.config import NetworkConfig
from .networks.group import GroupNet
from .networks.unrolled import Unrolled
from .noise_level import measured_samples, noise_variance
from .operators.sense import SenseOperator
from .presets import MODEL_FIELDS
from .prior import Prior

FITS = 0.75
"""A prior whose `unseen_loss` is at least this is dropped: it has little to say about the scan, and a frozen encoder
that does not fit costs more than a fit from scratch (docs/ablation.md)."""

NOISE_AT_MOST = 0.9
"""Of what the first image leaves of unseen lines: the most that is taken for noise."""

WarmStart = int | Literal["mean", "fresh"]


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


@torch.no_grad()
def unseen_loss(operator: SenseOperator, model: Unrolled, config: FitConfig, splits: int = 3) -> Tensor:
    """How well the model explains lines that it does not see, against its own first image: a loss ratio, (B,).

    1 is no better than the first image, see FITS. The noise of the unseen lines, which nothing explains, is left out
    where it can be told (`noise_level.py`). Over a few of the random splits that a fit would use; no truth is needed.
    ValueError without random splits.
    """
    if config.splitting == "all":
        raise ValueError("splitting: unseen lines come from random splits, got all")
    starts = Starts(operator, dataclasses.replace(config, pool=splits), torch.Generator().manual_seed(config.seed))
    variance = noise_variance(operator).nan_to_num(0.0)
    before = after = noise = torch.zeros(operator.shape[0], device=operator.device)
    for member in starts.pool():
        unseen = operator.with_weights(member.split.loss)
        image = model(member.start, operator.with_weights(member.split.input), None, _network(model, config), starts.mu)
        before = before + unseen.data_consistency(member.start)
        after = after + unseen.data_consistency(image)
        noise = noise + variance * measured_samples(unseen)
    # The variance is an estimate: it may come out above all that there is.
    noise = torch.minimum(noise, NOISE_AT_MOST * before)
    return (after - noise) / (before - noise)


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
            image: Tensor = model(starts.all_lines, operator, None, _network(model, config), starts.mu)
        return image

    return question(starts, model, slice(None), _network(model, config))


def _network(model: Unrolled, config: FitConfig) -> Callable[[Tensor], Tensor]:
    def evaluate(z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, dtype=torch.bfloat16, enabled=config.precision == "bfloat16"):
            return model.network(z).float()

    return evaluate


def adapt(operator: SenseOperator, model: Unrolled, config: FitConfig) -> Iterator[Step]:
    """Fit the model's free parameters to the scans of `operator`; see `fit.fit`."""
    return fit(model, [operator], config)
