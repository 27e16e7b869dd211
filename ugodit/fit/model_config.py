"""How the network is unrolled and asked: what its weights are learned for, and what a prior's file keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ugodit.errors import InputError
from ugodit.fit.config_fields import check_choices, check_most, check_positive, check_range, checked_fields

NextInput = Literal["output", "data_consistent", "fixed"]
InitialEstimate = Literal["adjoint", "conjugate_gradient", "compressed_sensing", "noise"]


LIMITS = {
    "initial_iterations": 10_000,
    "solve_iterations": 1000,
    "iterations": 100,
    "input_noise": 1e3,
    "mu": 1e6,
    "prior_variance": 1e6,
}
"""More is a mistake, or an attack: a prior's file sets these."""


@dataclass(frozen=True)
class ModelConfig:
    """The form in which a network meets the measurements. A prior serves in the form that it was trained in.

    Images are scaled so that the 99.5th percentile of the zero-filled magnitude is 1 (`operators.scale`), so the
    weights below mean the same on every scan.
    """

    initial_estimate: InitialEstimate = "adjoint"
    """The first network input: adjoint is A^H y, conjugate_gradient a few steps of least squares, compressed_sensing an
    image that is sparse in wavelets, noise a uniformly random image (vanilla DIP)."""
    initial_iterations: int = 6
    """How many steps the conjugate_gradient or compressed_sensing estimate takes."""
    next_input: NextInput = "output"
    """What the network is given next: output is f(z), data_consistent is x - A^H (A x - y) with x = f(z), fixed is the
    first input for ever."""
    input_noise: float = 0.0
    """Uniform noise in [0, this) times the input's largest magnitude is drawn at every step and added to the input."""
    learn_input: bool = False
    """The input is optimised too (self-guided DIP, arXiv 2402.04097)."""
    loss: Literal["square", "norm"] = "square"
    """Residuals count by their squared norm relative to the measurements' energy, or by its root (the reference's
    MRI)."""
    splitting: Literal["all", "random"] = "all"
    """Every measured line is both seen and fitted, or a random split at every step decides which are seen and which are
    held out to judge the result."""
    loss_fraction: float = 0.4
    """The fraction of the lines outside the core that a random split holds out."""
    iterations: int = 0
    """How many unrolled iterations of network and data-consistency solve make an image; 0 is the bare network."""
    mu: float = 0.05
    """The weight of the network's proposal in the solve."""
    learn_mu: bool = False
    """mu is optimised too."""
    prior_variance: float = 0.0
    """tau^2, the variance of the errors in the network's proposals. Above 0, mu is sigma^2 / tau^2 with the noise
    variance sigma^2 of the scan, so that noisier lines count less; `mu` itself serves where the noise cannot be told.
    """
    solve_iterations: int = 6
    """How many conjugate-gradient steps each solve takes."""

    def __post_init__(self) -> None:
        for name in ("initial_iterations", "solve_iterations"):
            check_range(self, name, 1)
        for name in ("iterations", "input_noise", "prior_variance"):
            check_range(self, name, 0)
        check_positive(self, "mu")
        check_most(self, LIMITS)
        if not 0 < self.loss_fraction < 1:
            raise InputError(f"loss_fraction: expected more than 0 and less than 1, got {self.loss_fraction}")
        check_choices(self)
        if self.iterations and (self.next_input != "fixed" or self.learn_input):
            raise InputError("iterations: an unrolled network starts anew from its lines; set next_input = 'fixed'")
        if self.splitting == "random" and self.initial_estimate not in ("compressed_sensing", "conjugate_gradient"):
            raise InputError(
                "initial_estimate: expected compressed_sensing or conjugate_gradient for a random split, which mixes "
                f"it in, got {self.initial_estimate}"
            )
        if self.learn_input and self.next_input != "fixed":
            raise InputError("learn_input: an input that is learned is not replaced; set next_input = 'fixed'")
        if self.prior_variance and self.learn_mu:
            raise InputError("prior_variance: mu follows from the noise then; set learn_mu = false, or this to 0")
        if self.splitting == "random" and not self.iterations:
            raise InputError("splitting: a random split needs an unrolled network; set iterations to 1 or more")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """From a mapping of field names; InputError on an unknown name or a wrong type."""
        return cls(**checked_fields(cls, values))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)

    def without_effect(self, name: str) -> str | None:
        """Why the field `name` could not have an effect beside the others, or None where it could."""
        needs: dict[str, tuple[bool, str]] = {
            "initial_iterations": (
                self.initial_estimate in ("conjugate_gradient", "compressed_sensing"),
                "initial_estimate conjugate_gradient or compressed_sensing",
            ),
            "loss_fraction": (self.splitting == "random", "splitting random"),
            "mu": (self.iterations > 0, "iterations of 1 or more"),
            "learn_mu": (self.iterations > 0, "iterations of 1 or more"),
            "prior_variance": (self.iterations > 0, "iterations of 1 or more"),
            "solve_iterations": (self.iterations > 0, "iterations of 1 or more"),
        }
        met, what = needs.get(name, (True, ""))
        return None if met else f"without {what} it has no effect"
