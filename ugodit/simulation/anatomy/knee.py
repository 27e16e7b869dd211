"""A coronal knee as proton-density contrast shows it: bright fat and marrow, grey muscle, black cortical bone."""

import numpy as np

from ugodit.simulation.anatomy.fields import (
    Canvas,
    Image,
    capsule,
    contour,
    ellipse,
    inside,
    intersection,
    line,
    paint,
    rise,
    union,
)

FIELD_OF_VIEW = 160.0
"""mm, of the longer side"""


def draw_knee(canvas: Canvas) -> Image:
    """Magnitudes (rows, columns) in 0 to about 1."""
    x, y = _deformed(canvas)
    edge = canvas.pixel
    leg = _leg(canvas, x, y)
    femur, tibia, fibula = _femur(canvas, x, y), _tibia(canvas, x, y), _fibula(canvas, x, y)

    image = _soft_tissue(canvas, x, y, leg)
    image = _joint(canvas, image, x, y, femur, tibia)
    for name, bone, growth_plate in (
        ("femur", femur, y + 33 + 2.5 * np.cos(x / 7)),
        ("tibia", tibia, y - 23 - 1.5 * np.cos(x / 9)),
        ("fibula", fibula, y - 38),
    ):
        image = paint(image, inside(bone, edge), _bone(canvas, name, bone, y, growth_plate))
    image = _ligaments(canvas, image, x, y, femur, tibia)
    image = image * inside(leg, edge)
    # The leg does not end at the edge of the picture; the coils' reach does.
    reach = FIELD_OF_VIEW / 2
    return np.maximum(image, 0.0) * rise(-np.abs(canvas.axes()[1]), -reach * 0.93, reach * 0.035)


def _deformed(canvas: Canvas) -> tuple[Image, Image]:
    x, y = canvas.axes()
    turn = np.deg2rad(canvas.number("turn", -5, 5))
    size = canvas.number("size", 0.92, 1.06)
    mirror = 1.0 if canvas.number("side", 0, 1) < 0.5 else -1.0
    u = mirror * (x * np.cos(turn) + y * np.sin(turn)) / size + canvas.number("shift x", -3, 3)
    v = (-x * np.sin(turn) + y * np.cos(turn)) / size + canvas.number("shift y", -5, 5)
    for direction, large, small in (("x", 3.0, 0.45), ("y", 2.5, 0.45)):
        bend = large * canvas.field(f"bend {direction}", 70) + small * canvas.field(f"ripple {direction}", 14)
        u, v = (u + bend, v) if direction == "x" else (u, v + bend)
    return u, v


def _leg(canvas: Canvas, x: Image, y: Image) -> Image:
    width = canvas.number("leg", 54, 61)
    profile = width + 5 * rise(-y, 25, 22) - 5 * rise(y, 35, 25) - 2.5 * np.exp(-((y / 22) ** 2))
    return np.abs(x + 1.5) - profile + 0.8 * canvas.field("skin", 22)


def _femur(canvas: Canvas, x: Image, y: Image) -> Image:
    wide = canvas.number("femur", 36, 41)
    depth = 1 - (canvas.position / 60) ** 2
    shaft = np.abs(x) - (15.5 + (wide - 16.5) * rise(y, -43, 9))
    shaft = intersection(shaft, y + 14, 8)
    medial = ellipse(x, y, (-wide * 0.55, -17), (wide * 0.47, 17.5 * depth), 6)
    lateral = ellipse(x, y, (wide * 0.55, -17.5), (wide * 0.46, 16.5 * depth), -6)
    bone = union(union(shaft, medial, 5), lateral, 5)
    notch = ellipse(x, y, (1.0, 2.0), (canvas.number("notch", 7.5, 10.5), 24))
    return intersection(bone, -notch, 4)


def _tibia(canvas: Canvas, x: Image, y: Image) -> Image:
    wide = canvas.number("tibia", 36, 40)
    sides = np.abs(x) - (15 + (wide - 15) * rise(-y, -33, 11))
    spines = 5.0 * np.exp(-(((x - 4.5) / 2.6) ** 2)) + 6.0 * np.exp(-(((x + 4) / 2.8) ** 2))
    plateau = 4.5 - 1.2 * np.cos(x / 6.5) - spines * canvas.number("spines", 0.75, 1.1)
    return intersection(sides, plateau - y, 4)


def _fibula(canvas: Canvas, x: Image, y: Image) -> Image:
    head = ellipse(x, y, (39, 32), (7.5, 9), 10)
    return union(head, capsule(x, y, (38.5, 34), (35, 130), canvas.number("fibula", 4.2, 5.4)), 5)


