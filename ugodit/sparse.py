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
    """argmin_x |A x - y|^2 / 2 + weight |wavelets of x|_1 by FISTA (Beck and Teboulle, 2009), from an empty image.

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
def choose_weight(operator: SenseOperator, iterations: int, generator: torch.Generator, splits: int = 4) -> Tensor:
    """The weight (B,) of WEIGHTS whose images explain best the lines that they were not made from.

    Needs at least two measured lines outside the ACS core (InputError otherwise; see `splitting.split_random`).
    """
    core = acs_core(operator.weights)
    losses = torch.zeros(len(WEIGHTS), operator.shape[0], device=operator.device)
    for _ in range(splits):
        split = split_random(operator.weights, core, HELD_OUT_FRACTION, generator)
        seen, unseen = operator.with_weights(split.input), operator.with_weights(split.loss)
        for index, weight in enumerate(WEIGHTS):
            image = sparse_sense(seen, torch.full_like(losses[0], weight), iterations, generator)
            losses[index] += unseen.data_consistency(image) / unseen.energy()
    return torch.tensor(WEIGHTS, device=operator.device)[losses.argmin(0)]


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
        left, right = coarse[..., 0::2], coarse[..., 1::2]
        mean, difference = (left + right) * 0.5, (left - right) * 0.5
        detail = [
            mean[..., 0::2, :] - mean[..., 1::2, :],
            difference[..., 0::2, :] + difference[..., 1::2, :],
            difference[..., 0::2, :] - difference[..., 1::2, :],
        ]
        details.append([_shrink(part, weight) for part in detail])
        coarse = mean[..., 0::2, :] + mean[..., 1::2, :]
    for vertical, horizontal, diagonal in reversed(details):
        mean = _interleave((coarse + vertical) * 0.5, (coarse - vertical) * 0.5, -2)
        difference = _interleave((horizontal + diagonal) * 0.5, (horizontal - diagonal) * 0.5, -2)
        coarse = _interleave(mean + difference, mean - difference, -1)
    return coarse[..., shift[0] : shift[0] + rows, shift[1] : shift[1] + columns]


def _shrink(detail: Tensor, weight: Tensor) -> Tensor:
    magnitude = detail.square().sum(1, keepdim=True).sqrt()
    kept = (1 - weight.view(-1, 1, 1, 1) / magnitude.clamp_min(1e-30)).clamp_min(0)
    return detail * kept


def _interleave(first: Tensor, second: Tensor, axis: int) -> Tensor:
    if axis == -1:
        return torch.stack((first, second), dim=-1).flatten(-2)
    return torch.stack((first, second), dim=-2).flatten(-3, -2)
