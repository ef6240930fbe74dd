"""A synthetic macula in OCT angiography, seen from the front: branching vessels over a mesh of capillaries; 2D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipelines.data.phantom_acquisition import blurred, paint
from pipelines.data.phantom_shapes import Array, Grid, make_grid, smooth_noise, tube

EXTENT = (3.0, 3.0, 3.0)
# Of a vessel's radius in mm: the stems at the rim of the image, and the twigs that are labelled still.
STEM, TWIG = (0.036, 0.055), 0.011
# No vessel is narrower than this many voxels: a reader who labels it marks a line without gaps.
_THINNEST = 0.6
_FOVEA = 0.33
_CHILDREN = (0.55, 0.95)


class Branch(NamedTuple):
    """One vessel between two forks.

    Attributes:
        path: (n, 3) points of its centre line, anatomy millimetres.
        radii: (n,) its radius at each.
    """

    path: Array
    radii: Array


def draw_vessels(rng: np.random.Generator, shape: Sequence[int], spacing_mm: Sequence[float]) -> tuple[Array, Array]:
    """Draw one case.

    Args:
        rng: where every draw comes from.
        shape: pixels along x, y.
        spacing_mm: millimetres per pixel, in the same order.

    Returns:
        (image int16 within 0 and 255, label uint8), both of ``shape``; label 1 is the vessels that are more than
        capillaries, one to five pixels wide at 128 x 128.
    """
    grid = make_grid(shape, spacing_mm, EXTENT)
    points = warped(rng, grid, warp=0.05, length=0.5)
    corner = float(np.hypot(grid.axes[0][-1], grid.axes[1][-1]))
    branches: list[Branch] = []
    count = int(rng.integers(6, 9))
    for angle in 2 * np.pi * (np.arange(count) + rng.uniform(-0.25, 0.25, count)) / count:
        start = 1.15 * corner * np.array([np.cos(angle), np.sin(angle)])
        heading = angle + np.pi + rng.uniform(-0.5, 0.5)
        branches += grow_tree(rng, start, heading, rng.uniform(*STEM), reach=2.1, thinnest=TWIG, away=_FOVEA)
    vessels = tree_distance(points, branches, grid.voxel)
    fovea = np.sqrt(points[0] ** 2 + points[1] ** 2) - _FOVEA * rng.uniform(0.8, 1.0)
    signal = _capillaries(rng, grid, fovea)
    flow = rng.uniform(140, 170) * (1 + 0.18 * smooth_noise(rng, grid, 0.35))
    paint(signal, vessels, flow, grid.voxel)
    signal *= np.exp(0.14 * smooth_noise(rng, grid, 1.6))
    label = (vessels <= 0).astype(np.uint8)
    return _scan(rng, signal).reshape(shape), label.reshape(shape)


def warped(rng: np.random.Generator, grid: Grid, *, warp: float, length: float) -> Array:
    """Draw how the tissue is bent within its plane; (3, X, Y, 1), the points of the straight tissue."""
    bend = [smooth_noise(rng, grid, length), smooth_noise(rng, grid, length), np.zeros(grid.shape, np.float32)]
    return grid.points + np.float32(warp) * np.stack(bend)


def grow_tree(
    rng: np.random.Generator,
    start: Array,
    heading: float,
    radius: float,
    *,
    reach: float,
    thinnest: float,
    away: float = 0.0,
    turning: float = 0.0,
) -> list[Branch]:
    """Grow a vessel and all that leaves it.

    At a fork the cubes of the radii sum up to that of the parent (Murray, PNAS 12, 1926).

    Args:
        rng: where every draw comes from.
        start: (2,), anatomy millimetres.
        heading: radians, where the vessel begins to run.
        radius: of its beginning, anatomy millimetres.
        reach: how far it runs at most, anatomy millimetres.
        thinnest: vessels of a smaller radius are left out.
        away: radius about the origin into which no vessel grows.
        turning: radians per millimetre by which the first vessel bends all along its way.

    Returns:
        The branches, parents before their children.
    """
    waiting = [(np.asarray(start, float), heading, radius, reach, turning)]
    grown: list[Branch] = []
    while waiting:
        place, heading, radius, reach, turning = waiting.pop(0)
        step = 0.09 * rng.uniform(0.8, 1.2) * (1 + 6 * radius)
        line = [place]
        for _ in range(min(int(reach / step), int(rng.integers(4, 8)))):
            heading += turning * step + rng.normal(0, 0.14)
            place = place + step * np.array([np.cos(heading), np.sin(heading)])
            if np.hypot(*place) < away:
                break
            line.append(place)
        if len(line) < 2:
            continue
        end = 0.93 * radius
        path = np.column_stack([line, np.zeros(len(line))])
        grown.append(Branch(path, np.linspace(radius, end, len(line))))
        share = rng.uniform(*_CHILDREN)
        side = rng.choice((-1, 1))
        left = reach - step * (len(line) - 1)
        for part, angle, bend in ((share, -0.35 * (1 - share), turning), (1 - share, 0.9, 0.0)):
            child = end * np.cbrt(part)
            if child >= thinnest and left > step and np.hypot(*place) >= away:
                waiting.append((place, heading + side * angle * rng.uniform(0.7, 1.3), child, left, bend))
    return grown


def tree_distance(points: Array, branches: Sequence[Branch], voxel: float) -> Array:
    """Signed distance to the vessels, (X, Y, 1): negative inside; none is drawn narrower than about a voxel."""
    distance = np.full(points.shape[1:], np.float32(np.hypot(*EXTENT[:2]) * 10))
    for branch in branches:
        radii = np.maximum(branch.radii, _THINNEST * voxel)
        margin = float(radii.max()) + 3 * voxel
        low, high = branch.path.min(0)[:2] - margin, branch.path.max(0)[:2] + margin
        near = ((points[0] >= low[0]) & (points[0] <= high[0]) & (points[1] >= low[1]) & (points[1] <= high[1]))[..., 0]
        rows, columns = (np.flatnonzero(near.any(axis)) for axis in (1, 0))
        if rows.size:
            box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
            distance[box] = np.minimum(distance[box], tube(points[(slice(None), *box)], branch.path, radii))
    return distance


def _capillaries(rng: np.random.Generator, grid: Grid, fovea: Array) -> Array:
    """A mesh of thin bright threads, of another density from place to place, that ends at the fovea's rim."""
    threads = [np.abs(smooth_noise(rng, grid, length)) for length in (0.10, 0.14)]
    mesh = np.exp(-((np.minimum(*threads) / 0.28) ** 2))
    density = 78 + 20 * smooth_noise(rng, grid, 0.6)
    outside_fovea = np.clip(0.5 + fovea / 0.12, 0, 1)
    return np.asarray(18 + outside_fovea * (14 + density * mesh), np.float32)


def _scan(rng: np.random.Generator, signal: Array) -> Array:
    """Speckle, which multiplies, lines of eye movement, and noise; int16 within 0 and 255."""
    speckle = blurred(np.asarray(rng.gamma(6.0, 1 / 6.0, signal.shape), np.float32), 0.45)
    lines = np.ones((1, signal.shape[1], 1), np.float32)
    lines[:, rng.random(signal.shape[1]) < 0.03] = rng.uniform(0.75, 1.3)
    noisy = blurred(signal, 0.5) * speckle * lines + rng.normal(0, 6, signal.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.int16)
