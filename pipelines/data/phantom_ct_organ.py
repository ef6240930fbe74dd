"""A synthetic upper abdomen in CT: the pancreas, a long lobed organ, among bowel and vessels of nearly its density."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.data.phantom_acquisition import ct_scan, paint
from pipelines.data.phantom_shapes import (
    Array,
    Grid,
    curve,
    ellipsoid,
    make_grid,
    outside,
    posed,
    smooth_noise,
    solid,
    tube,
)

EXTENT = (180.0, 144.0, 100.0)
AIR, FAT, MUSCLE, BONE = -1000.0, -100.0, 55.0, 320.0

# From the head, in the bend of the duodenum, over the spine to the tail at the spleen.
_PANCREAS = ((-30, 2, -22), (-22, -4, -4), (-4, -14, 2), (18, -10, 6), (38, 4, 12), (56, 20, 20))
_PANCREAS_RADII = (9.5, 11.5, 10.5, 8.0, 7.5, 8.0, 8.5, 8.0, 6.0)


def draw_ct_organ(rng: np.random.Generator, shape: Sequence[int], spacing_mm: Sequence[float]) -> tuple[Array, Array]:
    """Draw one case.

    Args:
        rng: where every draw comes from.
        shape: voxels along x, y, z.
        spacing_mm: millimetres per voxel, in the same order.

    Returns:
        (image int16 in Hounsfield units, label uint8), both of ``shape``; label 1 is the pancreas.
    """
    grid = make_grid(shape, spacing_mm, EXTENT)
    points = posed(rng, grid, shift=5, degrees=6, growth=0.08, warp=1.45, length=24)
    grain = smooth_noise(rng, grid, 4)
    bends = rng.normal(0, 3.0, (len(_PANCREAS), 3))
    line = curve(np.array(_PANCREAS) + bends, len(_PANCREAS_RADII) - 1)
    radii = np.array(_PANCREAS_RADII) * rng.uniform(0.85, 1.15, len(_PANCREAS_RADII))
    pancreas = tube(points, line, radii) + 0.75 * smooth_noise(rng, grid, 7)
    signal = _trunk(rng, grid, points, grain)
    _large_organs(rng, grid, points, pancreas, signal)
    _bowel(rng, grid, points, pancreas, signal)
    _vessels(rng, grid, points, pancreas, signal)
    clefts = 16 * np.clip(smooth_noise(rng, grid, 6) - 1.5, 0, None)  # fat between the lobes
    paint(signal, pancreas, rng.uniform(78, 104) + 4 * grain - clefts, grid.voxel)
    image = ct_scan(rng, grid, signal, noise=rng.uniform(10, 18), blur=0.55)
    return image, solid(pancreas).astype(np.uint8)


def _trunk(rng: np.random.Generator, grid: Grid, points: Array, grain: Array) -> Array:
    """Air, skin, fat, the muscular wall with ribs, the back's muscles and the spine."""
    signal = np.full(grid.shape, AIR, np.float32)
    body = ellipsoid(points, (0, 16, 0), (118, 80 + rng.uniform(-4, 8), 400))
    paint(signal, body, 20, grid.voxel)
    paint(signal, body + 2, FAT + 5 * grain, grid.voxel)
    wall = body + rng.uniform(9, 17)
    paint(signal, wall, MUSCLE + 4 * grain, grid.voxel)
    cavity = wall + 8
    paint(signal, cavity, FAT + 14 + 7 * grain, 2)
    between = 0.55 - np.cos((points[2] + 0.5 * points[1]) * (2 * np.pi / 26))
    ribs = np.maximum(np.abs(wall + 3.5) - 3, 9 * between)
    paint(signal, np.maximum(ribs, points[1] * -1 - 30), BONE, grid.voxel)
    for side in (-1, 1):
        paint(signal, ellipsoid(points, (27 * side, 68, 0), (23, 17, 400)), MUSCLE + 4 * grain, 2)
        paint(signal, ellipsoid(points, (25 * side, 42, -20), (10, 11, 46)), MUSCLE + 4 * grain, 2)
    spine = ellipsoid(points, (0, 46, 0), (21, 16, 400))
    disc = np.cos(points[2] * (2 * np.pi / 34) + rng.uniform(0, 6.28)) > 0.87
    paint(signal, spine, np.where(disc, 85, BONE + 40), grid.voxel)
    paint(signal, spine + 2.5, np.where(disc, 80, 190 + 15 * grain), grid.voxel)
    paint(signal, tube(points, ((0, 69, -400), (0, 69, 400)), (8, 8)), 30, grid.voxel)
    return signal


