"""The settings of a reconstruction: what goes together, which fits a slice may come to, and their record."""

import dataclasses
import json
from typing import Any

import pytest
import torch
from small_priors import prior, quick

from ugodit.data.sampling import Sampling
from ugodit.errors import InputError
from ugodit.networks import GroupNet, NetworkConfig
from ugodit.priors.prior import Prior
from ugodit.reconstruction.job import Job, find_device, with_seed
from ugodit.reconstruction.reconstructor import Reconstructor


def test_a_slice_may_come_to_every_fit_that_its_prior_may_ask_for() -> None:
    preset = quick()
    trained = prior(preset)
    alone = (preset.alone_model, preset.alone)
    assert Job(preset).fits() == [alone]
    adapted, initialised = (trained.model, preset.adapt), (trained.model, preset.alone)
    assert Job(preset, trained).fits() == [adapted, alone, initialised]
    assert Job(quick(two_stage=False), trained).fits()[1:] == [alone]
    # A fresh decoder cannot be judged: there is no way but to adapt it.
    assert Job(preset, trained, decoder="fresh").fits() == [adapted]
    assert Job(quick("paper"), prior(quick("paper"))).fits()[1:] == []
    # Nothing is held out of what is not fitted.
    held = quick(held_out=0.2)
    assert Job(held, trained, zero_shot=True).fits() == [(trained.model, dataclasses.replace(held.adapt, held_out=0.0))]


def test_what_does_not_go_together_is_refused() -> None:
    preset = quick()
    trained = prior(preset)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"batch": 0}, "`batch`: expected 1 or more, got 0"),
        ({"zero_shot": True}, "`zero_shot`: needs a prior"),
        ({"prior": trained, "decoder": 1}, "`decoder`: expected mean, fresh or 0 to 0, got 1"),
        ({"prior": trained, "decoder": -1}, "`decoder`: expected mean, fresh or 0 to 0, got -1"),
        (
            {"prior": prior(quick("paper")), "uncertainty": True},
            "`uncertainty`: comes from two random splits of the lines or more",
        ),
    ]
    for options, message in wrong:
        with pytest.raises(InputError) as error:
            Job(preset, **options)
        assert str(error.value).startswith(message)
        assert "\n" not in str(error.value)
    other = Prior.of(GroupNet(NetworkConfig.unet(4, 1, in_channels=3)))
    with pytest.raises(InputError, match=r"^`prior`: expected a network of 2 channels, got \(3, 2\)"):
        Reconstructor(other, preset=preset)
    one_split = dataclasses.replace(preset, alone=dataclasses.replace(preset.alone, mask_bank=1))
    with pytest.raises(InputError, match=r"^`uncertainty`: comes from two random splits"):
        Job(one_split, uncertainty=True)


def test_the_record_is_of_values_that_json_knows() -> None:
    preset = quick()
    trained = prior(preset)
    record = Job(preset, trained, Sampling(acceleration=3), uncertainty=True, seed=4).record()
    assert json.loads(json.dumps(record)) == record
    assert (record["prior"], record["model"]) == (trained.hash, trained.model.to_dict())
    assert record["sampling"] == {"kind": "equispaced", "acceleration": 3.0, "center_fraction": 0.08, "seed": 0}
    assert (record["adapt"], record["alone"]) == (preset.adapt.to_dict(), preset.alone.to_dict())
    assert record["alone_model"] == preset.alone_model.to_dict()
    assert (record["preset"], record["seed"], record["uncertainty"]) == ("custom", 4, True)
    without = Job(preset).record()
    assert (without["prior"], without["model"], without["acceptance"], without["sampling"]) == (None,) * 4
    assert without["coils"] == {}


def test_a_seed_is_that_of_every_fit() -> None:
    seeded = with_seed(quick(), 9)
    assert [seeded.train.seed, seeded.adapt.seed, seeded.alone.seed] == [9, 9, 9]
    assert with_seed(seeded, 0) == quick()


@pytest.mark.parametrize("name", ["tpu", "cuda:x", "mps", "cuda:99", "cuda:200", "cuda:256"])
def test_devices_that_are_not_there_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"^`device`: "):
        find_device(name)


def test_devices() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
