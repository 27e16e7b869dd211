"""A SENSE operator on another device.

Every device packs maps and k-space in a layout that is private to its kernels. Here they are read back through what the
kernels compute, which is the same on every device: F S x for an image of ones holds the maps, and the zero-filled image
of one coil alone holds that coil's k-space. That takes a call a coil, for something that is done once.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from ugodit.data.geometry import centred_fft, centred_ifft

if TYPE_CHECKING:
    from ugodit.operators.sense import SenseOperator

OperatorT = TypeVar("OperatorT", bound="SenseOperator")


def moved(operator: OperatorT, device: torch.device) -> OperatorT:
    """The operator on `device`; itself where it is there already."""
    if device.type == operator.device.type and device.index in (None, operator.device.index):
        return operator
    return repacked(operator, device)


@torch.no_grad()
def repacked(operator: OperatorT, device: torch.device) -> OperatorT:
    """The operator packed anew for `device`, to single precision's rounding."""
    kernels = operator._kernels
    along = "width" if operator.weights.ndim == 2 else "both"
    maps, kspace = (array.to(device) for array in (_maps(operator), _kspace(operator)))
    fields: dict[str, Any] = {
        field.name: value.to(device)
        for field in dataclasses.fields(operator)
        if isinstance(value := getattr(operator, field.name), Tensor)
    }
    fields |= {"maps": kernels.pack_maps(maps, along), "kspace": kernels.pack_kspace(kspace, along)}
    return dataclasses.replace(operator, **fields)


def _axes(operator: SenseOperator) -> tuple[int, ...]:
    return (-1,) if operator.weights.ndim == 2 else (-2, -1)


def _maps(operator: SenseOperator) -> Tensor:
    """complex64 (B, C, H, W), or (B, sets, C, H, W)."""
    every = operator.with_weights(torch.ones_like(operator.weights))
    maps = []
    for channel in range(0, operator.shape[1], 2):
        image = torch.zeros(operator.shape, device=operator.device)
        image[:, channel] = 1
        maps.append(centred_ifft(torch.view_as_complex(every.forward(image)), _axes(operator)))
    return maps[0] if operator.sets == 1 else torch.stack(maps, 1)


def _kspace(operator: SenseOperator) -> Tensor:
    """complex64 (B, C, H, W), as `kernels.pack_kspace` was given it."""
    if operator.sets > 1:
        return torch.view_as_complex(operator.kspace)
    items, _, height, width = operator.shape
    along = "width" if operator.weights.ndim == 2 else "both"
    weights = torch.ones_like(operator.weights)
    coils = []
    for coil in range(operator.coils):
        only = torch.zeros(items, operator.coils, height, width, dtype=torch.complex64, device=operator.device)
        only[:, coil] = 1
        single = dataclasses.replace(operator, maps=operator._kernels.pack_maps(only, along), weights=weights)
        coils.append(torch.view_as_complex(single.initial().movedim(1, -1).contiguous()))
    return centred_fft(torch.stack(coils, 1), _axes(operator))
