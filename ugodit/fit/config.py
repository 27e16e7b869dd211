"""How a fit is run. Every range is checked here, once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from ugodit.errors import InputError

NextInput = Literal["output", "data_consistent", "fixed"]
Start = Literal["adjoint", "conjugate_gradient", "sparse", "noise"]


@dataclass(frozen=True)
class FitConfig:
    """Options of the one loop (`fit.fit`); each baseline is a choice of these.

    Images are scaled so that the 99.5th percentile of the zero-filled magnitude is 1 before the loop sees them, so the
    weights below mean the same on every scan.
    """

    steps: int = 300
    """Adam steps in all (K N in the paper's terms)."""
    inner_steps: int = 1
    """N: steps between one network input and the next."""
    start: Start = "adjoint"
    """First network input: A^H y; `start_iterations` conjugate-gradient steps; a wavelet-sparse image (`sparse.py`); or
    uniform noise (vanilla DIP)."""
    start_iterations: int = 6
    """Steps of the conjugate-gradient or the sparse start."""
    next_input: NextInput = "output"
    """Next input: f(z), or x - A^H (A x - y) with x = f(z), or the first one for ever."""
    input_noise: float = 0.0
    """Uniform noise in [0, this) times the input's largest magnitude, drawn at every step and added to the input."""
    learn_input: bool = False
    """Optimise the input too (self-guided DIP, arXiv 2402.04097)."""
    autoencoding: float = 0.0
    """lambda: weight of |f(z) - z|^2."""
    proximity: float = 0.0
    """Weight of |x_k - x_(k-1)|, the distance to the step before."""
    loss: Literal["square", "norm"] = "square"
    """Squared norms relative to the measurements' energy, or un-squared relative norms (the reference's MRI)."""
    splitting: Literal["all", "random"] = "all"
    """Every measured line is input and loss, or a random split at every step."""
    loss_fraction: float = 0.4
    """Random split: fraction of the lines outside the core that go to the loss."""
    pool: int = 10
    """Random splits: how many are drawn; later steps choose among them."""
    symmetries: bool = False
    """Turn the image's phase and mirror it at random round every call of the network in training."""
    unrolls: int = 0
    """Turns of network and data-consistency solve; 0 = the bare network."""
    mu: float = 0.05
    """Weight of the network's proposal in the solve."""
    learn_mu: bool = False
    """Optimise mu too."""
    proposal_variance: float = 0.0
    """Variance of the errors in the network's proposals. Above 0 mu is the scan's noise variance (`noise_level.py`)
    divided by it, as estimation theory has it: noisier lines count less. `mu` itself serves where the noise cannot be
    told."""
    shared_decoder: bool = False
    """Group training: one decoder for all scans, or one for each."""
    improve_start: bool = False
    """Adaptation: the prior, used as it is, makes the first images that the adapted network starts from: two turns, of
    which the first is never fitted."""
    solve_iterations: int = 6
    """Conjugate-gradient steps of each solve."""
    learning_rate: float = 1e-3
    """Adam's, at its highest."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the learning rate: constant, or ten steps of warm-up and a cosine down to zero."""
    average: float = 0.99
    """Decay of the exponential moving average: of the output, or (random splits) of the weights."""
    held_out: float = 0.0
    """Fraction of the lines outside the core that are never fitted and tell when to stop; 0 = run all steps."""
    patience: int = 100
    """Stop when the held-out loss has not fallen for this many steps."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the network's convolutions; operator, loss and master weights stay float32."""
    compile: Literal["auto", "on", "off"] = "auto"
    """torch.compile of the network; auto: on a GPU, where Triton finds a C compiler. Costs up to a minute for each size
    of image in a process, and rounds a little otherwise."""
    cuda_graph: Literal["auto", "on", "off"] = "auto"
    """Replay steps as a CUDA graph; auto: on a GPU."""
    seed: int = 0
    """Of splits, noise, and fresh decoders."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("steps", 1, None),
            ("inner_steps", 1, None),
            ("start_iterations", 1, None),
            ("pool", 1, None),
            ("solve_iterations", 1, None),
            ("unrolls", 0, None),
            ("patience", 1, None),
            ("input_noise", 0, None),
            ("autoencoding", 0, None),
            ("proximity", 0, None),
            ("average", 0, 1),
            ("held_out", 0, 0.5),
            ("proposal_variance", 0, None),
            ("seed", 0, 2**32 - 1),
        ):
            value = getattr(self, name)
            if not math.isfinite(value):
                raise InputError(f"{name}: expected a finite number, got {value}")
            if value < low or (high is not None and value > high):
                wanted = f"{low} or more" if high is None else f"{low} to {high}"
                raise InputError(f"{name}: expected {wanted}, got {value}")
        for name in ("mu", "learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name}: expected a finite number above 0, got {getattr(self, name)}")
        if not 0 < self.loss_fraction < 1:
            raise InputError(f"loss_fraction: expected more than 0 and less than 1, got {self.loss_fraction}")
        for name, allowed in _choices(type(self)).items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name}: expected one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if self.unrolls and (self.next_input != "fixed" or self.learn_input):
            raise InputError("unrolls: an unrolled network starts anew from its lines; set next_input = 'fixed'")
        if self.splitting == "random" and self.start not in ("sparse", "conjugate_gradient"):
            raise InputError(
                f"start: expected sparse or conjugate_gradient for a random split, which mixes it in, got {self.start}"
            )
        if self.learn_input and self.next_input != "fixed":
            raise InputError("learn_input: an input that is learned is not replaced; set next_input = 'fixed'")
        if self.proposal_variance and self.learn_mu:
            raise InputError("proposal_variance: mu follows from the noise then; set learn_mu = false, or this to 0")
        if self.splitting == "random" and not self.unrolls:
            raise InputError("splitting: a random split needs an unrolled network; set unrolls to 1 or more")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FitConfig:
        """From a mapping of field names; InputError on an unknown name or a wrong type."""
        return cls(**checked_fields(cls, values))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


def checked_fields(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` if every name is a field of the dataclass `cls` and every value has its type; else InputError."""
    if not isinstance(values, Mapping):
        raise InputError(f"expected a table of {cls.__name__} options, got {values!r}")
    hints = get_type_hints(cls)
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            raise InputError(f"{name}: unknown option; expected one of {', '.join(hints)}")
        wanted = hints[name]
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if wanted in (int, float, str, bool) and type(value) is not wanted:
            raise InputError(f"{name}: expected {wanted.__name__}, got {value!r}")
        checked[name] = value
    return checked


def _choices(cls: type) -> dict[str, tuple[str, ...]]:
    return {name: get_args(hint) for name, hint in get_type_hints(cls).items() if get_args(hint)}
