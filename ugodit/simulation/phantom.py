"""Simulated multi-coil scans: drawn anatomy or a user's magnitudes, smooth phase, physical coils, noise."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ugodit.errors import InputError
from ugodit.simulation.anatomy import brain, knee
from ugodit.simulation.anatomy.fields import Canvas
from ugodit.simulation.receive_coils import Plane, coil_maps

Anatomy = Literal["knee", "brain"]
ANATOMIES: tuple[Anatomy, ...] = ("knee", "brain")
PLANES: dict[Anatomy, Plane] = {"knee": "coronal", "brain": "axial"}
"""How each anatomy is cut, which is how the coils lie round it."""
SLICE_DISTANCE = 3.0
"""mm between neighbouring slices"""

_BLUR = 0.5  # pixels
_OBJECT = 0.05  # of the maximum: what is brighter is object, the rest background


def field_of_view(anatomy: Anatomy) -> float:
    """The longer side of a drawn slice, in mm."""
    return {"knee": knee.FIELD_OF_VIEW, "brain": brain.FIELD_OF_VIEW}[anatomy]


def draw(anatomy: Anatomy, shape: tuple[int, int], slices: range, seed: int) -> NDArray[np.float32]:
    """Magnitudes (slices, rows, columns) from 0 to about 1 of one subject: the seed is the subject.

    Slice 0 is the middle of the body part, and slice i is 3 i mm from it. The same seed and shape give the same
    pictures; another seed gives another subject of the same kind. Raises InputError for a shape or slices out of range.
    """
    if anatomy not in ANATOMIES:
        raise InputError(f"`anatomy`: expected one of {', '.join(ANATOMIES)}, got {anatomy!r}")
    if min(shape) < 32 or max(shape) > 2048:
        raise InputError(f"`shape`: expected from 32 to 2048 rows and columns, got {shape[0]} x {shape[1]}")
    if len(slices) == 0 or not 0 <= slices[0] <= slices[-1] <= 10:
        raise InputError(
            f"`slices`: expected slices from 0 to 10 of a drawn {anatomy}, got {slices.start}:{slices.stop}"
        )
    if seed < 0:
        raise InputError(f"`seed`: expected a whole number from 0 up, got {seed}")
    pixel = field_of_view(anatomy) / max(shape)
    painter = {"knee": knee.draw_knee, "brain": brain.draw_brain}[anatomy]
    images = [painter(Canvas(shape, pixel, SLICE_DISTANCE * index, seed)) for index in slices]
    # Edges are never square to a slice of some thickness: its average blurs them.
    return gaussian_filter(np.stack(images), (0, _BLUR, _BLUR)).astype(np.float32)


def simulate_volume(
    magnitude: NDArray[np.floating],
    coils: int,
    seed: int,
    *,
    snr_db: float = 35.0,
    phase: float = 1.0,
    oversampling: int = 1,
    shading: float = 0.0,
    pixel_mm: float = 0.5,
    plane: Plane = "axial",
) -> tuple[NDArray[np.complex64], NDArray[np.complex64], NDArray[np.complex64]]:
    """Measure `magnitude` (S, H, W) with `coils` loops: (kspace, maps, image).

    kspace (S, C, oversampling * H, W) and maps (S, C, H, W) and image (S, H, W) are complex64, with sum |maps|^2 = 1
    and, but for the noise, kspace = F(maps * image) by the unitary centred DFT, the image padded with zeros along the
    readout to `oversampling` times its rows.

    snr_db is 20 log10 of the image's mean magnitude over the object (above 5 % of its maximum) over the standard
    deviation of the complex Gaussian noise of one sample of one coil. With unitary transforms and unit maps that is
    also the noise of the optimally combined, fully sampled image. phase scales the image's own phase, a random
    polynomial of second order and a smooth field map, in radians (0: real and positive). shading from 0 to 1 is how
    much of the coils' uneven strength stays in the picture (as a power of it).

    Raises InputError for a magnitude that is not finite and not negative, or all zero, and for options out of range.
    """
    magnitude = magnitude.astype(np.float64)
    _check(magnitude, coils, seed, snr_db, oversampling)
    shape: tuple[int, int] = magnitude.shape[1:]
    body = magnitude > _OBJECT * magnitude.max()
    half_size = (_half_extent(body.any((0, 2)), pixel_mm), _half_extent(body.any((0, 1)), pixel_mm))
    maps = np.empty((len(magnitude), coils, *shape), np.complex64)
    image = np.empty(magnitude.shape, np.complex64)
    for index, picture in enumerate(magnitude):
        position = SLICE_DISTANCE * index
        maps[index], strength = coil_maps(
            shape,
            coils,
            seed,
            pixel_mm=pixel_mm,
            half_size_mm=half_size,
            plane=plane,
            position_mm=position,
        )
        if shading:
            picture = picture * (strength / strength[body[index] if body[index].any() else ...].mean()) ** shading
        image[index] = picture * np.exp(1j * phase * _smooth_phase(shape, seed, pixel_mm, position))
    padded = oversampling * shape[0]
    top = (padded - shape[0]) // 2
    coil_images = np.zeros((len(magnitude), coils, padded, shape[1]), np.complex64)
    coil_images[:, :, top : top + shape[0]] = maps * image[:, None]
    kspace = _transform(coil_images, scipy.fft.fft2)
    sigma = float(np.abs(image[body]).mean()) * 10 ** (-snr_db / 20)
    generator = np.random.default_rng([seed, *b"noise"])
    noise = generator.standard_normal((*kspace.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    return kspace + np.float32(sigma / np.sqrt(2)) * noise, maps, image


def root_sum_of_squares(kspace: NDArray[np.complex64], rows: int) -> NDArray[np.float32]:
    """fastMRI's target (S, rows, W): the root-sum-of-squares of the coil images, its central rows."""
    images = _transform(kspace, scipy.fft.ifft2)
    top = (images.shape[-2] - rows) // 2
    return np.sqrt((np.abs(images[:, :, top : top + rows]) ** 2).sum(1))


