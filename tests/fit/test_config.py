"""FitConfig refuses what the loop could not run, and names the option."""

import dataclasses
from typing import Any

import pytest

from ugodit.errors import InputError
from ugodit.fit.config import FitConfig
from ugodit.priors.presets import PRESETS, preset


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps: expected 1 or more, got 0"),
        ({"average": 1.5}, "average: expected 0 to 1, got 1.5"),
        ({"mu": 0.0}, "mu: expected a finite number above 0"),
        ({"loss_fraction": 1.0}, "loss_fraction: expected more than 0 and less than 1"),
        ({"loss": "l1"}, "loss: expected one of square, norm, got 'l1'"),
        ({"unrolls": 2, "next_input": "output"}, "unrolls: an unrolled network starts anew"),
        ({"splitting": "random"}, "start: expected sparse or conjugate_gradient"),
        ({"seed": 2**40}, "seed: expected 0 to 4294967295"),
        ({"average": float("nan")}, "average: expected a finite number"),
        ({"learn_input": True, "next_input": "output"}, "learn_input: an input that is learned"),
        ({"splitting": "random", "start": "sparse"}, "splitting: a random split needs an unrolled network"),
    ],
)
def test_ranges(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FitConfig(**changes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepz": 3}, "stepz: unknown option; expected one of steps"),
        ({"steps": "3"}, "steps: expected int, got '3'"),
        ({"symmetries": 1}, "symmetries: expected bool, got 1"),
    ],
)
def test_from_dict_refuses(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FitConfig.from_dict(values)


def test_round_trip() -> None:
    config = FitConfig(steps=7, mu=1)
    assert FitConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_configurations(name: str) -> None:
    chosen = preset(name)
    for config in (chosen.train, chosen.adapt, chosen.alone):
        assert dataclasses.replace(config) == config


def test_unknown_preset() -> None:
    with pytest.raises(InputError, match="--preset: expected one of fast, balanced, paper"):
        preset("quick")
