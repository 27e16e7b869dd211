"""NetworkConfig: ranges, dictionaries, presets."""

import json

import pytest

from ugodit.networks import NetworkConfig, reference_skip, reference_unet


def test_dict_round_trip_through_json():
    config = NetworkConfig.skip(16, 3, padding="reflect", output="residual")
    assert NetworkConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_presets_are_the_references():
    unet, skip = reference_unet(), reference_skip()
    assert (unet.channels, unet.scales, unet.normalisation) == ((64, 128, 256, 256), 3, "batch")
    assert (unet.activation, unet.upsampling, unet.downsampling) == ("relu", "bilinear_corners", "max")
    assert (skip.channels, skip.scales, skip.skip_channels) == ((128,) * 5, 5, 4)
    assert (skip.activation, skip.padding, skip.final_activation) == ("leaky_relu", "reflect", "sigmoid")
    assert reference_skip(in_channels=2, out_channels=2).channels == skip.channels


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"family": "resnet"}, "family"),
        ({"channels": (64,)}, "channels"),
        ({"channels": (64, 0)}, "channels"),
        ({"channels": (64, True)}, "channels"),
        ({"channels": (4,) * 9}, "channels"),
        ({"in_channels": 0}, "in_channels"),
        ({"out_channels": 2.0}, "out_channels"),
        ({"family": "skip", "skip_channels": -1}, "skip_channels"),
        ({"normalisation": "layer"}, "normalisation"),
        ({"activation": "tanh"}, "activation"),
        ({"padding": "circular"}, "padding"),
        ({"upsampling": "bicubic"}, "upsampling"),
        ({"downsampling": "mean"}, "downsampling"),
        ({"output": "sum"}, "output"),
        ({"output": "residual", "in_channels": 1}, "output"),
        ({"output": "residual", "final_activation": "sigmoid"}, "final_activation"),
        ({"initialisation": "zeros"}, "initialisation"),
    ],
)
def test_out_of_range_names_the_field(fields, named):
    with pytest.raises(ValueError, match=f"^{named}: ") as error:
        NetworkConfig(**fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("fields", [{"depth": 3}, {"channels": "64"}, {"channels": 64}])
def test_from_dict_refuses(fields):
    with pytest.raises(ValueError, match=f"^{next(iter(fields))}: "):
        NetworkConfig.from_dict(fields)
