"""Which measured lines a step puts in and which it is judged by.

`all`: every measured line is both input and loss, as published. `random`: at every step the lines outside the ACS
core are dealt at random into an input part (Theta, always with the core) and a loss part (Lambda), as in SSDU (Yaman
et al., MRM 2020): a network judged by lines that it has not seen cannot fit their noise.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ugodit.data.sampling import acs_width, central_run
from ugodit.errors import InputError


@dataclass(frozen=True)
class Split:
    """Weights of the shape that the operator's have."""

    input: Tensor
    loss: Tensor


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


def split_all(weights: Tensor) -> Split:
    """Every measured line is input and loss."""
    return Split(input=weights, loss=weights)


def split_random(weights: Tensor, core: Tensor, fraction: float, generator: torch.Generator) -> Split:
    """Deal `fraction` of the measured entries outside the core to the loss, the others to the input.

    Args:
        weights: (B, W) or (B, H, W).
        core: `acs_core(weights)`, computed once.
        fraction: of the candidates that go to the loss, 0 < fraction < 1; at least one does, and one stays.
        generator: on the CPU, so that a seed gives the same splits on any device.

    Raises:
        InputError: an item has fewer than two measured lines outside its core.
    """
    loss = torch.zeros_like(weights)
    for item in range(len(weights)):
        candidates = torch.nonzero(((weights[item] > 0) & ~core[item]).flatten()).flatten()
        if len(candidates) < 2:
            raise InputError(
                f"mask: splitting needs at least 2 measured lines outside the ACS core, got {len(candidates)}; "
                "use a lower --center-fraction or --preset paper"
            )
        count = min(max(round(fraction * len(candidates)), 1), len(candidates) - 1)
        order = torch.randperm(len(candidates), generator=generator)[:count].to(candidates.device)
        chosen = candidates[order]
        loss[item].view(-1)[chosen] = weights[item].flatten()[chosen]
    return Split(input=weights - loss, loss=loss)
