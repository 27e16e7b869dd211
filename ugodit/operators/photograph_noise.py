"""How noisy a measured photograph is, and what unmeasured pixels of it probably are."""

from __future__ import annotations

from statistics import NormalDist

import torch
from torch import Tensor
from torch.nn import functional

LEAST = 400
"""Differences to estimate from, at least. The median of the magnitudes of n normal numbers has a relative standard
deviation of 1.2 / sqrt(n): 6 %, and more as differences overlap."""

_QUARTILE = NormalDist().inv_cdf(0.75)
"""Median magnitude of standard normal numbers, 0.6745."""


@torch.no_grad()
def noise_from_differences(image: Tensor, weights: Tensor | None) -> Tensor:
    """The variance of white noise in images (B, channels, h, w), (B,); NaN where too few pixels lie together.

    Second differences along both axes (Immerkaer, Comput. Vis. Image Underst. 64:300-302, 1996) see nothing of what is
    smooth, and the median of their magnitudes little of edges. Fine texture counts as noise: a blurred image has none
    and its noise is found well; a sharp one, or one that was shrunk, comes out noisier than it is.
    """
    differences = _second_difference(_second_difference(image, -1), -2) / 6  # the squares of its weights add up to 36
    complete = torch.ones_like(differences, dtype=torch.bool)
    if weights is not None:
        complete = (functional.avg_pool2d(weights, 3, 1) > 1 - 1 / 18).expand(differences.shape)
    found = []
    for magnitudes, whole in zip(differences.abs(), complete, strict=True):
        inside = magnitudes[whole]
        enough = len(inside) >= LEAST
        found.append(inside.median() / _QUARTILE if enough else inside.new_tensor(float("nan")))
    return torch.stack(found).square()


def _second_difference(image: Tensor, axis: int) -> Tensor:
    inner = max(image.shape[axis] - 2, 0)
    if inner == 0:
        return image.narrow(axis, 0, 0)
    before, here, after = (image.narrow(axis, first, inner) for first in range(3))
    return before - 2 * here + after


def filled(image: Tensor, weights: Tensor | None) -> Tensor:
    """Images (B, channels, h, w) whose pixels of weight 0 are filled from measured ones around them.

    By means over squares of 2, 4, 8 ... pixels of what is measured in them: the smallest square that has any serves.
    Linear in the image; 0 where nothing is measured at all.
    """
    return image if weights is None else _filled(weights * image, weights)


def _filled(total: Tensor, count: Tensor) -> Tensor:
    height, width = total.shape[-2:]
    known = count > 0
    mean = total / torch.where(known, count, 1.0)
    if (height, width) == (1, 1):
        return mean
    coarse = (_summed(total), _summed(count))
    around = functional.interpolate(_filled(*coarse), size=(height, width), mode="bilinear", align_corners=False)
    return torch.where(known, mean, around)


def _summed(image: Tensor) -> Tensor:
    """Sums over squares of 2 x 2 pixels."""
    height, width = image.shape[-2:]
    even = functional.pad(image, (0, width % 2, 0, height % 2))
    return 4 * functional.avg_pool2d(even, 2)
