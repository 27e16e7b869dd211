"""Reconstructions to compare with: zero filling, CG-SENSE, and sigpy's L1-wavelet and total variation.

k-space and maps are complex64 (C, H, W), unmeasured samples zero; masks bool (W,) or (H, W); images complex64 (H, W) on
the full field of view. Weights are relative to the largest magnitude of the zero-filled image, so that one grid of them
means the same on every file, whatever the scanner's units.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugodit.operators.protocol import Operator


def zero_filled(kspace: Tensor, maps: Tensor) -> Tensor:
    """S^H F^H y, the coil images combined with the maps: complex64 (H, W); (sets, H, W) for maps (sets, C, H, W)."""
    return (maps.conj() * _coil_images(kspace)).sum(-3)


def zero_filled_rss(kspace: Tensor) -> Tensor:
    """The root-sum-of-squares of the coil images, which needs no maps: float32 (H, W)."""
    return torch.linalg.vector_norm(_coil_images(kspace), dim=-3)


def l1_wavelet(kspace: Tensor, maps: Tensor, mask: Tensor, weight: float, *, iterations: int = 60) -> Tensor:
    """min_x |M F S x - y|^2 / 2 + weight |Wavelet x|_1 (Lustig et al., MRM 2007), Daubechies 4, by FISTA in sigpy."""
    from sigpy.mri.app import L1WaveletRecon  # here, as sigpy brings numba along: seconds that others need not wait

    # |M F S| <= 1 for unit maps: a step of 1 is safe, and sigpy need not estimate it by a random power iteration.
    return _solve(L1WaveletRecon, kspace, maps, mask, weight, max_iter=iterations, alpha=1)


def total_variation(kspace: Tensor, maps: Tensor, mask: Tensor, weight: float, *, iterations: int = 100) -> Tensor:
    """min_x |M F S x - y|^2 / 2 + weight |gradient x|_1 (Block et al., MRM 2007), by primal-dual steps in sigpy."""
    from sigpy.mri.app import TotalVariationRecon

    # Periodic differences along two axes have a squared norm of 8, with the operator's 1 that is 9 = 1 / (tau sigma).
    # The image has maximum 1 and its dual, clipped at the weight, is far smaller: hence the larger primal step.
    return _solve(TotalVariationRecon, kspace, maps, mask, weight, max_iter=iterations, tau=2.0, sigma=1 / 18)


def cg_sense(operator: Operator, *, iterations: int = 30, mu: float = 0.01) -> Tensor:
    """CG-SENSE (Pruessmann et al., MRM 2001) from an empty image, on the operator's lines: real, of operator.shape.

    `mu` is the Tikhonov weight, relative to maps of unit norm. Without it (0) thirty iterations mostly amplify noise
    where the coils can hardly tell aliases apart.
    """
    return operator.proximal(torch.zeros(operator.shape, device=operator.device), mu, iterations)


class Best(NamedTuple):
    """The best image of a grid, its weight, and every weight's score."""

    image: Tensor
    weight: float
    scores: dict[float, float]


def best_of_grid(
    run: Callable[[float], Tensor], weights: Iterable[float], score: Callable[[Tensor], float], *, patience: int = 2
) -> Best:
    """Run once for each weight, in the order given, and keep the image of the highest score.

    Ends early after `patience` weights in a row that score below the best: scores rise and fall once along a grid. A
    score that knows the target makes the baseline look better than anybody could, which is what a fair comparison
    wants of a competitor.
    """
    best: Best | None = None
    scores: dict[float, float] = {}
    since = 0
    for weight in weights:
        image = run(weight)
        scores[weight] = score(image)
        if best is None or scores[weight] > scores[best.weight]:
            best, since = Best(image, weight, scores), 0
        else:
            since += 1
        if since >= patience:
            break
    if best is None:
        raise ValueError("weights: expected at least one, got none")
    return best


def _coil_images(kspace: Tensor) -> Tensor:
    axes = (-2, -1)
    return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=axes), norm="ortho"), dim=axes)


def _solve(
    app: Callable[..., Any], kspace: Tensor, maps: Tensor, mask: Tensor, weight: float, **options: Any
) -> Tensor:
    if not weight >= 0:
        raise ValueError(f"weight: expected a number from 0 up, got {weight}")
    if maps.shape != kspace.shape:
        raise ValueError(f"maps: expected one set, {tuple(kspace.shape)} as kspace, got {tuple(maps.shape)}")
    scale = float(zero_filled(kspace, maps).abs().max())
    if not scale > 0:
        raise ValueError("kspace: expected some measured samples, got zeros only")
    sampled: NDArray[np.float32] = mask.cpu().numpy().astype(np.float32)
    problem = app(
        (kspace / scale).cpu().numpy(),
        maps.cpu().numpy(),
        weight,
        weights=np.broadcast_to(sampled, kspace.shape[-2:]),
        show_pbar=False,
        **options,
    )
    return torch.from_numpy(np.asarray(problem.run(), dtype=np.complex64)).to(kspace.device) * scale
