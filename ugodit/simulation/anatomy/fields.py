"""Building blocks of a drawn anatomy: a pixel grid in millimetres, random fields on it, soft-edged shapes.

Shapes are signed distances in millimetres, negative inside; intensities are painted layer over layer with an edge one
pixel wide, as a scanner's partial-volume effect makes it. A random field depends on the slice's position continuously:
neighbouring slices of one subject look alike, distant ones do not.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float64]


@dataclass(frozen=True)
class Canvas:
    """The pixel grid of one slice of one subject."""

    shape: tuple[int, int]
    """(rows, columns)"""
    pixel: float
    """side of a pixel in mm"""
    position: float
    """of the slice, in mm from the subject's middle one"""
    seed: int
    """of the subject"""

    def axes(self) -> tuple[Image, Image]:
        """(x, y): millimetres to the right of and below the centre, each (rows, columns)."""
        rows, columns = self.shape
        y = (np.arange(rows) - rows // 2) * self.pixel
        x = (np.arange(columns) - columns // 2) * self.pixel
        grid = np.meshgrid(x, y)
        return grid[0], grid[1]

    def number(self, name: str, low: float, high: float) -> float:
        """This subject's own number of that name, the same in every slice, uniform between low and high."""
        return float(self._generator(name).uniform(low, high))

    def field(self, name: str, wavelength: float, *, spread: float = 1.0, stretch: float = 1.0) -> Image:
        """This subject's Gaussian random field of that name: mean 0, variance 1, (rows, columns).

        spread 1 is a smooth field with nothing much below `wavelength` (mm); smaller values are a band round it, 0.2 a
        nearly regular pattern. A stretch above 1 elongates it along the rows' direction (vertically).
        """
        # Fields of two fixed slices, mixed by an angle that turns with the position: variance 1 everywhere, and a
        # correlation length through the slices that grows with the pattern's own.
        angle = self.position / (0.6 * wavelength + 4.0)
        generator = self._generator(name)
        rows, columns = self.shape
        noise = generator.standard_normal((2, rows, columns))
        mixed = np.cos(angle) * noise[0] + np.sin(angle) * noise[1]
        vertical = np.fft.fftfreq(rows, self.pixel)[:, None] * stretch
        horizontal = np.fft.rfftfreq(columns, self.pixel)[None, :]
        frequency = np.sqrt(vertical**2 + horizontal**2) * wavelength
        exponent = 2 * frequency**2 if spread >= 1.0 else 0.5 * ((frequency - 1) / spread) ** 2
        weight = np.exp(-exponent)
        weight[0, 0] = 0.0
        field = np.fft.irfft2(np.fft.rfft2(mixed) * weight, s=self.shape)
        # By Parseval the expected variance of the filtered white noise; halves of a real spectrum count twice.
        twice = np.full(weight.shape[1], 2.0)
        twice[0] = 1.0
        if columns % 2 == 0:
            twice[-1] = 1.0
        variance = float((weight**2 * twice).sum()) / (rows * columns)
        return field / np.sqrt(max(variance, 1e-12))

    def _generator(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *name.encode()])


def inside(distance: Image, edge: float) -> Image:
    """Coverage from 0 to 1 of a shape with a soft edge `edge` mm wide (a pixel, usually)."""
    return np.clip(0.5 - distance / edge, 0.0, 1.0)


def paint(image: Image, coverage: Image, value: Image | float) -> Image:
    """`value` over `image` where covered."""
    return image + coverage * (value - image)


def line(distance: Image, width: float, edge: float) -> Image:
    """Coverage of a line `width` mm wide along a shape's outline; a line thinner than a pixel is as much fainter."""
    return inside(np.abs(distance) - width / 2, edge) * min(1.0, width / edge + 0.3)


def contour(field: Image, pixel: float) -> Image:
    """Approximate signed distance (mm) to the zero contour of a smooth field."""
    vertical, horizontal = np.gradient(field, pixel)
    return field / np.sqrt(vertical**2 + horizontal**2 + 1e-6)


def ellipse(x: Image, y: Image, centre: tuple[float, float], radii: tuple[float, float], angle: float = 0.0) -> Image:
    """Signed distance to an ellipse, exact on its outline and to first order near it. angle in degrees."""
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    u = (x - centre[0]) * cosine + (y - centre[1]) * sine
    v = -(x - centre[0]) * sine + (y - centre[1]) * cosine
    first = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2)
    second = np.sqrt((u / radii[0] ** 2) ** 2 + (v / radii[1] ** 2) ** 2)
    return first * (first - 1.0) / np.maximum(second, 1e-9)


def capsule(x: Image, y: Image, start: tuple[float, float], end: tuple[float, float], radius: float) -> Image:
    """Signed distance to all points within `radius` of a line segment."""
    along = np.array(end) - np.array(start)
    part = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / (along @ along), 0.0, 1.0)
    return np.hypot(x - start[0] - part * along[0], y - start[1] - part * along[1]) - radius


def union(a: Image, b: Image, blend: float) -> Image:
    """Union of two shapes whose meeting corner is rounded over `blend` mm (polynomial smooth minimum)."""
    mix = np.clip(0.5 + 0.5 * (b - a) / blend, 0.0, 1.0)
    return b + (a - b) * mix - blend * mix * (1.0 - mix)


def intersection(a: Image, b: Image, blend: float) -> Image:
    """Intersection of two shapes with rounded corners."""
    return -union(-a, -b, blend)


def rise(value: Image, middle: Image | float, width: float) -> Image:
    """A smooth step from 0 to 1, half way at `middle`."""
    return 0.5 * (1.0 + np.tanh((value - middle) / width))
