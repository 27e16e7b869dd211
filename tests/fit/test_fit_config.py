"""FitConfig and its two kinds refuse what the loop could not run, and name the option."""

from typing import Any

import pytest

from ugodit.errors import InputError
from ugodit.fit.fit_config import AdaptConfig, FitConfig, TrainConfig
from ugodit.fit.model_config import ModelConfig

KINDS = pytest.mark.parametrize("kind", [FitConfig, TrainConfig, AdaptConfig])
SPLIT = ModelConfig(splitting="random", initial_estimate="conjugate_gradient", iterations=1, next_input="fixed")


@KINDS
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps: expected 1 or more, got 0"),
        ({"mask_bank": 0}, "mask_bank: expected 1 or more, got 0"),
        ({"average": 1.5}, "average: expected 0 to 1, got 1.5"),
        ({"seed": 2**40}, "seed: expected 0 to 4294967295"),
        ({"average": float("nan")}, "average: expected a finite number"),
        ({"held_out": 0.6}, "held_out: expected 0 to 0.5, got 0.6"),
        ({"learning_rate": 0.0}, "learning_rate: expected a finite number above 0, got 0.0"),
        ({"proximity": -1.0}, "proximity: expected 0 or more, got -1.0"),
        ({"schedule": "linear"}, "schedule: expected one of constant, cosine, got 'linear'"),
        ({"compile": "yes"}, "compile: expected one of auto, on, off, got 'yes'"),
    ],
)
def test_ranges(kind: type[FitConfig], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}") as error:
        kind(**changes)
    assert "\n" not in str(error.value)


def test_training_holds_nothing_out() -> None:
    with pytest.raises(InputError, match=r"^held_out: expected 0: training fits all measured lines"):
        TrainConfig(held_out=0.1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stepz": 3}, "stepz: unknown option, did you mean steps?; expected one of steps"),
        ({"iterations": 3}, "iterations: unknown option"),
        ({"steps": "3"}, "steps: expected int, got '3'"),
        ({"symmetries": 1}, "symmetries: expected bool, got 1"),
    ],
)
def test_from_dict_refuses(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        FitConfig.from_dict(values)
    assert str(error.value).startswith(message)


@KINDS
def test_round_trip(kind: type[FitConfig]) -> None:
    config = kind(steps=7, learning_rate=1)
    again = kind.from_dict(config.to_dict())
    assert type(again) is kind
    assert again == config


def test_options_of_one_kind_are_not_the_others() -> None:
    assert TrainConfig.from_dict({"shared_decoder": True}).shared_decoder
    assert AdaptConfig.from_dict({"two_stage": True}).two_stage
    for kind, option in ((FitConfig, "shared_decoder"), (AdaptConfig, "shared_decoder"), (TrainConfig, "two_stage")):
        with pytest.raises(InputError, match=f"^{option}: unknown option"):
            kind.from_dict({option: True})


@KINDS
def test_options_without_an_effect_say_what_they_need(kind: type[FitConfig]) -> None:
    config = kind()
    assert config.without_effect("inner_steps", SPLIT) == (
        "without a next_input of output or data_consistent it has no effect"
    )
    assert config.without_effect("inner_steps", ModelConfig()) is None
    assert config.without_effect("mask_bank", ModelConfig()) == "without splitting random it has no effect"
    assert config.without_effect("mask_bank", SPLIT) is None
    assert config.without_effect("steps", ModelConfig()) is None
    assert config.without_effect("patience", SPLIT) is not None
    if kind is not TrainConfig:
        assert kind(held_out=0.1).without_effect("patience", SPLIT) is None


def test_two_stages_need_random_splits() -> None:
    assert AdaptConfig().without_effect("two_stage", ModelConfig()) == "without splitting random it has no effect"
    assert AdaptConfig().without_effect("two_stage", SPLIT) is None
