"""A synthetic heart in late-gadolinium MR: the left atrium, its veins and appendage, among chambers just as bright."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.data.phantom_acquisition import mr_scan, paint
from pipelines.data.phantom_shapes import (
    Array,
    Grid,
    blend,
    curve,
    ellipsoid,
    make_grid,
    outside,
    posed,
    smooth_noise,
    solid,
    tube,
)

EXTENT = (100.0, 90.0, 55.0)
BLOOD = 260.0

# Where a pulmonary vein leaves the atrium's body, and where it heads: right upper, right lower, left upper, left lower.
_VEINS = (
    ((-21, 5, 6), (-1.0, 0.15, 0.35)),
    ((-19, 9, -5), (-1.0, 0.35, -0.20)),
    ((19, 8, 7), (0.9, 0.40, 0.45)),
    ((17, 11, -4), (0.8, 0.60, -0.15)),
)
# Neighbours filled with blood: centre line, radius (tubes) or centre, radii (chambers).
_VESSELS = (
    (((-3, -23, -40), (-5, -24, 0), (-8, -26, 40)), 12.5),  # ascending aorta
    (((14, -38, 0), (8, -33, 22), (4, -20, 40)), 11.0),  # pulmonary trunk
    (((14, -13, 27), (-6, -6, 27), (-40, -2, 24)), 8.0),  # right pulmonary artery
    (((13, 31, -40), (14, 31, 0), (12, 32, 40)), 11.0),  # descending aorta
    (((-31, -13, 8), (-30, -15, 40)), 8.5),  # superior vena cava
)
_CHAMBERS = (((27, -23, -20), (27, 21, 22)), ((-31, -21, -9), (22, 22, 23)))  # left ventricle, right atrium


def draw_atrium(rng: np.random.Generator, shape: Sequence[int], spacing_mm: Sequence[float]) -> tuple[Array, Array]:
    """Draw one case.

    Args:
        rng: where every draw comes from.
        shape: voxels along x, y[, z]; two axes give one axial slice through the atrium.
        spacing_mm: millimetres per voxel, in the same order.

    Returns:
        (image int16, label uint8), both of ``shape``; label 1 is the left atrium's cavity with its appendage and the
        veins' first centimetre.
    """
    grid = make_grid(shape, spacing_mm, EXTENT)
    if len(shape) == 2:
        grid.points[2] += rng.uniform(-5, 7)
    points = posed(rng, grid, shift=4, degrees=8, growth=0.12, warp=1.05, length=16)
    points += np.float32(0.35) * np.stack([smooth_noise(rng, grid, 6) for _ in range(3)])
    atrium, veins = _left_atrium(rng, grid, points)
    signal = _tissue(rng, grid, points)
    texture = 1 + 0.055 * smooth_noise(rng, grid, 7) + 0.04 * smooth_noise(rng, grid, 2.5)
    wall = 1.5 + 0.5 * smooth_noise(rng, grid, 12)  # the wall is thin, and in places too thin to be seen
    for neighbour in _neighbours(rng, grid, points):
        cavity = outside(neighbour, atrium, wall)
        paint(signal, cavity - 1.4, 78, 1.5 * grid.voxel)
        paint(signal, cavity, BLOOD * rng.uniform(0.9, 1.1) * texture, grid.voxel)
    lumen = np.minimum(atrium, veins)
    blood = BLOOD * rng.uniform(0.92, 1.08) * texture
    paint(signal, lumen - 1.2, 78, 1.5 * grid.voxel)
    paint(signal, lumen, blood, grid.voxel)
    scar = np.maximum(np.abs(lumen - 0.8) - 1.0, 2.4 * (1.5 - smooth_noise(rng, grid, 9)))
    paint(signal, scar, 1.25 * blood, grid.voxel)
    noise = BLOOD * rng.uniform(0.09, 0.14)
    image = mr_scan(rng, grid, signal, noise=noise, bias=rng.uniform(0.06, 0.12), blur=0.6)
    return image.reshape(shape), solid(atrium).astype(np.uint8).reshape(shape)


def _left_atrium(rng: np.random.Generator, grid: Grid, points: Array) -> tuple[Array, Array]:
    """The labelled cavity, and the veins as far as the image shows them."""
    radii = np.array([25, 15, 15.5]) * rng.uniform(0.88, 1.14, 3)
    body = ellipsoid(points, (0, 2, 0), radii)
    floor = np.array([7, -6, -8]) + rng.uniform(-3, 3, 3)
    body = blend(body, ellipsoid(points, floor, np.array([16, 12, 11]) * rng.uniform(0.85, 1.15)), 5)
    bends = rng.uniform(-3, 3, (3, 3))
    appendage = curve(np.array([(18, -6, 5), (28, -14, 8), (34, -23, 5)]) + bends, 4)
    lobes = tube(points, appendage, np.array([7.5, 6.5, 6.0, 5.0, 3.0]) * rng.uniform(0.8, 1.15))
    label = blend(body, lobes + 0.65 * smooth_noise(rng, grid, 8), 3)
    far: Array | None = None
    for start, heading in _VEINS:
        origin = np.array(start) * radii / (25, 15, 15.5)
        way = np.array(heading) + rng.uniform(-0.25, 0.25, 3)
        way /= np.linalg.norm(way)
        turn, radius, length = rng.uniform(-5, 5, 3), rng.uniform(4.8, 7.0), rng.uniform(10, 15)
        label = blend(label, tube(points, (origin, origin + length * way), (radius, 0.85 * radius)), 2.5)
        line = (origin, origin + length * way, origin + 34 * way + turn)
        vein = tube(points, line, (radius, 0.82 * radius, 0.5 * radius))
        far = vein if far is None else np.minimum(far, vein)
    if far is None:
        raise ValueError("An atrium needs veins.")
    return label, far


def _tissue(rng: np.random.Generator, grid: Grid, points: Array) -> Array:
    """What lies around the chambers: mediastinal fat and muscle, lungs with vessels, spine, gullet, chest wall."""
    fine = smooth_noise(rng, grid, 3)
    strands = np.abs(smooth_noise(rng, grid, 7))
    signal = 62 + 10 * fine + 110 * np.clip(0.5 - strands, 0, None) / 0.5
    lungs = np.minimum(ellipsoid(points, (66, 20, 2), (32, 42, 70)), ellipsoid(points, (-64, 18, 2), (30, 44, 70)))
    paint(signal, lungs, 24, 2)
    paint(signal, np.abs(lungs) - 0.5, 120, 1.5)
    branches = np.maximum(1.8 * (2.5 - smooth_noise(rng, grid, 5)), lungs + 2)
    paint(signal, branches, BLOOD * 0.8, grid.voxel)
    paint(signal, points[1] + 43 + 0.012 * points[0] ** 2, 150 + 15 * fine, 2)
    spine = tube(points, ((-13, 43, -60), (-14, 43, 60)), (16, 16))
    discs = np.cos(points[2] * (2 * np.pi / 26) + rng.uniform(0, 6.28))
    paint(signal, spine, 45 + 18 * (discs > 0.8) + 5 * fine, 1.5)
    paint(signal, np.abs(spine) - 0.9, 135, 1.5)
    paint(signal, tube(points, ((2, 24, -60), (3, 24, 60)), (4.5, 4.5)), 105 + 18 * fine, 2)
    return signal


def _neighbours(rng: np.random.Generator, grid: Grid, points: Array) -> list[Array]:
    """The other blood pools, each of its own size and place."""
    shapes = []
    for path, radius in _VESSELS:
        width = radius * rng.uniform(0.88, 1.1)
        shapes.append(tube(points, np.array(path, float) + rng.uniform(-2.5, 2.5, 3), [width] * len(path)))
    for centre, radii in _CHAMBERS:
        ripple = 0.7 * smooth_noise(rng, grid, 9)
        size = np.array(radii) * rng.uniform(0.88, 1.1, 3)
        shapes.append(ellipsoid(points, np.array(centre) + rng.uniform(-2.5, 2.5, 3), size) + ripple)
    return shapes
