"""An image that is sparse in wavelets, its threshold chosen from measurements that it has not seen.

Compressed sensing (Lustig et al., MRM 2007) with Haar wavelets whose grid is shifted at random in every step (cycle
spinning, Figueiredo and Nowak, IEEE TIP 2003): cheaper than smoother wavelets on a fixed grid, and better. What it
leaves to the network is what sparsity does not know.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ugodit.kernels.wavelets import LEVELS, shrink_wavelets
from ugodit.operators.protocol import Operator

WEIGHTS = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2, 6.4e-2)
"""Thresholds tried, for images of order one (see `operators.scale`). Those above 0.016 are for noise of 15 dB or so."""

USUAL = 3
"""Place of the weight that most scans want, or one beside it: the search begins there."""

HELD_OUT_FRACTION = 0.06
"""Of the lines outside the core, in each of the splits that judge a weight. More would leave gaps that ask for a
higher weight than all lines do."""


@torch.no_grad()
def compressed_sensing(operator: Operator, weight: Tensor, iterations: int, generator: torch.Generator) -> Tensor:
    """Towards argmin_x |A x - y|^2 / 2 + weight |wavelets of x|_1 by FISTA (Beck and Teboulle, 2009).

    Starts from an empty image. The shifted grids take turns, so it approaches the minimum of their mean and keeps
    moving a little round it.

    Args:
        operator: of norm 1 at most (maps with sum_c |S_c|^2 <= 1), so that a step of 1 is safe.
        weight: (B,), the threshold of each item's detail coefficients.
        iterations: steps.
        generator: of the random shifts; on the CPU.

    Returns:
        Image (B, channels, H, W).
    """
    image = torch.zeros(operator.shape, device=operator.device)
    ahead, momentum = image, 1.0
    for _ in range(iterations):
        shift = torch.randint(0, 2**LEVELS, (2,), generator=generator).tolist()
        new = shrink_wavelets(ahead - operator.gradient(ahead), weight, (shift[0], shift[1]))
        grown = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = torch.lerp(image, new, 1 + (momentum - 1) / grown)
        image, momentum = new, grown
    return image


@torch.no_grad()
def choose_weight(operator: Operator, iterations: int, generator: torch.Generator, splits: int = 3) -> Tensor:
    """The weight (B,) of WEIGHTS whose images explain best the measurements that they were not made from.

    InputError where there is too little to split.
    """
    parts = [operator.split(HELD_OUT_FRACTION, generator) for _ in range(splits)]
    losses = torch.full((len(WEIGHTS), operator.shape[0]), torch.inf, device=operator.device)
    # Losses fall and rise once along the weights: from the usual one outwards, until both sides have risen.
    order = sorted(range(len(WEIGHTS)), key=lambda index: abs(index - USUAL))
    for index in order:
        if _beyond_a_rise(losses, index):
            continue
        losses[index] = 0
        for seen, held_out in parts:
            image = compressed_sensing(seen, torch.full_like(losses[0], WEIGHTS[index]), iterations, generator)
            losses[index] += held_out.data_consistency(image) / held_out.energy()
    return torch.tensor(WEIGHTS, device=operator.device)[losses.argmin(0)]


def _beyond_a_rise(losses: Tensor, index: int) -> bool:
    """Whether every item's loss is known to rise towards this weight, or was not worth computing before it."""
    inward = 1 if index < USUAL else -1
    near, far = index + inward, index + 2 * inward
    if not (0 <= near < len(losses) and 0 <= far < len(losses)):
        return False
    return bool((torch.isfinite(losses[far]) & (losses[near] >= losses[far])).all())
