"""The presets are configurations that pass their own checks."""

import dataclasses

import pytest

from ugodit.errors import InputError
from ugodit.priors.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid_configurations(name: str) -> None:
    chosen = preset(name)
    assert chosen.name == name
    for config in (chosen.model, chosen.train, chosen.adapt, chosen.alone_model, chosen.alone):
        assert dataclasses.replace(config) == config
        assert type(config).from_dict(config.to_dict()) == config


def test_unknown_preset() -> None:
    with pytest.raises(InputError, match=r"^`preset`: expected one of fast, balanced, thorough, paper, got 'quick'"):
        preset("quick")
    with pytest.raises(InputError, match=r"did you mean balanced\?$"):
        preset("balance")
