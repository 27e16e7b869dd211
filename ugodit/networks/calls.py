"""How a group's encoder and decoders are called: as they are, or compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

Encode = Callable[[nn.Module, Tensor], list[Tensor]]
Decode = Callable[[nn.Module, Mapping[str, Tensor], Sequence[Tensor], Tensor], Tensor]


class Calls(NamedTuple):
    """encode(encoder, z) -> features; decode(decoder, weights, features, z) -> image, with these weights."""

    encode: Encode
    decode: Decode


def _encode(encoder: nn.Module, z: Tensor) -> list[Tensor]:
    features: list[Tensor] = encoder(z)
    return features


def _decode(decoder: nn.Module, weights: Mapping[str, Tensor], features: Sequence[Tensor], z: Tensor) -> Tensor:
    image: Tensor = functional_call(decoder, dict(weights), (list(features), z))
    return image


PLAIN = Calls(_encode, _decode)


@cache
def compiled(backend: str = "inductor") -> Calls:
    """Through torch.compile, once for each size and kind of network in a process: not once a model or a fit.

    Weights are arguments, so that all decoders of a group share one compiled form.
    """
    return Calls(
        torch.compile(_encode, dynamic=False, backend=backend), torch.compile(_decode, dynamic=False, backend=backend)
    )
