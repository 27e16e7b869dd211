"""Options of ugodit 0.1.0 by their names of today."""

import dataclasses

from ugodit.fit.fit_config import AdaptConfig, FitConfig, TrainConfig
from ugodit.fit.model_config import ModelConfig
from ugodit.priors.earlier_names import MODEL_FIELDS, RENAMED, split_earlier, today


def test_every_name_of_today_exists_and_no_earlier_one_does() -> None:
    known = {
        field.name for kind in (ModelConfig, FitConfig, TrainConfig, AdaptConfig) for field in dataclasses.fields(kind)
    }
    assert set(RENAMED.values()) <= known
    assert not set(RENAMED) & known
    assert set(MODEL_FIELDS) == {field.name for field in dataclasses.fields(ModelConfig)}


def test_names_and_values() -> None:
    assert today("start", "sparse") == ("initial_estimate", "compressed_sensing")
    assert today("start", "adjoint") == ("initial_estimate", "adjoint")
    assert today("pool", 8) == ("mask_bank", 8)
    assert today("improve_start", True) == ("two_stage", True)
    assert today("steps", 3) == ("steps", 3)
    # A value of another option is none of ours.
    assert today("schedule", "sparse") == ("schedule", "sparse")


def test_one_configuration_becomes_two() -> None:
    earlier = {"steps": 7, "unrolls": 2, "start": "sparse", "next_input": "fixed", "pool": 4, "proposal_variance": 0.1}
    model, fitted = split_earlier(earlier)
    assert ModelConfig.from_dict(model) == ModelConfig(
        iterations=2, initial_estimate="compressed_sensing", next_input="fixed", prior_variance=0.1
    )
    assert FitConfig.from_dict(fitted) == FitConfig(steps=7, mask_bank=4)
