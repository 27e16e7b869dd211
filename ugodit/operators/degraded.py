"""From the definition of a degradation to the operator of what it made."""

from __future__ import annotations

from torch import Tensor

from ugodit.data.blur_degradations import Blur, NonlinearBlur
from ugodit.data.degradation import Degradation
from ugodit.data.degradations import Denoising, Inpainting, SuperResolution
from ugodit.operators.blur import BlurOperator, PixelsOperator
from ugodit.operators.nonlinear_blur import NonlinearBlurOperator
from ugodit.operators.photograph import PhotographOperator
from ugodit.operators.superres import SuperresOperator


def operator_of(degradation: Degradation, measurements: Tensor) -> PhotographOperator:
    """The operator that explains `measurements`, float (B, 1 or 3, h, w), as a clean image so degraded.

    `degradation.clean` and the operator's `forward` are the same function. InputError for measurements that it cannot
    have made, TypeError for a degradation that has no operator.
    """
    match degradation:
        case SuperResolution():
            return SuperresOperator.from_measurements(measurements, degradation.factor, degradation.sigma)
        case Blur():
            return BlurOperator.from_measurements(
                measurements, degradation.psf(), degradation.sigma, boundary=degradation.boundary
            )
        case NonlinearBlur():
            return NonlinearBlurOperator.from_measurements(
                measurements, degradation.psf(), degradation.sigma, camera=degradation.camera()
            )
        case Inpainting() | Denoising():
            mask = degradation.mask(*measurements.shape[-2:])
            mask = None if mask is None else mask.to(measurements.device)
            return PixelsOperator.from_measurements(measurements, mask, degradation.sigma)
        case _:
            raise TypeError(f"degradation: expected one of data/degradations.py, got {type(degradation).__name__}")
