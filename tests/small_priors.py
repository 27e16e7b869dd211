"""A small scan, a preset of few steps and a prior whose network says something."""

import dataclasses
from typing import Any

import torch
from scans import small_operator

from ugodit.networks import NetworkConfig
from ugodit.operators import SenseOperator
from ugodit.operators.scale import normalize
from ugodit.priors.presets import PRESETS, Preset
from ugodit.priors.prior import Prior
from ugodit.priors.training import group_model

NETWORK = NetworkConfig.unet(4, 1, activation="leaky_relu", output="residual")


def quick(name: str = "balanced", **adapt: Any) -> Preset:
    """The preset with a small network and two steps; `adapt`: changed options of adaptation."""
    chosen = PRESETS[name]
    fits: dict[str, Any] = {
        table: dataclasses.replace(getattr(chosen, table), steps=2, precision="float32")
        for table in ("train", "adapt", "alone")
    }
    fits["adapt"] = dataclasses.replace(fits["adapt"], **adapt)
    return Preset(network=NETWORK, model=chosen.model, alone_model=chosen.alone_model, **fits)


def scan(items: int = 1) -> SenseOperator:
    one = normalize(small_operator(columns=40, noise=0.2)[0])[0]
    return SenseOperator.stack([one] * items)


def prior(preset: Preset) -> Prior:
    """Weights that are not zero in the last layer: the network says something."""
    model = group_model([scan()], preset.network, preset.model, preset.train)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.network.decoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return Prior.of(model.network, model=preset.model, training=preset.train.to_dict(), provenance={"scans": []})
