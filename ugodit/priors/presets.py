"""The presets: which network, in which form, and how it is trained, adapted, or fitted without a prior."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ugodit.errors import InputError
from ugodit.fit.config_fields import did_you_mean
from ugodit.fit.fit_config import AdaptConfig, FitConfig, TrainConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.networks.config import NetworkConfig, reference_unet


@dataclass(frozen=True)
class Preset:
    """All that a reconstruction or a training is configured by."""

    network: NetworkConfig
    """The network of a new prior, and of fits without one."""
    model: ModelConfig
    """The form that a group is trained in; a prior keeps it."""
    train: TrainConfig
    """Group training: every step visits all scans."""
    adapt: AdaptConfig
    """One scan, from a prior, encoder frozen."""
    alone_model: ModelConfig
    """The form of a network that is fitted to one scan without a prior."""
    alone: FitConfig
    """One scan, no prior."""
    name: str = "custom"
    """For records."""


_UNROLLED = ModelConfig(
    initial_estimate="compressed_sensing",
    initial_iterations=60,
    next_input="fixed",
    splitting="random",
    loss_fraction=0.3,
    iterations=1,
    mu=0.05,
    prior_variance=0.005,
    solve_iterations=4,
)
_SPLITS = FitConfig(schedule="cosine", learning_rate=1e-3, average=0.9, precision="auto")
_NETWORK = NetworkConfig.unet(16, 3, activation="leaky_relu", output="residual")

_PUBLISHED = ModelConfig(initial_estimate="adjoint", next_input="data_consistent", loss="norm", input_noise=1e-5)
_ALL_LINES = FitConfig(learning_rate=3e-4, average=0.99, proximity=1e-3)


def _train(base: FitConfig, **changes: object) -> TrainConfig:
    return TrainConfig(**{**base.to_dict(), **changes})


def _adapt(base: FitConfig, **changes: object) -> AdaptConfig:
    return AdaptConfig(**{**base.to_dict(), **changes})


PRESETS: dict[str, Preset] = {
    "fast": Preset(
        name="fast",
        network=_NETWORK,
        model=_UNROLLED,
        train=_train(_SPLITS, steps=100, symmetries=True, shared_decoder=True, mask_bank=6),
        adapt=_adapt(_SPLITS, steps=20, compile="off"),
        alone_model=_UNROLLED,
        alone=dataclasses.replace(_SPLITS, steps=30, compile="off"),
    ),
    "balanced": Preset(
        name="balanced",
        network=_NETWORK,
        model=_UNROLLED,
        train=_train(_SPLITS, steps=300, symmetries=True, shared_decoder=True, mask_bank=8),
        adapt=_adapt(_SPLITS, steps=60, mask_bank=16, two_stage=True),
        alone_model=_UNROLLED,
        alone=dataclasses.replace(_SPLITS, steps=100, mask_bank=16),
    ),
    # A prior is trained once and used often: three iterations cost three times the training. A scan alone gains nothing
    # by more of them, and two stages cost at 4x what they gain at 8x (docs/ablation.md).
    "thorough": Preset(
        name="thorough",
        network=_NETWORK,
        model=dataclasses.replace(_UNROLLED, iterations=3),
        train=_train(_SPLITS, steps=300, symmetries=True, shared_decoder=True, mask_bank=8),
        adapt=_adapt(_SPLITS, steps=60, mask_bank=16),
        alone_model=_UNROLLED,
        alone=dataclasses.replace(_SPLITS, steps=100, mask_bank=16),
    ),
    "paper": Preset(
        name="paper",
        network=reference_unet(),
        model=_PUBLISHED,
        train=_train(_ALL_LINES, steps=5000),
        adapt=_adapt(_ALL_LINES, steps=10000, learning_rate=4e-4, autoencoding=1e-3),
        # aSeqDIP: nothing pre-trained, A^H y, the output fed back, an autoencoding term.
        alone_model=dataclasses.replace(_PUBLISHED, next_input="output", loss="square"),
        alone=dataclasses.replace(_ALL_LINES, steps=10000, inner_steps=2, autoencoding=1.0, proximity=0.0),
    ),
}


def preset(name: str) -> Preset:
    """The preset of that name; InputError names the known ones."""
    if name not in PRESETS:
        raise InputError(f"`preset`: expected one of {', '.join(PRESETS)}, got {name!r}{did_you_mean(name, PRESETS)}")
    return PRESETS[name]
