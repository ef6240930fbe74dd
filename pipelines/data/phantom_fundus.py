"""A synthetic fundus photograph, in colour: the optic disc, the vessels that leave it, the macula and bright spots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.data.phantom_acquisition import blurred
from pipelines.data.phantom_shapes import Array, Grid, ellipsoid, make_grid, outside, smooth_noise
from pipelines.data.phantom_vessels import grow_tree, tree_distance, warped

EXTENT = (10.0, 10.0, 10.0)
RADIUS = 4.8
# Red, green, blue, of 255.
_RETINA, _DISC, _CUP, _SPOT = (196, 98, 44), (236, 176, 96), (250, 214, 150), (238, 190, 104)
# How much of each colour is left behind a vessel: veins darker than arteries.
_VEIN, _ARTERY = (0.72, 0.46, 0.62), (0.86, 0.62, 0.74)


def draw_fundus(rng: np.random.Generator, shape: Sequence[int], spacing_mm: Sequence[float]) -> tuple[Array, ...]:
    """Draw one case.

    Args:
        rng: where every draw comes from.
        shape: pixels along x, y.
        spacing_mm: millimetres per pixel, in the same order.

    Returns:
        (image uint8 (X, Y, 3), red, green and blue; label uint8, of ``shape``; field of view uint8, likewise). Label 1
        is the optic disc with its cup. The field of view is a disc; all beyond it is nearly black.
    """
    grid = make_grid(shape, spacing_mm, EXTENT)
    points = warped(rng, grid, warp=0.06, length=1.2)
    side = rng.choice((-1, 1))  # the right eye or the left
    centre = np.array([side * rng.uniform(1.9, 2.9), rng.uniform(-0.5, 0.5), 0])
    radii = np.array([rng.uniform(0.8, 0.98), rng.uniform(0.9, 1.08), 1])
    disc = ellipsoid(points, centre, radii) + 0.03 * smooth_noise(rng, grid, 0.5)
    cup = ellipsoid(points, centre + [0.1 * side, 0, 0], radii * [*rng.uniform(0.35, 0.6, 2), 1])
    colours = _retina(rng, grid, points, side)
    _spots(rng, grid, points, disc, colours)
    soft = 3 * grid.voxel  # the disc's rim is no sharp line
    _put(colours, np.abs(disc - 0.12) - 0.1 - 0.12 * smooth_noise(rng, grid, 0.6), (150, 70, 36), soft, 0.5)
    _put(colours, disc, np.array(_DISC) * rng.uniform(0.82, 1.02), soft)
    _put(colours, cup, np.array(_CUP) * rng.uniform(0.88, 1.0), soft, 0.8)
    for left, width in ((_ARTERY, 0.055), (_VEIN, 0.075)):
        share = np.clip(0.5 - _arcades(rng, grid, points, centre, side, width) / (1.5 * grid.voxel), 0, 1)
        colours *= 1 - share * (1 - np.array(left, np.float32)[:, None, None, None])
    colours *= _light(rng, grid)
    return _photograph(rng, grid, colours, disc, shape)


def _retina(rng: np.random.Generator, grid: Grid, points: Array, side: int) -> Array:
    """Pigment that varies, streaks of the choroid's vessels, and the dark macula; (3, X, Y, 1)."""
    tint = np.array(_RETINA) * rng.uniform(0.8, 1.1) * rng.uniform(0.92, 1.08, 3)
    pigment = 1 + 0.08 * smooth_noise(rng, grid, 2.0) + 0.04 * smooth_noise(rng, grid, 0.5)
    streaks = np.exp(-((smooth_noise(rng, grid, 0.7) / 0.35) ** 2))
    macula = np.hypot(points[0] + 1.6 * side, points[1] - 0.2)
    shade = 1 - 0.42 * np.exp(-((macula / 0.75) ** 2))
    return np.asarray(tint[:, None, None, None] * (pigment + 0.07 * streaks) * shade, np.float32)


def _spots(rng: np.random.Generator, grid: Grid, points: Array, disc: Array, colours: Array) -> None:
    """Bright deposits and patches as bright as the disc, so that brightness alone does not find it."""
    for _ in range(int(rng.integers(2, 5))):
        place = np.array([*rng.uniform(-3.4, 3.4, 2), 0])
        patch = ellipsoid(points, place, np.array([*rng.uniform(0.3, 0.85, 2), 1]))
        patch = outside(patch + 0.15 * smooth_noise(rng, grid, 0.5), disc, 0.4)
        _put(colours, patch, np.array(_SPOT) * rng.uniform(0.85, 1.0), 0.15)
    dots = 1.9 - smooth_noise(rng, grid, 0.22)
    _put(colours, 0.1 * dots, _SPOT, 0.06, 0.8)


def _put(colours: Array, shape: Array, colour: Array | Sequence[float], softness: float, strength: float = 1.0) -> None:
    """Lay a colour over ``colours`` (3, X, Y, 1), in place, where ``shape`` is negative."""
    share = strength * np.clip(0.5 - shape / softness, 0, 1)
    colours += share * (np.array(colour, np.float32)[:, None, None, None] - colours)


def _arcades(rng: np.random.Generator, grid: Grid, points: Array, centre: Array, side: int, width: float) -> Array:
    """Vessels of one kind: two that bow around the macula, two that leave to the other side."""
    branches = []
    towards = np.pi if side > 0 else 0.0
    for above in (-1, 1):
        for heading, bend in ((towards + side * above * 1.35, 0.33), (towards + np.pi - side * above * 0.9, 0.05)):
            start = centre[:2] + rng.uniform(-0.2, 0.2, 2)
            branches += grow_tree(
                rng,
                start,
                heading + rng.uniform(-0.25, 0.25),
                width * rng.uniform(0.85, 1.15),
                reach=7.0,
                thinnest=0.024,
                turning=-side * above * bend * rng.uniform(0.7, 1.2),
            )
    return tree_distance(points, branches, grid.voxel)


def _light(rng: np.random.Generator, grid: Grid) -> Array:
    """Illumination: one side brighter, the rim darker."""
    slopes = rng.uniform(-0.045, 0.045, 2)
    across = 1 + slopes[0] * grid.points[0] + slopes[1] * grid.points[1]
    distance = np.hypot(grid.points[0], grid.points[1]) / RADIUS
    return np.asarray(across * (1 - rng.uniform(0.15, 0.4) * distance**2), np.float32)


def _photograph(
    rng: np.random.Generator, grid: Grid, colours: Array, disc: Array, shape: Sequence[int]
) -> tuple[Array, Array, Array]:
    """Blur, noise and the camera's round aperture; image, label and field of view as ``draw_fundus`` gives them."""
    seen = np.hypot(grid.points[0], grid.points[1]) <= RADIUS
    picture = np.stack([blurred(channel, 0.6) for channel in colours]) + rng.normal(0, 5, colours.shape)
    picture = np.where(seen, picture, rng.normal(2, 1.5, colours.shape))
    image = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    label = (seen & (disc <= 0)).astype(np.uint8)
    return np.moveaxis(image, 0, -1).reshape(*shape, 3), label.reshape(shape), seen.astype(np.uint8).reshape(shape)
