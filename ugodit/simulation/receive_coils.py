"""Receive sensitivities of loop coils round an object, by the law of Biot and Savart."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

Plane = Literal["axial", "coronal"]

_SEGMENTS = 40  # of a loop
_WIRE = 6.0  # mm: half the width of the conductor, which keeps the field finite on it
_GRID = 6.0  # mm: fields are computed this far apart and interpolated; they vary over centimetres


def coil_maps(
    shape: tuple[int, int],
    coils: int,
    seed: int,
    *,
    pixel_mm: float,
    half_size_mm: tuple[float, float],
    plane: Plane = "axial",
    position_mm: float = 0.0,
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """Sensitivity maps (coils, rows, columns) complex64 with sum |S|^2 = 1, and their strength (rows, columns).

    `coils` circular loops lie on a cylinder along the main field, round an object of half_size_mm (rows, columns), in
    one ring or more, slightly displaced by the seed. An axial plane cuts the cylinder across, a coronal one along
    (rows run along the main field); position_mm is the plane's distance from the middle. By reciprocity a coil receives
    with the field B_x - i B_y that a unit current in it would make (Hoult, J. Magn. Reson. 1976). `strength` is the
    root-sum-of-squares of those fields, in arbitrary units: what shades a picture that is not corrected for it.
    """
    rows, columns = shape
    y, x = (_coarse(n, pixel_mm) for n in (rows, columns))
    grid_x, grid_rows = np.meshgrid(x, y)
    flat = np.full_like(grid_x, position_mm)
    if plane == "axial":
        points = np.stack((grid_x, grid_rows, flat), -1)
        radii = half_size_mm[1], half_size_mm[0]
        length = 0.0
    else:
        points = np.stack((grid_x, flat, grid_rows), -1)
        radii = half_size_mm[1], half_size_mm[1]
        length = 2 * half_size_mm[0]
    fields = np.stack([_received(points, loop) for loop in _loops(coils, seed, radii, length)])
    # Cubic splines are linear in their values: interpolation is one small matrix an axis.
    to_rows, to_columns = (_interpolation(axis, n, pixel_mm) for axis, n in ((y, rows), (x, columns)))
    maps = to_rows @ fields @ to_columns.T
    strength = np.sqrt((np.abs(maps) ** 2).sum(0))
    return (maps / strength).astype(np.complex64), strength.astype(np.float32)


def _loops(coils: int, seed: int, radii: tuple[float, float], length: float) -> list[NDArray[np.float64]]:
    """The corners (segments + 1, 3) of each loop, in mm."""
    generator = np.random.default_rng([seed, *b"coils"])
    rings = 1 if coils <= 10 and length == 0 else max(2, round(coils / 6))
    rings = min(rings, coils)
    across, down = (radius * 1.04 + 14.0 for radius in radii)
    per_ring = [len(part) for part in np.array_split(np.arange(coils), rings)]
    spacing = (length if length else 140.0) / rings
    loops = []
    for ring, count in enumerate(per_ring):
        # Neighbours overlap a little, which is how loops are decoupled from each other.
        radius = min(max(1.15 * np.pi * (across + down) / 2 / count, 0.6 * spacing if rings > 1 else 0.0), 75.0)
        turn = generator.uniform(0, 2 * np.pi)
        for index in range(count):
            angle = turn + 2 * np.pi * (index + generator.uniform(-0.06, 0.06)) / count
            outward = np.array([np.cos(angle), np.sin(angle), 0.0])
            sideways = np.array([-np.sin(angle), np.cos(angle), 0.0])
            height = (ring - (rings - 1) / 2) * spacing + generator.uniform(-6, 6)
            centre = np.array([across * np.cos(angle), down * np.sin(angle), height])
            size = radius * generator.uniform(0.94, 1.06)
            around = np.linspace(0, 2 * np.pi, _SEGMENTS + 1)[:, None]
            corner = centre + size * (np.cos(around) * sideways + np.sin(around) * np.array([0.0, 0.0, 1.0]))
            # Bent round the cylinder: the sides of a flat loop would stick out from it.
            loops.append(corner - outward * (1 - np.sqrt(1 - 0.2 * np.cos(around) ** 2)) * size)
    return loops


def _received(points: NDArray[np.float64], loop: NDArray[np.float64]) -> NDArray[np.complex128]:
    """B_x - i B_y at (rows, columns, 3) points, of a unit current: the sum of dl x r / |r|^3 over the segments."""
    element = np.diff(loop, axis=0)
    middle = (loop[1:] + loop[:-1]) / 2
    away = points[..., None, :] - middle
    field = np.cross(element, away) / ((away**2).sum(-1) + _WIRE**2)[..., None] ** 1.5
    total = field.sum(-2)
    return total[..., 0] - 1j * total[..., 1]


def _coarse(count: int, pixel_mm: float) -> NDArray[np.float64]:
    first, last = -(count // 2) * pixel_mm, (count - 1 - count // 2) * pixel_mm
    return np.linspace(first, last, max(4, int(np.ceil((last - first) / _GRID)) + 1))


def _interpolation(coarse: NDArray[np.float64], count: int, pixel_mm: float) -> NDArray[np.float64]:
    fine = (np.arange(count) - count // 2) * pixel_mm
    if count == 1:
        return np.full((1, len(coarse)), 1 / len(coarse))
    return np.asarray(make_interp_spline(coarse, np.eye(len(coarse)), k=3)(fine))