def _transform(data: NDArray[np.complex64], function: Callable[..., Any]) -> NDArray[np.complex64]:
    shifted = scipy.fft.ifftshift(data, axes=(-2, -1))
    return np.asarray(scipy.fft.fftshift(function(shifted, norm="ortho"), axes=(-2, -1)))


def _smooth_phase(shape: tuple[int, int], seed: int, pixel_mm: float, position: float) -> NDArray[np.float64]:
    """Radians: a polynomial of second order (off-centre echo, eddy currents) and a field map of the subject's own."""
    canvas = Canvas(shape, pixel_mm, position, seed)
    size = pixel_mm * max(shape) / 2
    x, y = (axis / size for axis in canvas.axes())
    powers = {"x": x, "y": y, "xx": x * x, "xy": x * y, "yy": y * y, "1": np.ones_like(x)}
    polynomial = sum(canvas.number(f"phase {name}", -1.2, 1.2) * power for name, power in powers.items())
    return polynomial + 0.45 * canvas.field("phase", 1.1 * size)


def _half_extent(occupied: NDArray[np.bool_], pixel_mm: float) -> float:
    """How far from the centre an object reaches along an axis, in mm."""
    indices = np.flatnonzero(occupied)
    centre = len(occupied) // 2
    return pixel_mm * max(centre - indices[0], indices[-1] - centre, 1)


def _check(magnitude: NDArray[np.floating], coils: int, seed: int, snr_db: float, oversampling: int) -> None:
    if magnitude.ndim != 3 or magnitude.size == 0:
        raise InputError(f"magnitude: expected (slices, rows, columns), got {magnitude.shape}")
    if not np.isfinite(magnitude).all() or magnitude.min() < 0 or magnitude.max() == 0:
        raise InputError("magnitude: expected finite numbers, none negative and some positive; mend the dataset")
    if not 1 <= coils <= 128:
        raise InputError(f"`coils`: expected from 1 to 128, got {coils}")
    if seed < 0:
        raise InputError(f"`seed`: expected a whole number from 0 up, got {seed}")
    if not -40 <= snr_db <= 200:
        raise InputError(f"`snr_db`: expected from -40 to 200 dB, got {snr_db}")
    if not 1 <= oversampling <= 4:
        raise InputError(f"`oversampling`: expected 1 to 4, got {oversampling}")
