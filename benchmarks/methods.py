"""The methods that are compared: each makes its whole configuration first, then runs from nothing but that.

Every network method is a choice of options of the one loop in ugodit.fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import methods_classical as classical
import methods_group as with_prior
import methods_untrained as untrained
from method import Configuration, Group, Method, Settings

from ugodit.errors import InputError
from ugodit.evaluation import baselines
from ugodit.fit.config_fields import did_you_mean
from ugodit.fit.fit_config import AdaptConfig, FitConfig, TrainConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.networks.config import NetworkConfig

_ON_TRUTH = "also at the best step, chosen on the truth"

METHODS: dict[str, Method] = {
    "zero_filling": Method("zero filling", lambda settings: {}, classical.zero_filling),
    "cg_sense": Method("CG-SENSE", lambda settings: {"iterations": 30, "mu": 0.01, "best": False}, classical.cg_sense),
    "cg_sense_best": Method(
        "CG-SENSE, best count",
        lambda settings: {"iterations": 30, "mu": 0.0, "best": True},
        classical.cg_sense,
        "number of iterations chosen on the truth",
    ),
    "l1_wavelet": Method(
        "L1-wavelet",
        lambda settings: {"weights": list(classical.L1_WEIGHTS), "iterations": 60},
        classical.compressed_sensing(baselines.l1_wavelet),
        "weight chosen on the truth; seconds of the best weight alone",
    ),
    "tv": Method(
        "total variation",
        lambda settings: {"weights": list(classical.TV_WEIGHTS), "iterations": 100},
        classical.compressed_sensing(baselines.total_variation),
        "weight chosen on the truth; seconds of the best weight alone",
    ),
    "dip": Method("DIP", untrained.dip, untrained.run, _ON_TRUTH),
    "deep_decoder": Method("ConvDecoder", untrained.deep_decoder, untrained.run, _ON_TRUTH),
    "self_guided_dip": Method("self-guided DIP", untrained.self_guided, untrained.run, _ON_TRUTH),
    "aseqdip": Method("aSeqDIP", untrained.aseqdip, untrained.run, _ON_TRUTH),
    "ugodit_paper": Method(
        "UGoDIT as published", with_prior.as_published, with_prior.run_adapted, _ON_TRUTH, needs_group=True
    ),
    "alone": Method("ours, no prior", untrained.alone, untrained.run, ours=True),
    "alone_equal": Method("ours, no prior, steps of the adaptation", untrained.alone_equal, untrained.run, ours=True),
    # Zero-shot: the key and the title are those of the records that there are.
    "group_unadapted": Method(
        "ours, prior unadapted", with_prior.ours, with_prior.run_zero_shot, ours=True, needs_group=True
    ),
    "group_adapted": Method(
        "ours, prior adapted", with_prior.ours, with_prior.run_adapted, ours=True, needs_group=True
    ),
}

CHECKED: Mapping[str, Callable[[Mapping[str, Any]], NetworkConfig | ModelConfig | FitConfig]] = {
    "network": NetworkConfig.from_dict,
    "model": ModelConfig.from_dict,
    "fit": FitConfig.from_dict,
    "train": TrainConfig.from_dict,
    "adapt": AdaptConfig.from_dict,
    "alone_model": ModelConfig.from_dict,
    "alone": FitConfig.from_dict,
}
"""What the tables of a configuration have to be."""


def chosen(text: str | None) -> Sequence[str]:
    """The methods of a comma-separated list, in the table's order; all without one. InputError for an unknown name."""
    if text is None:
        return tuple(METHODS)
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in METHODS:
            raise InputError(
                f"--methods: expected some of {', '.join(METHODS)}, got {name!r}{did_you_mean(name, METHODS)}"
            )
    return tuple(name for name in METHODS if name in names)


def configuration_of(name: str, settings: Settings, group: Group | None) -> Configuration:
    """All that the method's image depends on but its data: the preset's tables with the overrides in their places.

    Without `group`, a prior's training scans are left out. InputError for overrides that do not fit.
    """
    method = METHODS[name]
    configuration = method.configure(settings)
    for path, value in settings.overrides.items():
        target, _, rest = path.partition(".")
        if target == name:
            _override(configuration, path, rest.split("."), value)
    for table, checked in CHECKED.items():
        if table not in configuration:
            continue
        try:
            configuration[table] = checked(configuration[table]).to_dict()
        except (TypeError, ValueError) as error:
            raise InputError(f"--set: {name}.{table}: {error}") from error
    if method.needs_group and group is not None:
        configuration |= {"group": group.description, "sampling": group.sampling}
    return configuration


def check_settings(names: Sequence[str], settings: Settings) -> None:
    """InputError for an override that no method has or that is out of range: before anything runs."""
    for path in settings.overrides:
        if path.partition(".")[0] not in METHODS:
            raise InputError(f"--set: {path}: expected METHOD.TABLE.FIELD with a METHOD of {', '.join(METHODS)}")
    for name in names:
        configuration_of(name, settings, None)


def _override(configuration: Configuration, path: str, names: list[str], value: Any) -> None:
    table: Any = configuration
    for name in names[:-1]:
        table = table.get(name) if isinstance(table, dict) else None
    if not isinstance(table, dict) or names[-1] not in table:
        known = table if isinstance(table, dict) else configuration
        guess = did_you_mean(names[-1], known)
        raise InputError(f"--set: {path}: no such option of this method{guess}; expected one of {', '.join(known)}")
    table[names[-1]] = value
