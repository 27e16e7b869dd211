"""How noisy the measurements are, from what no image can explain in them."""

from __future__ import annotations

import torch
from torch import Tensor

from ugodit.operators.sense import SenseOperator

SPARE = 0.1
"""Least surplus of measured samples over unknown pixels, as a fraction of the pixels, that the noise is read from."""


@torch.no_grad()
def noise_variance(operator: SenseOperator, iterations: int = 10) -> Tensor:
    """E|n|^2 of a sample of each item, (B,), from the least-squares residual of all coils; NaN where it cannot be told.

    C coils measure more samples than there are pixels (B, C x measured > pixels in the maps' support); what is left of
    them by the image that explains them best is noise, with errors of the maps, which act like noise: at 8x, with maps
    from few lines, they are most of it. Where there is no surplus (one coil, high accelerations) there is nothing to
    read. `iterations` conjugate-gradient steps towards that image: ten leave the variance 5 % too high at 4x, and by up
    to a half at 8x.
    """
    adjoint = operator.initial()
    image, _ = operator.solve(adjoint, torch.zeros_like(adjoint), 1e-6, iterations)
    samples = measured_samples(operator)
    pixels = operator.support.flatten(1).sum(1)
    variance = operator.data_consistency(image) / (samples - pixels)
    return torch.where(samples > (1 + SPARE) * pixels, variance, torch.nan)


def measured_samples(operator: SenseOperator) -> Tensor:
    """How many complex numbers were measured of each item, all coils together, (B,)."""
    lines_or_points = (operator.weights > 0).flatten(1).sum(1)
    rows = operator.shape[2] if operator.weights.ndim == 2 else 1
    return (lines_or_points * rows * operator.coils).expand(operator.shape[0])
