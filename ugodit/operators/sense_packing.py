"""How a SENSE operator's arrays are packed for its device's kernels, stacked and selected."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ugodit import kernels
from ugodit.data.arrays import as_tensor
from ugodit.data.geometry import center_rows, centred_ifft
from ugodit.operators import sense_sets
from ugodit.operators.sense_lines import as_weights

if TYPE_CHECKING:
    from ugodit.operators.sense import SenseOperator


def kernels_for(sets: int) -> Any:
    """The module that does the work: the fused kernels, or what is built on them for more sets of maps."""
    return kernels if sets == 1 else sense_sets


def pack(kspace: Any, maps: Any, mask: Any, rows: int | None, device: torch.device) -> dict[str, Any]:
    """The fields of a SenseOperator, from what `SenseOperator.from_kspace` describes."""
    kspace, maps, mask = as_tensor("kspace", kspace), as_tensor("maps", maps), as_tensor("mask", mask)
    if kspace.ndim == 3:
        kspace, maps = kspace[None], maps[None]
    if kspace.ndim != 4 or not kspace.is_complex():
        raise TypeError(f"kspace: expected complex (C, H, W) or (B, C, H, W), got {kspace.dtype} {kspace.shape}")
    several = maps.ndim == 5 and maps.shape[1] > 1
    if maps.ndim == 5 and maps.shape[1] == 1:
        maps = maps[:, 0]
    if (maps[:, 0] if several else maps).shape != kspace.shape:
        raise ValueError(
            f"maps: expected the shape of kspace {tuple(kspace.shape)}, or with an axis of sets before the coils, "
            f"got {tuple(maps.shape)}"
        )
    ops = kernels_for(2 if several else 1)
    weights, plane = as_weights(mask, kspace.shape)
    kspace, maps = kspace.to(device, torch.complex64), maps.to(device, torch.complex64)
    # Whatever stands where nothing was measured, NaN too, is nothing.
    measured = (weights != 0).to(device)
    kspace = torch.where(measured[:, None] if plane else measured[:, None, None], kspace, 0)
    if rows is not None and rows != kspace.shape[-2]:
        if plane:
            raise ValueError("rows: a mask along both axes couples all rows; crop the reconstruction instead")
        if not 0 < rows <= kspace.shape[-2]:
            raise ValueError(f"rows: expected 1 to {kspace.shape[-2]}, got {rows}")
        maps = center_rows(maps, rows)
    if not plane:
        kspace = centred_ifft(kspace, (-2,))
        kspace = center_rows(kspace, rows) if rows is not None else kspace
    items, coils, height, width = kspace.shape
    along = "both" if plane else "width"
    sensitivity = maps.abs().flatten(1, -3).square().sum(1, keepdim=True).sqrt()
    return {
        "maps": ops.pack_maps(maps, along),
        "kspace": ops.pack_kspace(kspace, along),
        "weights": weights.to(device),
        "support": sensitivity > 0,
        "sensitivity": sensitivity,
        "line_energy": kspace.abs().square().sum(1 if plane else (1, 2)),
        "coils": coils,
        "shape": (items, 2 * maps.shape[1] if several else 2, height, width),
    }


def stack(operators: Sequence[SenseOperator]) -> dict[str, Any]:
    """The fields of one operator for the items of several. ValueError where they do not go together."""
    first = operators[0]
    if any(o.shape[1:] != first.shape[1:] or o.coils != first.coils for o in operators):
        raise ValueError("operators: expected one image size and one number of coils in a batch")
    if len({o.weights.ndim for o in operators}) > 1:
        raise ValueError("operators: expected masks along one axis or along both in a batch, got both kinds")
    every = [o.weights.expand(o.shape[0], *o.weights.shape[1:]) for o in operators]
    return {
        "maps": torch.cat([o.maps for o in operators]),
        "kspace": first._kernels.stack_kspace([o.kspace for o in operators], (first.coils, *first.shape[2:])),
        "weights": torch.cat(every),
        "support": torch.cat([o.support for o in operators]),
        "sensitivity": torch.cat([o.sensitivity for o in operators]),
        "line_energy": torch.cat([o.line_energy for o in operators]),
        "coils": first.coils,
        "shape": (sum(o.shape[0] for o in operators), *first.shape[1:]),
    }


def select(operator: SenseOperator, items: Sequence[int]) -> dict[str, Any]:
    """The fields of the operator of some of the items."""
    fields = {field.name: getattr(operator, field.name) for field in dataclasses.fields(operator)}
    index = torch.as_tensor(items, device=operator.device)
    for name in ("kspace", "support", "sensitivity", "line_energy"):
        fields[name] = fields[name][index]
    if len(operator.weights) > 1:
        fields["weights"] = operator.weights[index]
    fields["maps"] = operator.maps.unflatten(0, (-1, operator.sets))[index].flatten(0, 1)
    fields["shape"] = (len(items), *operator.shape[1:])
    return fields
