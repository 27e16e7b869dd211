"""An axial brain as T2 contrast shows it: bright fluid, grey cortex folded round darker white matter, black bone."""

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from ugodit.simulation.anatomy.fields import Canvas, Image, capsule, contour, ellipse, inside, line, paint, rise, union

FIELD_OF_VIEW = 220.0
"""mm, of the longer side"""

_FLUID, _GREY, _WHITE = 0.95, 0.58, 0.36


def draw_brain(canvas: Canvas) -> Image:
    """Magnitudes (rows, columns) in 0 to about 1."""
    x, y = _deformed(canvas)
    level = 1 - (canvas.position / 95) ** 2  # a slice above or below the middle one cuts a smaller head
    size = np.sqrt(max(level, 0.2))
    head = -ellipse(x, y, (0, 0), (canvas.number("width", 73, 79) * size, canvas.number("length", 92, 100) * size))
    skull = 4.2 + canvas.number("scalp", 0, 2.0) + 0.7 * canvas.field("scalp", 30)
    image = _scalp(canvas, head, skull)
    brain = head - skull - 7.5 - 0.6 * canvas.field("skull", 35)
    image = paint(image, inside(-brain, canvas.pixel), _FLUID)
    tissue = _cortex(canvas, x, y, brain)
    tissue = _deep_grey(canvas, tissue, x, y)
    tissue = _ventricles(canvas, tissue, x, y)
    image = paint(image, inside(0.9 - brain, canvas.pixel), tissue)
    image = _vessels(canvas, image, x, y, brain)
    return np.clip(image, 0.0, 1.05) * inside(-head, canvas.pixel)


def _deformed(canvas: Canvas) -> tuple[Image, Image]:
    x, y = canvas.axes()
    turn = np.deg2rad(canvas.number("turn", -7, 7))
    u = x * np.cos(turn) + y * np.sin(turn) + canvas.number("shift x", -3, 3)
    v = -x * np.sin(turn) + y * np.cos(turn) + canvas.number("shift y", -4, 4)
    u = u + 2.0 * canvas.field("bend x", 90) + 0.3 * canvas.field("ripple x", 20)
    return u, v + 2.0 * canvas.field("bend y", 90) + 0.3 * canvas.field("ripple y", 20)


def _scalp(canvas: Canvas, head: Image, skull: Image) -> Image:
    """From outside in: skin, fat with its septa, the outer table, marrow, the inner table. `head` is the depth."""
    edge = canvas.pixel
    septa = contour(canvas.field("septa", 4.5, spread=0.45), edge)
    fat = 0.74 + 0.05 * canvas.field("fat", 18)
    fat = fat * (1 - 0.3 * line(septa, 0.5, edge))
    image = paint(fat, inside(head - 1.6, edge), 0.40 + 0.03 * canvas.field("skin", 5))
    muscle = 0.25 + 0.03 * canvas.field("galea", 4)
    image = paint(image, inside(skull - 1.4 - head, edge), muscle)
    image = paint(image, inside(skull - head, edge), 0.04)
    marrow = 0.30 + 0.07 * canvas.field("marrow", 3, spread=0.6) + 0.05 * canvas.field("marrow places", 25)
    thickness = 1.6 + 0.5 * canvas.field("marrow thickness", 28)
    return paint(image, inside(np.abs(head - skull - 3.6) - thickness, edge), np.maximum(marrow, 0.06))


def _cortex(canvas: Canvas, x: Image, y: Image, brain: Image) -> Image:
    """A ribbon of grey matter between sulci and white matter: two contours of one random field.

    The field is laid out in depth and length along the surface and stretched in depth, so that folds run inwards; a
    bias that grows with depth ends them at a depth that differs from fold to fold.
    """
    edge = canvas.pixel
    middle = np.abs(x + 1.2 * np.sin(y / 23)) + 0.35 * np.maximum(26 - np.abs(y + 3), 0) ** 1.2 - 0.9
    fissure = union(
        capsule(np.abs(x), y + 0.35 * (np.abs(x) - 45), (36, -12), (75, -22), 0.5 + canvas.number("fissure", 0, 0.9)),
        capsule(np.abs(x), y, (34, -18), (38, 4), 0.5),
        3.0,
    )
    depth = union(union(brain - 1.0, middle, 4.0), fissure, 4.0)
    ends = canvas.number("folding", 18, 22) + 4.5 * canvas.field("fold depths", 14)
    level = _folds(canvas, depth) + 2.2 * rise(depth, ends, 3.5) - 0.12
    sulcus = (level + 0.90) / 0.30  # in mm: the slopes of a wave of 11 mm at these two heights
    white_matter = np.minimum((level - 0.12) / 0.5, depth - 2.7 - 0.3 * canvas.field("thickness", 12))
    grey = _GREY + 0.022 * canvas.field("grey", 9) + 0.016 * canvas.field("grey grain", 2.2, spread=0.5)
    white = _WHITE + 0.012 * canvas.field("white", 25) + 0.012 * canvas.field("tracts", 2.6, spread=0.45, stretch=1.3)
    spaces = line(contour(canvas.field("spaces", 9, spread=0.4), edge), 0.35, edge)
    white = white + 0.10 * spaces * rise(canvas.field("space places", 14), 1.0, 0.3)
    tissue = paint(grey, inside(-white_matter, 1.6 * edge), white)
    return paint(tissue, inside(np.minimum(sulcus, depth), 1.3 * edge), _FLUID - 0.08)


