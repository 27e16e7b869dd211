"""What options were called in ugodit 0.1.0: its priors and configuration files are still read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ugodit.fit.model_config import ModelConfig

RENAMED = {
    "start": "initial_estimate",
    "start_iterations": "initial_iterations",
    "unrolls": "iterations",
    "proposal_variance": "prior_variance",
    "pool": "mask_bank",
    "improve_start": "two_stage",
}
"""Options of a fit, old to new."""

RENAMED_VALUES = {"initial_estimate": {"sparse": "compressed_sensing"}}

MODEL_FIELDS = tuple(field.name for field in dataclasses.fields(ModelConfig))
"""They stood beside the options of the fit, in [train], [adapt] and [alone]."""


def today(name: str, value: Any) -> tuple[str, Any]:
    """The name and value that an option has now."""
    name = RENAMED.get(name, name)
    values = RENAMED_VALUES.get(name, {})
    return name, values.get(value, value) if isinstance(value, str) else value


def split_earlier(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of 0.1.0's one configuration as those of the model, and those of its fit."""
    renamed = dict(today(name, value) for name, value in options.items())
    model = {name: value for name, value in renamed.items() if name in MODEL_FIELDS}
    return model, {name: value for name, value in renamed.items() if name not in MODEL_FIELDS}
