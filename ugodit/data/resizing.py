"""Bicubic resizing with antialiasing, as one small matrix an axis.

The definition is that of MATLAB's `imresize`, and of the `Resizer` (A. Shocher) that DPS and its followers take: Keys'
cubic with a = -0.5 (IEEE Trans. ASSP 29:1153-1160, 1981), stretched by the factor where the image shrinks, weights that
add up to 1, and edges mirrored with the last pixel repeated.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@lru_cache(maxsize=32)
def resize_matrix(length: int, new_length: int) -> NDArray[np.float64]:
    """float64 (new_length, length), read-only: the matrix that resizes one axis. Its rows add up to 1.

    Most of it is zero, but all is stored: what has many thousand pixels a side is better resized in tiles.
    """
    stretch = max(length / new_length, 1.0)
    # Pixels are areas: the borders of the image stay where they are, not the centres of its outermost pixels.
    centres = (np.arange(new_length) + 0.5) * (length / new_length) - 0.5
    reach = 2 * stretch
    first = np.floor(centres - reach).astype(int)
    sources = first[:, None] + np.arange(int(np.ceil(2 * reach)) + 2)
    weights = cubic((centres[:, None] - sources) / stretch)
    weights /= weights.sum(1, keepdims=True)
    within = sources % (2 * length)
    mirrored = np.minimum(within, 2 * length - 1 - within)
    matrix = np.zeros((new_length, length))
    np.add.at(matrix, (np.arange(new_length)[:, None], mirrored), weights)
    matrix.flags.writeable = False
    return matrix


def cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' piecewise cubic with a = -0.5 of the distance to a pixel, in pixels; 0 from 2 on."""
    far = np.abs(distance)
    near = (1.5 * far - 2.5) * far**2 + 1
    beyond = ((-0.5 * far + 2.5) * far - 4) * far + 2
    return np.where(far <= 1, near, np.where(far < 2, beyond, 0.0))


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Images (..., H, W) as (..., height, width), of the same dtype and on the same device; differentiable."""
    rows = matrix_like(resize_matrix(image.shape[-2], height), image)
    columns = matrix_like(resize_matrix(image.shape[-1], width), image)
    return rows @ image @ columns.T


def matrix_like(matrix: NDArray[np.float64], image: Tensor) -> Tensor:
    """The matrix as a tensor of the image's dtype, on its device."""
    return torch.tensor(matrix, dtype=image.dtype, device=image.device)