def _large_organs(rng: np.random.Generator, grid: Grid, points: Array, pancreas: Array, signal: Array) -> None:
    """Liver, spleen, kidneys and a stomach that holds fluid below gas; all of them keep clear of the pancreas."""
    texture = smooth_noise(rng, grid, 3)
    liver = ellipsoid(points, (-66, -6, 22), (52, 54, 52)) + 1.75 * smooth_noise(rng, grid, 22)
    spleen = ellipsoid(points, (76, 34, 22), (22, 32, 34))
    veins = np.maximum(np.abs(smooth_noise(rng, grid, 24)), np.abs(smooth_noise(rng, grid, 24))) < 0.27
    paint(signal, outside(liver, pancreas, 3), rng.uniform(92, 112) + 3.5 * texture + 38 * veins, grid.voxel)
    paint(signal, outside(spleen, pancreas, 3), rng.uniform(98, 118) + 3.3 * texture, grid.voxel)
    for side in (-1, 1):
        kidney = ellipsoid(points, (50 * side, 44, -26 + rng.uniform(-6, 6)), (22, 19, 40))
        paint(signal, outside(kidney, pancreas, 3), rng.uniform(150, 185) + 4.3 * texture, grid.voxel)
        paint(signal, ellipsoid(points, (44 * side, 42, -26), (9, 8, 26)), -50, 3)
    stomach = ellipsoid(points, (34, -34, 24), (36 * rng.uniform(0.8, 1.1), 22, 26)) + 1.5 * smooth_noise(rng, grid, 14)
    stomach = outside(stomach, pancreas, 2.5)
    level = points[1] + rng.uniform(36, 46)
    paint(signal, stomach, rng.uniform(60, 85), grid.voxel)
    paint(signal, stomach + 4, 14 + 3 * texture, grid.voxel)
    paint(signal, np.maximum(stomach + 4, level), -930, grid.voxel)


def _bowel(rng: np.random.Generator, grid: Grid, points: Array, pancreas: Array, signal: Array) -> None:
    """The duodenum around the pancreas' head, small bowel below it and the colon in front with gas."""
    duodenum = curve(((-34, -18, 6), (-47, -6, -4), (-47, 8, -24), (-34, 18, -38), (0, 20, -42), (26, 8, -36)), 7)
    loops = [(duodenum + rng.normal(0, 2, 3), rng.uniform(8, 10.5), 90.0)]
    for _ in range(7):
        start = np.array([rng.uniform(-20, 72), rng.uniform(-42, 12), rng.uniform(-52, -24)])
        winding = curve(start + np.cumsum(rng.normal(0, 13, (4, 3)), axis=0), 4)
        loops.append((winding, rng.uniform(7, 10), rng.choice((2.0, 90.0))))
    colon = ((-86, 14, -44), (-66, -34, -30), (-20, -48, -20), (34, -50, -14), (80, -14, 4))
    loops.append((curve(np.array(colon) + rng.normal(0, 4, 3), 7), rng.uniform(9, 13), rng.uniform(-6, 4)))
    for line, radius, fluid in loops:  # what lies more than ``fluid`` before the loop's middle is gas
        gut = outside(tube(points, line, [radius] * len(line)), pancreas, 1.6) + 0.6 * smooth_noise(rng, grid, 8)
        paint(signal, gut, rng.uniform(75, 105), grid.voxel)
        content = 8 * smooth_noise(rng, grid, 5)
        paint(signal, gut + 2.6, rng.uniform(15, 70) + content, grid.voxel)
        paint(signal, np.maximum(gut + 2.6, points[1] - line[:, 1].mean() + fluid), -880 + content, grid.voxel)


def _vessels(rng: np.random.Generator, grid: Grid, points: Array, pancreas: Array, signal: Array) -> None:
    """Aorta and caval vein, the splenic vein behind the pancreas and the mesenteric vessels at its neck."""
    contrast = rng.uniform(135, 190)
    splenic = np.array(((-8, 0, 2), (10, 0, 5), (34, 14, 12), (58, 28, 20)))
    for path, radius, value in (
        (((6, 22, -400), (6, 22, 400)), rng.uniform(8, 11), contrast * 1.1),
        (((-18, 24, -400), (-18, 24, 400)), rng.uniform(9, 12), contrast * 0.85),
        (((-8, 2, -80), (-8, 0, -10), (-12, 4, 10), (-34, 6, 40)), 6.0, contrast),
        (((5, 0, -80), (5, 6, -10), (6, 18, 4)), 3.6, contrast * 1.1),
        (curve(splenic + rng.normal(0, 1.5, 3), 6), 4.2, contrast),
    ):
        vessel = tube(points, path, [radius] * len(path))
        paint(signal, outside(vessel, pancreas, 0.6), value, grid.voxel)
