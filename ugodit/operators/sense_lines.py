"""Lines of k-space: which were measured, which form the core, and random splits of them.

Weights are float32 (B or 1, W), a line each, or (B or 1, H, W), a sample each, where the mask varies along both axes: 0
not measured, 1 measured. A split deals the measured lines outside the ACS core at random into those that a network sees
and those that it is judged by, as in SSDU (Yaman et al., MRM 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ugodit.data.undersampling import acs_width, central_run
from ugodit.errors import InputError


def as_weights(mask: Tensor, shape: torch.Size) -> tuple[Tensor, bool]:
    """Weights (B or 1, W) or (B or 1, H, W), and whether they vary along both axes."""
    items, _, height, width = shape
    by_shape = {(width,): False, (items, width): False, (height, width): True, (items, height, width): True}
    plane = by_shape.get(tuple(mask.shape))
    if (items, width) == tuple(mask.shape):
        plane = False
    if plane is None or mask.is_complex():
        raise ValueError(
            f"mask: expected real ({width},), ({items}, {width}), ({height}, {width}) or ({items}, {height}, {width}), "
            f"got {mask.dtype} {tuple(mask.shape)}"
        )
    weights = mask.to(torch.float32)
    if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
        raise ValueError("mask: expected finite weights of zero or more")
    needs_item_axis = weights.ndim == 1 or (plane and weights.ndim == 2)
    return (weights[None] if needs_item_axis else weights).contiguous(), plane


def acs_core(weights: Tensor) -> Tensor:
    """bool, shape of `weights`: the central region that is measured without a gap; never held out.

    Along W it is the run of measured lines round the centre W // 2. For masks along both axes it is the largest
    centred square that is fully measured. The centre may be missing: then nothing is core.
    """
    measured = weights > 0
    core = torch.zeros_like(measured)
    for item in range(len(measured)):
        if measured.ndim == 2:
            start, stop = central_run(measured[item])
            core[item, start:stop] = True
        else:
            half = acs_width(measured[item]) // 2
            row, column = measured.shape[1] // 2, measured.shape[2] // 2
            core[item, row - half : row + half, column - half : column + half] = True
    return core


def split_weights(weights: Tensor, core: Tensor, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Weights of what is seen and of what is held out: `fraction` of the measured entries outside the core.

    Args:
        weights: (B, W) or (B, H, W).
        core: `acs_core(weights)`, computed once.
        fraction: of the candidates that are held out, 0 < fraction < 1; at least one is, and one is not.
        generator: on the CPU, so that a seed gives the same splits on any device.

    Raises:
        InputError: an item has fewer than two measured lines outside its core.
    """
    held_out = torch.zeros_like(weights)
    for item in range(len(weights)):
        candidates = torch.nonzero(((weights[item] > 0) & ~core[item]).flatten()).flatten()
        if len(candidates) < 2:
            raise InputError(
                f"mask: splitting needs at least 2 measured lines outside the ACS core, got {len(candidates)}; "
                "undersample more (`acceleration`, `center_fraction`), or take the preset paper"
            )
        count = min(max(round(fraction * len(candidates)), 1), len(candidates) - 1)
        order = torch.randperm(len(candidates), generator=generator)[:count].to(candidates.device)
        chosen = candidates[order]
        held_out[item].view(-1)[chosen] = weights[item].flatten()[chosen]
    return weights - held_out, held_out
