"""A synthetic medial temporal lobe in T1-weighted MR: the hippocampus' head, and its body with tail, as two classes."""

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

EXTENT = (36.0, 50.0, 36.0)
FLUID, GREY, WHITE = 110.0, 330.0, 540.0

# From the head, in front and turned to the midline, to the tail, behind and above.
_LINE = ((-5.5, -15, -3.5), (-1, -12, -5.5), (3, -5, -6), (4.5, 3, -4), (3, 11, 0.5), (-1, 17, 5))
_RADII = (4.4, 5.6, 4.8, 4.1, 3.7, 3.5, 3.2, 2.6)


def draw_two_class(rng: np.random.Generator, shape: Sequence[int], spacing_mm: Sequence[float]) -> tuple[Array, Array]:
    """Draw one case.

    Args:
        rng: where every draw comes from.
        shape: voxels along x, y, z.
        spacing_mm: millimetres per voxel, in the same order.

    Returns:
        (image int16, label uint8), both of ``shape``; label 1 is the front (head), label 2 the rest (body and
        tail), and they touch.
    """
    grid = make_grid(shape, spacing_mm, EXTENT)
    points = posed(rng, grid, shift=2, degrees=8, growth=0.1, warp=0.55, length=11)
    line = curve(np.array(_LINE) + rng.normal(0, 0.8, (len(_LINE), 3)), len(_RADII) - 1)
    whole = tube(points, line, np.array(_RADII) * rng.uniform(0.88, 1.12, len(_RADII)))
    uncus = ellipsoid(points, (-5, -9, -3.5), np.array([4.2, 4.6, 3.6]) * rng.uniform(0.85, 1.15))
    whole = blend(whole, uncus, 2) + 0.26 * smooth_noise(rng, grid, 4)
    behind = points[1] + 0.25 * points[2] + rng.uniform(4.0, 5.0)  # the cut passes where the uncus ends
    signal = _surroundings(rng, grid, points, whole)
    layers = 34 * np.sin(whole * 1.9)  # the rolled grey and white sheets inside
    paint(signal, whole, GREY * rng.uniform(0.92, 1.04) + layers + 8 * smooth_noise(rng, grid, 3), grid.voxel)
    noise = rng.uniform(18, 34)
    image = mr_scan(rng, grid, signal, noise=noise, bias=rng.uniform(0.04, 0.08), blur=0.6)
    label = np.where(solid(whole), np.where(behind <= 0, 1, 2), 0)
    return image, label.astype(np.uint8)


def _surroundings(rng: np.random.Generator, grid: Grid, points: Array, whole: Array) -> Array:
    """Folded cortex over white matter, the horn of the ventricle, the amygdala, the brain stem and its cistern."""
    fold = smooth_noise(rng, grid, 8) + 0.35 * smooth_noise(rng, grid, 4)
    depth = 2.4 * (np.abs(fold) - 0.48) / 1.0  # millimetres from the nearest sulcus, roughly
    signal = np.full(grid.shape, WHITE, np.float32) + 9 * smooth_noise(rng, grid, 4)
    paint(signal, depth - 1.3, GREY + 12, grid.voxel)
    paint(signal, depth + 0.25, FLUID, grid.voxel)
    centre = ellipsoid(points, (3, 0, -2), (11, 24, 9))
    paint(signal, centre, WHITE + 8 * smooth_noise(rng, grid, 4), 3)
    stem = ellipsoid(points, (-22, 6, -6), (14, 24, 24))
    paint(signal, stem - 2.2, FLUID, grid.voxel)
    paint(signal, stem, 0.88 * WHITE + 9 * smooth_noise(rng, grid, 5), grid.voxel)
    horn = tube(points, ((8, -15, -3), (9.5, -4, -4), (9.5, 6, -1), (6, 17, 6)), (1.8, 1.5, 1.6, 2.4))
    paint(signal, outside(horn, whole, 0.3), FLUID * 0.9, grid.voxel)
    amygdala = ellipsoid(points, (-1, -19, 4), (8, 7, 6.5))
    paint(signal, outside(amygdala, whole, 0.7), GREY * rng.uniform(1.0, 1.08), grid.voxel)
    rim = outside(np.abs(whole - 0.6) - 0.6, -points[2] - 4 + 1.2 * smooth_noise(rng, grid, 8), 0)  # white sheet above
    paint(signal, rim, WHITE * 0.95, grid.voxel)
    return signal