def _folds(canvas: Canvas, depth: Image) -> Image:
    """A wave of 11 mm and amplitude 1 with random crests, that run along the gradient of depth: gyri and sulci."""
    pattern = canvas.field("folds", 11.0, spread=0.3)
    vertical, horizontal = np.gradient(gaussian_filter(depth, 2.0 / canvas.pixel), canvas.pixel)
    rows, columns = np.indices(depth.shape)
    drawn_out = np.zeros_like(depth)
    for step in (-9.0, -6.0, -3.0, 0.0, 3.0, 6.0, 9.0):
        at = [rows + step * vertical / canvas.pixel, columns + step * horizontal / canvas.pixel]
        drawn_out += map_coordinates(pattern, at, order=1, mode="wrap")
    # An even amplitude: every fold is as high as its neighbour, so all sulci are about as wide.
    amplitude = np.sqrt(2 * gaussian_filter(drawn_out**2, 9.0 / canvas.pixel, mode="wrap"))
    return drawn_out / (amplitude + 1e-6)


def _deep_grey(canvas: Canvas, tissue: Image, x: Image, y: Image) -> Image:
    edge = 1.6 * canvas.pixel
    side = np.abs(x)
    value = 0.50 + 0.015 * canvas.field("nuclei", 3, spread=0.5)
    core = np.hypot(x / 33, (y - 2) / 40)
    tissue = paint(tissue, rise(-core, -1.0, 0.06) * 0.92, _WHITE + 0.012 * canvas.field("capsules", 3, spread=0.5))
    shapes = (
        (ellipse(side, y, (14.5, -17), (5.2, 9.5), 18), value),  # caudate
        (ellipse(side, y, (25.0, -4), (5.4, 14.5), -12), value - 0.02),  # putamen
        (ellipse(side, y, (18.8, -1), (3.6, 8.5), -22), value - 0.17),  # pallidum, dark with iron
        (ellipse(side, y, (9.8, 11), (8.3, 12.5), -20), value - 0.03),  # thalamus
        (ellipse(side, y, (32.3, -5), (0.9, 13.0), -10), value),  # claustrum
    )
    for shape, intensity in shapes:
        tissue = paint(tissue, inside(shape + 0.5 * canvas.field("nuclei outline", 8), edge), intensity)
    return tissue


def _ventricles(canvas: Canvas, tissue: Image, x: Image, y: Image) -> Image:
    edge = canvas.pixel
    side = np.abs(x + 0.5)
    wide = canvas.number("ventricles", 0.7, 1.7) + 0.02 * canvas.position
    fluid = _FLUID + 0.02 * canvas.field("fluid", 12)
    frontal = union(
        capsule(side, y, (4.5, -20), (10.5, -31), 1.6 * wide), capsule(side, y, (4.5, -20), (4.0, -12), wide), 3
    )
    trigone = union(
        capsule(side, y, (19, 27), (27, 36), 2.4 * wide), capsule(side, y, (27, 36), (25, 46), 1.4 * wide), 3
    )
    third = capsule(x, y, (0, 2), (0, 17), 0.7 + 0.6 * wide)
    cistern = union(ellipse(x, y, (0, 30), (8, 2.6)), capsule(side, y, (6, 29), (13, 24), 0.8), 3)
    for shape in (union(frontal, trigone, 1), union(third, cistern, 2)):
        tissue = paint(tissue, inside(shape + 0.3 * canvas.field("walls", 7), edge), fluid)
    septum = line(x + 0.5, 0.8, edge) * inside(np.abs(y + 17) - 7, 2.0)
    tissue = paint(tissue, septum, _WHITE)
    plexus = inside(ellipse(side, y, (24, 33), (1.6, 2.8), -30) + 0.4 * canvas.field("plexus", 2), edge)
    return paint(tissue, plexus, 0.6)


def _vessels(canvas: Canvas, image: Image, x: Image, y: Image, brain: Image) -> Image:
    """Flow voids: arteries in the fissures, a sinus at the back, small ones cut across in the sulci."""
    edge = canvas.pixel
    dots = canvas.field("vessels", 5.0, spread=0.4)
    shallow = inside(np.abs(brain - 3) - 5, 2.0)
    image = paint(image, rise(dots, 2.5, 0.12) * shallow, 0.08)
    for name, centre, radius in (
        ("left", (-47, -24), 1.3),
        ("right", (46, -25), 1.3),
        ("front", (1.5, -57), 1.1),
        ("front left", (-1.5, -55), 1.0),
    ):
        at = (centre[0] + canvas.number(f"{name} x", -3, 3), centre[1] + canvas.number(f"{name} y", -3, 3))
        image = paint(image, inside(ellipse(x, y, at, (radius, radius)), edge), 0.06)
    sinus = inside(np.hypot(x * 0.8, brain + 1.5) - 3.2, edge) * (y > 0)
    return paint(image, sinus, 0.07)
