"""A small prior, and what its file holds, read without ugodit."""

from pathlib import Path

import torch
from safetensors import safe_open

from ugodit.fit.model_config import ModelConfig
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.priors.prior import Prior, provenance

CONFIG = NetworkConfig.unet(3, 2)
FORM = ModelConfig(initial_estimate="conjugate_gradient", next_input="fixed", splitting="random", iterations=2, mu=0.07)


def trained(config: NetworkConfig = CONFIG, decoders: int = 3, seed: int = 1) -> Prior:
    """A prior with all its parts."""
    origin = provenance(
        scans=[{"name": "knee_a.h5", "hash": "00ff"}], acceleration=4.0, seed=seed, scale="unit maximum", note="é"
    )
    return Prior.of(
        GroupNet(config, decoders, seed=seed),
        model=FORM,
        training={"steps": 10, "rate": 1e-3, "lengths": [1, 2]},
        provenance=origin,
        extra={"mu": torch.tensor([0.05, 0.04]), "step": torch.tensor(0.5)},
    )


def contents(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
