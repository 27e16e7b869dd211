"""How a network is fitted: steps, rate, averages, arithmetic. Every range is checked here, once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from ugodit.errors import InputError
from ugodit.fit.config_fields import check_choices, check_most, check_positive, check_range, checked_fields
from ugodit.fit.model_config import ModelConfig

LIMITS = {
    "steps": 1e7,
    "inner_steps": 1e7,
    "mask_bank": 1000,
    "patience": 1e9,
    "autoencoding": 1e9,
    "proximity": 1e9,
    "learning_rate": 1e30,
}
"""More is a mistake, and would be found out too late."""


@dataclass(frozen=True)
class FitConfig:
    """Options of the one loop (`fit.fit`), whatever the network's form (`ModelConfig`)."""

    steps: int = 300
    """How many Adam steps are taken in all (K N in the paper's terms)."""
    inner_steps: int = 1
    """N: how many steps lie between one network input and the next."""
    autoencoding: float = 0.0
    """lambda: the weight of |f(z) - z|^2."""
    proximity: float = 0.0
    """The weight of |x_k - x_(k-1)|, the distance to the step before."""
    mask_bank: int = 10
    """How many random splits are drawn; later steps choose among them."""
    symmetries: bool = False
    """Every call of the network in training sees a random symmetry of its input: a phase rotation, mirror images."""
    learning_rate: float = 1e-3
    """Adam's rate at its highest."""
    schedule: Literal["constant", "cosine"] = "constant"
    """The rate is constant, or rises for ten steps and falls to zero as a cosine."""
    average: float = 0.99
    """The decay of the exponential moving average: of the output, or (random splits) of the weights."""
    held_out: float = 0.0
    """The fraction of the lines outside the core that is never fitted and tells when to stop; 0 runs all steps."""
    patience: int = 100
    """The fit stops when the held-out error has not fallen for this many steps."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """The arithmetic of the network's convolutions; operator, loss and master weights stay float32. auto is bfloat16
    where the device multiplies in it (GPUs; processors with AVX512-BF16 or AMX), else float32: it is faster there."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether torch.compile is used for the network; auto does on a GPU, where Triton finds a C compiler. It costs up
    to a minute for each size of image in a process, and rounds a little otherwise."""
    cuda_graph: Literal["auto", "on", "off"] = "auto"
    """Whether steps run as a CUDA graph; auto does on a GPU."""
    seed: int = 0
    """The seed of splits, noise, and fresh decoders."""

    def __post_init__(self) -> None:
        for name in ("steps", "inner_steps", "mask_bank", "patience"):
            check_range(self, name, 1)
        for name in ("autoencoding", "proximity"):
            check_range(self, name, 0)
        check_range(self, "average", 0, 1)
        check_range(self, "held_out", 0, 0.5)
        check_range(self, "seed", 0, 2**32 - 1)
        check_positive(self, "learning_rate")
        check_most(self, LIMITS)
        check_choices(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From a mapping of field names; InputError on an unknown name or a wrong type."""
        return cls(**checked_fields(cls, values))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    def without_effect(self, name: str, model: ModelConfig) -> str | None:
        """Why the field `name` could not have an effect beside the others and the model, or None where it could."""
        needs: dict[str, tuple[bool, str]] = {
            "inner_steps": (model.next_input != "fixed", "a next_input of output or data_consistent"),
            "mask_bank": (model.splitting == "random", "splitting random"),
            "patience": (self.held_out > 0, "held_out above 0"),
        }
        met, what = needs.get(name, (True, ""))
        return None if met else f"without {what} it has no effect"


@dataclass(frozen=True)
class TrainConfig(FitConfig):
    """Options of group training."""

    shared_decoder: bool = False
    """All scans share one decoder, or each has one of its own."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.held_out:
            raise InputError("held_out: expected 0: training fits all measured lines of all scans")

    def without_effect(self, name: str, model: ModelConfig) -> str | None:
        """As for `FitConfig`."""
        if name == "patience":
            return "training fits all measured lines of all scans, so that none are held out"
        return super().without_effect(name, model)


@dataclass(frozen=True)
class AdaptConfig(FitConfig):
    """Options of adapting a prior to one scan."""

    two_stage: bool = False
    """The prior, without adaptation, makes the initial estimates of the network that is adapted: two stages, of which
    the first is never fitted."""

    def without_effect(self, name: str, model: ModelConfig) -> str | None:
        """As for `FitConfig`."""
        if name == "two_stage" and model.splitting == "all":
            return "without splitting random it has no effect"
        return super().without_effect(name, model)
