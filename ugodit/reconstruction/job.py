"""Job: everything that a volume's images depend on, beside its measurements."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from typing import Any

import torch

from ugodit.calibration.pipeline import CoilPlan
from ugodit.data.sampling import Sampling
from ugodit.errors import InputError
from ugodit.fit.fit_config import FitConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.priors.acceptance import limits
from ugodit.priors.adaptation import Decoder, can_be_judged
from ugodit.priors.presets import Preset
from ugodit.priors.prior import Prior
from ugodit.reconstruction.launcher import number

OWN_GROUP = "self"
"""In place of a prior: one that is trained on the volume itself."""


@dataclass(frozen=True)
class Job:
    """The settings of a reconstruction. `record` makes of them what results' files keep."""

    preset: Preset
    prior: Prior | None = None
    sampling: Sampling | None = None
    """How fully sampled scans are undersampled."""
    coils: CoilPlan = field(default_factory=CoilPlan)
    decoder: Decoder = "mean"
    """The prior's decoder that adaptation starts from."""
    zero_shot: bool = False
    """The prior is used without adaptation."""
    uncertainty: bool = False
    """Also how far images from other choices of the lines differ."""
    batch: int = 1
    """Slices that are fitted together."""
    seed: int = 0
    own_group: bool = False
    """The prior is one that is trained on the volume's own slices first; until that is done `prior` is None."""

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise InputError(f"`batch`: expected 1 or more, got {self.batch}")
        if self.zero_shot and self.model is None:
            raise InputError("`zero_shot`: needs a prior to use without adaptation; give one with `prior`")
        if not isinstance(self.decoder, int) and self.decoder not in ("mean", "fresh"):
            raise InputError(f"`decoder`: expected mean, fresh or a number, got {self.decoder!r}")
        if self.zero_shot and self.decoder == "fresh":
            raise InputError("`decoder`: fresh needs adaptation: an untrained decoder makes no image; leave it out")
        if self.prior is not None:
            self._check_prior(self.prior)
        elif self.own_group and self.preset.train.shared_decoder and self.decoder not in ("mean", "fresh", 0):
            raise InputError(f"`decoder`: expected mean, fresh or 0, got {self.decoder}")
        if self.uncertainty and not all(
            form.splitting == "random" and config.mask_bank > 1 for form, config in self.fits()
        ):
            raise InputError(
                "`uncertainty`: comes from two random splits of the lines or more, which this preset, configuration or "
                "prior does not have"
            )

    @property
    def model(self) -> ModelConfig | None:
        """The form of the prior, whether there is one by now or will be; None without."""
        if self.prior is not None:
            return self.prior.model
        return self.preset.model if self.own_group else None

    def _check_prior(self, prior: Prior) -> None:
        if isinstance(self.decoder, int) and not 0 <= self.decoder < prior.decoders:
            raise InputError(f"`decoder`: expected mean, fresh or 0 to {prior.decoders - 1}, got {self.decoder}")

    def fits(self) -> list[tuple[ModelConfig, FitConfig]]:
        """The form and configuration of every fit that a slice may come to."""
        alone: list[tuple[ModelConfig, FitConfig]] = [(self.preset.alone_model, self.preset.alone)]
        model = self.model
        if model is None:
            return alone
        adapted: list[tuple[ModelConfig, FitConfig]] = [(model, self.preset.adapt)]
        if self.zero_shot:
            return [(model, dataclasses.replace(self.preset.adapt, held_out=0.0))]
        if not can_be_judged(model, self.decoder):
            return adapted
        initialised = [(model, self.preset.alone)] if self.preset.adapt.two_stage else []
        return adapted + alone + initialised

    def record(self) -> dict[str, Any]:
        """The settings as values that JSON knows."""
        tables = ["network", "alone_model", "alone", "adapt"] + ["train"] * self.own_group
        prior = self.prior.hash if self.prior else None
        return {
            "preset": self.preset.name,
            **{name: getattr(self.preset, name).to_dict() for name in tables},
            "prior": OWN_GROUP if self.own_group else prior,
            "model": self.model.to_dict() if self.model else None,
            "acceptance": limits() if self.model else None,
            "sampling": dataclasses.asdict(self.sampling) if self.sampling else None,
            "coils": self.coils.record(),
            "decoder": self.decoder,
            "zero_shot": self.zero_shot,
            "uncertainty": self.uncertainty,
            "batch": self.batch,
            "seed": self.seed,
        }


def with_seed(preset: Preset, seed: int) -> Preset:
    """The preset with this seed in all its fits."""
    fits: dict[str, Any] = {
        name: dataclasses.replace(getattr(preset, name), seed=seed) for name in ("train", "adapt", "alone")
    }
    return dataclasses.replace(preset, **fits)


def find_device(name: str) -> torch.device:
    """The device of that name; auto is the first GPU where there is one. InputError where there is no such device."""
    if name in ("auto", "cuda") and torch.cuda.is_available():
        # One device a process, where torchrun started several on this machine.
        return torch.device("cuda", number(os.environ, "LOCAL_RANK", 0) % torch.cuda.device_count())
    if name == "auto":
        return torch.device("cpu")
    try:
        wanted = torch.device(name)
    except RuntimeError:
        raise InputError(f"`device`: expected auto, cpu, cuda or cuda:N, got {name!r}") from None
    # torch takes an index modulo 256.
    if wanted.type not in ("cpu", "cuda") or (wanted.index is not None and not name.endswith(f":{wanted.index}")):
        raise InputError(f"`device`: expected auto, cpu, cuda or cuda:N, got {name!r}")
    if wanted.type == "cuda" and (wanted.index or 0) >= torch.cuda.device_count():
        raise InputError(f"`device`: {name} asked for, but torch sees {torch.cuda.device_count()}; use `device` cpu")
    return wanted
