"""Image quality by the definitions of fastMRI's evaluate.py, on magnitudes (slices, rows, columns) or (rows, columns).

Everything is computed in float64: files differ in scale by twelve orders of magnitude, and SSIM multiplies four
intensities, which overflows float32 on some scanners' units.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.metrics import structural_similarity

_SSIM_WINDOW = 7  # skimage's default, and so fastMRI's


def psnr(target: ArrayLike, image: ArrayLike, maximum: float | None = None) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(maximum^2 / mean |target - image|^2), over the whole volume.

    `maximum` is the target volume's own unless given (give the volume's where single slices are scored). Infinite for
    identical images.
    """
    target, image = _pair(target, image)
    error = float(np.mean((target - image) ** 2))
    if error == 0.0:
        return float("inf")
    return float(10 * np.log10(_maximum(target, maximum) ** 2 / error))


def ssim(target: ArrayLike, image: ArrayLike, maximum: float | None = None) -> float:
    """Structural similarity (Wang et al., IEEE TIP 2004), in a 7 x 7 uniform window, averaged over the slices.

    The intensity range is the target volume's maximum unless given. Raises ValueError for images smaller than the
    window.
    """
    target, image = _pair(target, image)
    if min(target.shape[-2:]) < _SSIM_WINDOW:
        raise ValueError(f"target: expected at least {_SSIM_WINDOW} rows and columns, got {target.shape}")
    maximum = _maximum(target, maximum)
    slices = zip(target, image, strict=True)
    return float(np.mean([structural_similarity(a, b, win_size=_SSIM_WINDOW, data_range=maximum) for a, b in slices]))


def nmse(target: ArrayLike, image: ArrayLike) -> float:
    """Normalised mean squared error: |target - image|^2 / |target|^2, over the whole volume."""
    target, image = _pair(target, image)
    _maximum(target, None)
    return float(np.sum((target - image) ** 2) / np.sum(target**2))


def _pair(target: ArrayLike, image: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    arrays = np.asarray(target), np.asarray(image)
    if arrays[0].shape != arrays[1].shape or arrays[0].ndim not in (2, 3) or arrays[0].size == 0:
        found = f"{arrays[0].shape} and {arrays[1].shape}"
        raise ValueError(f"target, image: expected one shape, (slices, rows, columns) or (rows, columns), got {found}")
    for name, array in zip(("target", "image"), arrays, strict=True):
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{name}: expected real numbers (a magnitude), got {array.dtype}")
    shape = (-1, *arrays[0].shape[-2:])
    return arrays[0].reshape(shape).astype(np.float64), arrays[1].reshape(shape).astype(np.float64)


def _maximum(target: NDArray[np.float64], maximum: float | None) -> float:
    maximum = float(target.max()) if maximum is None else float(maximum)
    if not maximum > 0:
        raise ValueError(f"target: expected a positive maximum, got {maximum}")
    return maximum
