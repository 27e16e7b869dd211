"""A first image that is sparse in wavelets, its weight chosen from measurements that it has not seen.

Compressed sensing (Lustig et al., MRM 2007) with Haar wavelets whose grid is shifted at random in every step (cycle
spinning, Figueiredo and Nowak, IEEE TIP 2003): cheaper than smoother wavelets on a fixed grid, and better. What it
leaves to the network is what sparsity does not know.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from .operators.sense import SenseOperator
from .splitting import acs_core, split_random

LEVELS = 4
"""Scales of the transform; the coarsest image is kept as it is."""

WEIGHTS = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
"""Thresholds tried, for images of order one (see `adapt.normalize`)."""

HELD_OUT_FRACTION = 0.06
"""Of the lines outside the core, in each of the splits that judge a weight. More would leave gaps that ask for a
higher weight than all lines do."""


@torch.no_grad()
def sparse_sense(operator: SenseOperator, weight: Tensor, iterations: int, generator: torch.Generator) -> Tensor:
    """Towards argmin_x |A x - y|^2 / 2 + weight |wavelets of x|_1 by FISTA (Beck and Teboulle, 2009).

    Starts from an empty image. The shifted grids take turns, so it approaches the minimum of their mean and keeps
    moving a little round it.

    Args:
        operator: maps with sum_c |S_c|^2 <= 1, so that a step of 1 is safe.
        weight: (B,), the threshold of each item's detail coefficients.
        iterations: steps.
        generator: of the random shifts; on the CPU.

    Returns:
        Image (B, 2, H, W).
    """
    image = torch.zeros(operator.shape, device=operator.device)
    ahead, momentum = image, 1.0
    for _ in range(iterations):
        shift = torch.randint(0, 2**LEVELS, (2,), generator=generator).tolist()
        new = shrink_wavelets(ahead - operator.residual(ahead)[1], weight, (shift[0], shift[1]))
        grown = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + ((momentum - 1) / grown) * (new - image)
        image, momentum = new, grown
    return image


@torch.no_grad()
def choose_weight(operator: SenseOperator, iterations: int, generator: torch.Generator, splits: int = 3) -> Tensor:
    """The weight (B,) of WEIGHTS whose images explain best the lines that they were not made from.

    Needs at least two measured lines outside the ACS core (InputError otherwise; see `splitting.split_random`).
    """
    core = acs_core(operator.weights)
    parts = [split_random(operator.weights, core, HELD_OUT_FRACTION, generator) for _ in range(splits)]
    losses = torch.full((len(WEIGHTS), operator.shape[0]), torch.inf, device=operator.device)
    # Losses fall and rise once along the weights: from the middle outwards, until both sides have risen.
    order = sorted(range(len(WEIGHTS)), key=lambda index: abs(index - len(WEIGHTS) // 2))
    for index in order:
        if _beyond_a_rise(losses, index):
            continue
        losses[index] = 0
        for part in parts:
            seen, unseen = operator.with_weights(part.input), operator.with_weights(part.loss)
            image = sparse_sense(seen, torch.full_like(losses[0], WEIGHTS[index]), iterations, generator)
            losses[index] += unseen.data_consistency(image) / unseen.energy()
    return torch.tensor(WEIGHTS, device=operator.device)[losses.argmin(0)]


def _beyond_a_rise(losses: Tensor, index: int) -> bool:
    """Whether every item's loss is known to rise towards this weight, or was not worth computing before it."""
    inward = 1 if index < len(losses) // 2 else -1
    near, far = index + inward, index + 2 * inward
    if not (0 <= near < len(losses) and 0 <= far < len(losses)):
        return False
    return bool((torch.isfinite(losses[far]) & (losses[near] >= losses[far])).all())


def shrink_wavelets(image: Tensor, weight: Tensor, shift: tuple[int, int]) -> Tensor:
    """Soft-threshold the Haar detail coefficients' magnitudes by `weight` (B,); the grid is shifted by `shift`.

    The transform is orthonormal; real and imaginary part (B, 2, H, W) are shrunk together, as one complex number.
    """
    rows, columns = image.shape[-2:]
    multiple = 2**LEVELS
    # The margin absorbs the shift, so that nothing wraps round.
    margin = (shift[1], -(columns + shift[1]) % multiple, shift[0], -(rows + shift[0]) % multiple)
    coarse = functional.pad(image, margin)
    details = []
    for _ in range(LEVELS):
        top, bottom = coarse[..., 0::2, :], coarse[..., 1::2, :]
        above, below = top[..., 0::2] + top[..., 1::2], bottom[..., 0::2] + bottom[..., 1::2]
        left, right = top[..., 0::2] - top[..., 1::2], bottom[..., 0::2] - bottom[..., 1::2]
        # Twice the orthonormal coefficients: the factor comes back with their threshold.
        details.append([_shrink(part, 2 * weight) for part in (above - below, left + right, left - right)])
        coarse = (above + below) * 0.5
    for vertical, horizontal, diagonal in reversed(details):
        fine = coarse.new_empty(*coarse.shape[:2], 2 * coarse.shape[2], 2 * coarse.shape[3])
        above, below = coarse * 0.5 + vertical * 0.25, coarse * 0.5 - vertical * 0.25
        left, right = (horizontal + diagonal) * 0.25, (horizontal - diagonal) * 0.25
        torch.add(above, left, out=fine[..., 0::2, 0::2])
        torch.sub(above, left, out=fine[..., 0::2, 1::2])
        torch.add(below, right, out=fine[..., 1::2, 0::2])
        torch.sub(below, right, out=fine[..., 1::2, 1::2])
        coarse = fine
    return coarse[..., shift[0] : shift[0] + rows, shift[1] : shift[1] + columns]


def _shrink(detail: Tensor, threshold: Tensor) -> Tensor:
    magnitude = torch.hypot(detail[:, :1], detail[:, 1:])
    kept = (1 - threshold.view(-1, 1, 1, 1) / magnitude.clamp_min_(1e-30)).clamp_min_(0)
    return detail.mul_(kept)
