"""ModelConfig refuses what no model could be, and names the option."""

import dataclasses
from typing import Any

import pytest

from ugodit.errors import InputError
from ugodit.fit.model_config import ModelConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mu": 0.0}, "mu: expected a finite number above 0"),
        ({"mu": float("inf")}, "mu: expected a finite number above 0"),
        ({"loss_fraction": 1.0}, "loss_fraction: expected more than 0 and less than 1"),
        ({"loss": "l1"}, "loss: expected one of square, norm, got 'l1'"),
        ({"initial_estimate": "sparse"}, "initial_estimate: expected one of adjoint, .*compressed_sensing"),
        ({"initial_iterations": 0}, "initial_iterations: expected 1 or more, got 0"),
        ({"solve_iterations": 0}, "solve_iterations: expected 1 or more, got 0"),
        ({"iterations": -1}, "iterations: expected 0 or more, got -1"),
        ({"input_noise": float("nan")}, "input_noise: expected a finite number"),
        ({"prior_variance": -1.0}, "prior_variance: expected 0 or more, got -1"),
        ({"iterations": 2, "next_input": "output"}, "iterations: an unrolled network starts anew"),
        ({"iterations": 2, "next_input": "fixed", "learn_input": True}, "iterations: an unrolled network starts anew"),
        ({"splitting": "random"}, "initial_estimate: expected compressed_sensing or conjugate_gradient"),
        ({"learn_input": True, "next_input": "output"}, "learn_input: an input that is learned"),
        ({"prior_variance": 0.1, "learn_mu": True}, "prior_variance: mu follows from the noise"),
        (
            {"splitting": "random", "initial_estimate": "compressed_sensing"},
            "splitting: a random split needs an unrolled network",
        ),
    ],
)
def test_ranges(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}") as error:
        ModelConfig(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"iteration": 3}, "iteration: unknown option, did you mean iterations?; expected one of initial_estimate"),
        ({"steps": 3}, "steps: unknown option"),
        ({"iterations": "3"}, "iterations: expected int, got '3'"),
        ({"learn_mu": 1}, "learn_mu: expected bool, got 1"),
    ],
)
def test_from_dict_refuses(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        ModelConfig.from_dict(values)
    assert str(error.value).startswith(message)


def test_round_trip() -> None:
    config = ModelConfig(iterations=2, next_input="fixed", mu=1)
    assert ModelConfig.from_dict(config.to_dict()) == config


SPLIT = ModelConfig(splitting="random", initial_estimate="conjugate_gradient", iterations=1, next_input="fixed")


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(ModelConfig)])
def test_options_without_an_effect_say_what_they_need(field: str) -> None:
    bare = {
        "initial_iterations": "initial_estimate conjugate_gradient or compressed_sensing",
        "loss_fraction": "splitting random",
        **dict.fromkeys(("mu", "learn_mu", "prior_variance", "solve_iterations"), "iterations of 1 or more"),
    }
    expected = f"without {bare[field]} it has no effect" if field in bare else None
    assert ModelConfig().without_effect(field) == expected
    assert SPLIT.without_effect(field) is None
