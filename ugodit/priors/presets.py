"""The named recipes behind `--preset`: which network, and how it is trained, adapted, or fitted without a prior."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ugodit.errors import InputError
from ugodit.fit.config import FitConfig
from ugodit.networks.config import NetworkConfig, reference_unet

MODEL_FIELDS = (
    "start",
    "start_iterations",
    "next_input",
    "input_noise",
    "learn_input",
    "loss",
    "splitting",
    "loss_fraction",
    "unrolls",
    "mu",
    "proposal_variance",
    "solve_iterations",
)
"""Options that a prior's weights were learned for: adaptation takes them from the prior, not from the preset."""


@dataclass(frozen=True)
class Preset:
    """One recipe."""

    network: NetworkConfig
    train: FitConfig
    """Group training: every step visits all scans."""
    adapt: FitConfig
    """One scan, from a prior, encoder frozen."""
    alone: FitConfig
    """One scan, no prior."""


_UNROLLED = FitConfig(
    start="sparse",
    start_iterations=60,
    next_input="fixed",
    splitting="random",
    loss_fraction=0.3,
    unrolls=1,
    mu=0.05,
    proposal_variance=0.005,
    solve_iterations=4,
    schedule="cosine",
    learning_rate=1e-3,
    average=0.9,
    precision="bfloat16",
)

_PUBLISHED = FitConfig(
    start="adjoint",
    next_input="data_consistent",
    loss="norm",
    learning_rate=3e-4,
    average=0.99,
    input_noise=1e-5,
    proximity=1e-3,
)

PRESETS: dict[str, Preset] = {
    "fast": Preset(
        network=NetworkConfig.unet(16, 3, activation="leaky_relu", output="residual"),
        train=dataclasses.replace(_UNROLLED, steps=100, symmetries=True, shared_decoder=True, pool=6),
        adapt=dataclasses.replace(_UNROLLED, steps=20, compile="off"),
        alone=dataclasses.replace(_UNROLLED, steps=30, compile="off"),
    ),
    "balanced": Preset(
        network=NetworkConfig.unet(16, 3, activation="leaky_relu", output="residual"),
        train=dataclasses.replace(_UNROLLED, steps=300, symmetries=True, shared_decoder=True, pool=8),
        adapt=dataclasses.replace(_UNROLLED, steps=60, pool=16, improve_start=True),
        alone=dataclasses.replace(_UNROLLED, steps=100, pool=16),
    ),
    "paper": Preset(
        network=reference_unet(),
        train=dataclasses.replace(_PUBLISHED, steps=5000),
        adapt=dataclasses.replace(_PUBLISHED, steps=10000, learning_rate=4e-4, autoencoding=1e-3),
        # aSeqDIP: nothing pre-trained, A^H y, the output fed back, an autoencoding term.
        alone=dataclasses.replace(
            _PUBLISHED, steps=10000, next_input="output", inner_steps=2, autoencoding=1.0, loss="square", proximity=0.0
        ),
    ),
}


def preset(name: str) -> Preset:
    """The preset of that name; InputError names the known ones."""
    if name not in PRESETS:
        raise InputError(f"--preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]
