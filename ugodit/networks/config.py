"""NetworkConfig: what network it is, in plain values that can be written to a file."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Family = Literal["unet", "skip"]
Normalisation = Literal["batch", "instance", "none"]
Activation = Literal["relu", "leaky_relu", "silu", "gelu"]
Padding = Literal["reflect", "zeros"]
Upsampling = Literal["bilinear", "bilinear_corners", "nearest"]
Downsampling = Literal["max", "stride"]
Output = Literal["direct", "residual"]
FinalActivation = Literal["none", "sigmoid"]
Initialisation = Literal["default", "normal"]


MAX_CHANNELS = 1024
"""Of any feature map: a network of 8 such resolutions has 4 GB of weights already."""


@dataclass(frozen=True)
class NetworkConfig:
    """An encoder and decoder for images of any size. ValueError where a field is out of range."""

    family: Family = "unet"
    """unet: two 3 x 3 convolutions a resolution, whole feature maps as skip features (Ronneberger et al. 2015).
    skip: the hourglass of Deep Image Prior (Ulyanov et al. 2018), few skip channels, 1 x 1 convolutions in its decoder;
    prefer float32: at many halvings few pixels are left to normalise by, which amplifies bfloat16's rounding."""
    in_channels: int = 2
    """The channels of the images that it is given: real and imaginary part."""
    out_channels: int = 2
    """The channels of the images that it makes."""
    channels: tuple[int, ...] = (64, 128, 256, 256)
    """unet: feature maps at each resolution, finest first: one halving fewer than entries.
    skip: feature maps after each halving, finest first: as many halvings as entries."""
    skip_channels: int = 4
    """skip only: channels of every skip feature; 0 for none. A unet hands over its whole feature maps."""
    normalisation: Normalisation = "batch"
    """Statistics are always one image's own, over its pixels, in training and after (no running averages): what the
    reference's BatchNorm does, whose batches hold one image. batch: with learned gain and bias a channel (and
    decoder). instance: without them. none: no normalisation, convolutions have a bias instead."""
    activation: Activation = "relu"
    """leaky_relu has slope 0.2."""
    padding: Padding = "zeros"
    """What 3 x 3 convolutions see outside the image."""
    upsampling: Upsampling = "bilinear"
    """bilinear_corners: align_corners=True, the corner pixels stay where they are."""
    downsampling: Downsampling = "max"
    """max: 2 x 2 maximum before a resolution's first convolution. stride: that convolution takes every second pixel."""
    output: Output = "direct"
    """direct: f(z). residual: z + f(z) with a last layer that starts at zero: an untrained network returns z."""
    final_activation: FinalActivation = "none"
    """What is applied to the last layer's output; sigmoid keeps images in [0, 1]."""
    initialisation: Initialisation = "default"
    """default: torch's own, uniform within 1 / sqrt(fan in). normal: weights N(0, 0.02), biases 0, gains N(1, 0.02)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for name, least in (("in_channels", 1), ("out_channels", 1), ("skip_channels", 0)):
            if not _is_count(getattr(self, name), least):
                raise ValueError(
                    f"{name}: expected an integer from {least} to {MAX_CHANNELS}, got {_shown(self, name)}"
                )
        shortest = 2 if self.family == "unet" else 1
        if not shortest <= len(self.channels) <= 8 or not all(_is_count(c, 1) for c in self.channels):
            raise ValueError(
                f"channels: expected {shortest} to 8 integers from 1 to {MAX_CHANNELS}, got {_shown(self, 'channels')}"
            )
        if self.output == "residual" and self.in_channels != self.out_channels:
            raise ValueError(
                "output: residual adds the input, which needs in_channels == out_channels, "
                f"got {self.in_channels} and {self.out_channels}"
            )
        if self.output == "residual" and self.final_activation != "none":
            raise ValueError(f"final_activation: expected none with output residual, got {self.final_activation}")

    def without_effect(self, name: str) -> str | None:
        """Why the field `name` could not have an effect beside the others, or None where it could."""
        return "a unet hands over its whole feature maps" if (name, self.family) == ("skip_channels", "unet") else None

    @property
    def scales(self) -> int:
        """How often the image is halved."""
        return len(self.channels) - 1 if self.family == "unet" else len(self.channels)

    def to_dict(self) -> dict[str, Any]:
        """The fields as values that JSON and TOML know."""
        return {**dataclasses.asdict(self), "channels": list(self.channels)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """The inverse of `to_dict`; missing fields take their default, unknown ones are a ValueError."""
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            close = difflib.get_close_matches(unknown[0], _FIELDS, 1)
            guess = f", did you mean {close[0]}?" if close else ""
            raise ValueError(f"{unknown[0]}: not a field of NetworkConfig{guess}; it knows {', '.join(_FIELDS)}")
        channels = values.get("channels", ())
        if not isinstance(channels, list | tuple):
            raise ValueError(f"channels: expected a list of integers, got {channels!r}")
        return cls(**values)

    @classmethod
    def unet(cls, base: int = 64, scales: int = 3, **fields: Any) -> NetworkConfig:
        """A U-Net whose channels double at the first two halvings: base, 2 base, 4 base, 4 base, ..."""
        return cls(family="unet", channels=tuple(base * min(2**i, 4) for i in range(scales + 1)), **fields)

    @classmethod
    def skip(cls, channels: int = 128, scales: int = 5, **fields: Any) -> NetworkConfig:
        """A skip net with as many channels at every one of its `scales` halvings."""
        return cls(family="skip", channels=(channels,) * scales, **fields)


def reference_unet(**fields: Any) -> NetworkConfig:
    """The U-Net of the reference's MRI notebooks; `fields` replace some of its choices."""
    choices: dict[str, Any] = {"upsampling": "bilinear_corners", "initialisation": "normal"}
    return NetworkConfig.unet(64, 3, **{**choices, **fields})


def reference_skip(**fields: Any) -> NetworkConfig:
    """The skip net of the reference's super-resolution script (RGB in [0, 1]); `fields` replace some of its choices."""
    choices: dict[str, Any] = {
        "in_channels": 3,
        "out_channels": 3,
        "activation": "leaky_relu",
        "padding": "reflect",
        "downsampling": "stride",
        "final_activation": "sigmoid",
    }
    return NetworkConfig.skip(128, 5, **{**choices, **fields})


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= MAX_CHANNELS


def _shown(config: NetworkConfig, name: str) -> str:
    """A field for an error; an integer of thousands of digits cannot be printed."""
    try:
        return repr(getattr(config, name))[:60]
    except ValueError:
        return "more digits than can be printed"


_CHOICES: dict[str, tuple[str, ...]] = {
    "family": get_args(Family),
    "normalisation": get_args(Normalisation),
    "activation": get_args(Activation),
    "padding": get_args(Padding),
    "upsampling": get_args(Upsampling),
    "downsampling": get_args(Downsampling),
    "output": get_args(Output),
    "final_activation": get_args(FinalActivation),
    "initialisation": get_args(Initialisation),
}
_FIELDS = tuple(field.name for field in dataclasses.fields(NetworkConfig))