def _soft_tissue(canvas: Canvas, x: Image, y: Image, leg: Image) -> Image:
    """Skin, fat with its septa, fascia, muscles with their fascicles, a few vessels."""
    edge = canvas.pixel
    lobules = contour(canvas.field("lobules", 7.5, spread=0.45, stretch=1.7), edge)
    fat = 0.80 + 0.035 * canvas.field("fat", 26) + 0.025 * canvas.field("fat grain", 1.8, spread=0.5)
    fat = fat * (1 - 0.33 * line(lobules, 0.35, edge) * rise(canvas.field("septa", 16), -0.1, 0.4))

    thickness = canvas.number("fat", 8, 13) * (1 + 0.22 * canvas.field("fat thickness", 45))
    deep = leg + np.maximum(thickness, 3.5)
    bundles = contour(canvas.field("fascicles", 3.2, spread=0.5, stretch=6), edge)
    muscle = 0.36 + 0.02 * canvas.field("muscle", 20) + 0.02 * canvas.field("muscle grain", 1.6, spread=0.5, stretch=2)
    streaks = line(bundles, 0.4, edge) * rise(canvas.field("marbling", 18), 0.5, 0.4)
    muscle = muscle + 0.16 * streaks
    bellies = contour(canvas.field("bellies", 17, spread=0.4, stretch=5), edge)
    muscle = paint(muscle, line(bellies, 0.9, edge) * rise(canvas.field("fascia", 25), -0.3, 0.4), 0.62)
    height = (y - 2 + 0.35 * np.abs(x) * np.sign(y)) / canvas.number("muscle", 36, 42)
    near_joint = np.exp(-(height**4))  # round the joint itself there is fat and capsule, no muscle
    belly = intersection(deep, 9 - 40 * (0.75 - near_joint) + 2.0 * canvas.field("belly", 12), 3)

    image = paint(fat, line(deep, 0.8, edge) * 0.8, 0.18)
    image = paint(image, inside(belly, 1.5 * edge), muscle)
    image = paint(image, line(belly, 0.7, edge) * inside(deep - 1, edge), 0.2)
    vessels = contour(canvas.field("vessels", 30, spread=0.3, stretch=1.4), edge)
    present = rise(canvas.field("vessel places", 30), 0.75, 0.12) * inside(leg + 3.5, 1.0)
    image = paint(image, line(vessels, 1.7, edge) * present, 0.24)
    image = paint(image, line(vessels, 0.7, edge) * present, 0.55)
    return paint(image, inside(-(leg + canvas.number("skin", 1.1, 1.6)), edge), 0.46)


def _bone(canvas: Canvas, name: str, bone: Image, y: Image, growth_plate: Image) -> Image:
    """Marrow with trabeculae, densest at the joint; a cortex, thick along the shaft; the scar of the growth plate."""
    edge = canvas.pixel
    trabeculae = canvas.field(f"{name} trabeculae", 1.5, spread=0.5, stretch=1.6)
    columns = canvas.field(f"{name} columns", 3.0, spread=0.5, stretch=3.0)
    struts = np.clip(0.8 * trabeculae + 0.6 * columns, -1.5, 2.5)
    end = np.exp(-((y / 42) ** 4))
    marrow = 0.74 + 0.03 * canvas.field(f"{name} marrow", 17) - 0.06 * end
    marrow = marrow - (0.025 + 0.035 * end) * struts
    marrow = marrow - 0.10 * np.exp(-(((bone + 2.5) / 2.2) ** 2)) * end  # subchondral bone
    scar = growth_plate + 0.8 * canvas.field(f"{name} scar", 6)
    marrow = paint(marrow, line(scar, 0.8, edge) * rise(canvas.field(f"{name} scar places", 9), -0.7, 0.3), 0.33)
    nutrient = contour(canvas.field(f"{name} vessels", 17, spread=0.3), edge)
    marrow = paint(marrow, line(nutrient, 0.5, edge) * rise(canvas.field(f"{name} places", 22), 0.9, 0.2), 0.5)
    cortex = 1.1 + 2.6 * rise(np.abs(y), 50, 9)
    return paint(marrow, inside(-(bone + cortex), edge), 0.045)


def _joint(canvas: Canvas, image: Image, x: Image, y: Image, femur: Image, tibia: Image) -> Image:
    """Between the bones: cartilage on both, fluid, the menisci's wedges, the fat of the notch."""
    edge = canvas.pixel
    gap = intersection(intersection(np.abs(x) - 40, -femur, 1), intersection(-tibia, np.abs(y + 1) - 12, 1), 1)
    notch = intersection(ellipse(x, y, (1, -8), (12, 19)), -union(femur, tibia, 1), 1)
    strands = contour(canvas.field("notch strands", 5, spread=0.4, stretch=2), edge)
    image = paint(
        image, inside(notch, edge), paint(0.58 + 0.06 * canvas.field("notch", 4), line(strands, 0.8, edge), 0.3)
    )
    compartments = inside(8.5 - np.abs(x), 2.0) * inside(gap, edge)
    image = paint(image, compartments, 0.80 + 0.03 * canvas.field("fluid", 3))
    layered = 0.54 + 0.03 * canvas.field("cartilage", 2.2)
    for bone in (femur, tibia):
        cartilage = inside(bone - canvas.number("cartilage", 2.0, 2.7), edge) * inside(np.abs(y) - 14, 4.0)
        image = paint(image, cartilage * inside(8.0 - np.abs(x), 2.0) * inside(np.abs(x) - 38, 2.0), layered)
    tip = canvas.number("meniscus", 24, 28) + 0.8 * canvas.field("meniscus", 8)
    wedge = intersection(gap, tip - np.abs(x), 1)
    wedge = intersection(wedge, 1.3 - np.minimum(femur, tibia), 0.8)
    return paint(image, inside(wedge, edge), 0.09 + 0.02 * canvas.field("meniscus fibres", 1.5, spread=0.5))


def _ligaments(canvas: Canvas, image: Image, x: Image, y: Image, femur: Image, tibia: Image) -> Image:
    edge = canvas.pixel
    free = inside(-femur, edge) * inside(-tibia, edge)
    fibres = line(contour(canvas.field("fibres", 1.9, spread=0.35, stretch=3), edge), 0.7, edge)
    tendon = 0.10 + 0.22 * fibres
    medial = capsule(x - 0.0022 * (y - 2) ** 2, y, (-42, -27), (-42, 36), 0.95)
    lateral = capsule(x, y, (39.5, -21), (42, 26), 0.9)
    anterior = capsule(x, y, (6.0, -19), (-4, 0.5), 3.3)
    posterior = ellipse(x, y, (-5.5, -9), (4.2, 6.5), 20)
    for band, value in ((medial, 0.13), (lateral, 0.13), (anterior, tendon), (posterior, 0.13 + 0.05 * fibres)):
        image = paint(image, inside(band, edge) * free, value)
    return image
