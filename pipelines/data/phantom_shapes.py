"""Implicit shapes and smooth random fields: what the synthetic patients are built of.

Everything here lives in *anatomy millimetres*: the axes are x to the patient's left, y to the back, z to the head, the
origin is the middle of the field of view, and a drawn anatomy has the same size in these units whatever the field of
view is. A shape is the array of its signed distances at the points of a grid, negative inside, zero on the surface, and
approximate away from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a phantom lie.

    Attributes:
        points: (3, X, Y, Z) float32, anatomy millimetres.
        axes: the coordinates of the voxels along x, y and z, anatomy millimetres, symmetric about 0.
        voxel: the mean size of a voxel in anatomy millimetres.
    """

    points: Array
    axes: tuple[Array, ...]
    voxel: float

    @property
    def shape(self) -> tuple[int, ...]:
        """(X, Y, Z); Z is 1 for a single slice."""
        return self.points.shape[1:]


def make_grid(shape: Sequence[int], spacing_mm: Sequence[float], extent: Sequence[float]) -> Grid:
    """Lay a grid over an anatomy, which is scaled as a whole so that ``extent`` just covers the field of view.

    Args:
        shape: voxels along x, y[, z].
        spacing_mm: millimetres per voxel, in the same order.
        extent: the field of view for which the anatomy is drawn, in anatomy millimetres, x, y, z.

    Returns:
        The grid; with two axes, one slice at z = 0.
    """
    fields = [count * step for count, step in zip(shape, spacing_mm, strict=True)]
    scale = min(field / wanted for field, wanted in zip(fields, extent, strict=False))
    steps = [step / scale for step in spacing_mm]
    axes = [(np.arange(count) - (count - 1) / 2) * step for count, step in zip(shape, steps, strict=True)]
    axes += [np.zeros(1)] * (3 - len(axes))
    points = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    return Grid(points, tuple(axes), float(np.mean(steps)))


def smooth_noise(rng: np.random.Generator, grid: Grid, length: float) -> Array:
    """Draw a smooth random field of mean 0 and variance about 1.

    The field is a uniform cubic B-spline over knots ``length`` apart, so that the same generator gives the same field
    at every resolution.

    Args:
        rng: where the knots' values come from.
        grid: where to evaluate the field.
        length: distance between knots in anatomy millimetres, about the size of one bump.

    Returns:
        float32, the grid's shape.
    """
    return spline_noise(rng, grid.axes, (length, length, length))


def spline_noise(rng: np.random.Generator, axes: Sequence[Array], lengths: Sequence[float]) -> Array:
    """Draw what :func:`smooth_noise` draws, with bumps of another size along each axis.

    Args:
        rng: where the knots' values come from.
        axes: the coordinates along each of three axes, symmetric about 0.
        lengths: distance between knots along each of them.

    Returns:
        float32, a value for each point of the product of ``axes``.
    """
    weights = [_spline_weights(axis, length) for axis, length in zip(axes, lengths, strict=True)]
    knots = rng.standard_normal([matrix.shape[1] for matrix in weights]).astype(np.float32)
    for matrix in weights:  # takes the first axis away and puts its fine version last: after three they are in order
        knots = np.einsum("ijk,xi->jkx", knots, matrix)
    return knots * np.float32(3)  # the squared weights of an axis sum to 0.48 on average


def _spline_weights(positions: Array, length: float) -> Array:
    """Cubic B-spline weights, (positions, knots), of knots that cover the positions and lie about their middle."""
    half_field = positions[-1] * len(positions) / max(len(positions) - 1, 1)
    reach = int(np.ceil(half_field / length - 1e-6)) + 2
    distance = np.abs(positions[:, None] / length - np.arange(-reach, reach + 1)[None])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def rotation(rng: np.random.Generator, degrees: float) -> Array:
    """Draw a small rotation about each axis, uniform within plus and minus ``degrees``; a (3, 3) matrix."""
    a, b, c = np.deg2rad(rng.uniform(-degrees, degrees, 3))
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
    return about_z @ about_y @ about_x


def posed(
    rng: np.random.Generator, grid: Grid, *, shift: float, degrees: float, growth: float, warp: float, length: float
) -> Array:
    """Draw how one patient lies in the field of view: move, turn, grow and bend the whole anatomy.

    Args:
        rng: where every draw comes from.
        grid: the voxels.
        shift: largest displacement along each axis, anatomy millimetres.
        degrees: largest rotation about each axis.
        growth: largest relative change of size.
        warp: standard deviation of the smooth displacement, anatomy millimetres.
        length: size of the displacement's bumps, anatomy millimetres.

    Returns:
        (3, X, Y, Z) float32: the points of the undeformed anatomy that the voxels show.
    """
    offset = rng.uniform(-shift, shift, 3)
    turn = rotation(rng, degrees) / rng.uniform(1 - growth, 1 + growth)
    moved = grid.points - offset.astype(np.float32)[:, None, None, None]
    points = np.einsum("ij,jxyz->ixyz", turn.astype(np.float32), moved)
    return points + np.float32(warp) * np.stack([smooth_noise(rng, grid, length) for _ in range(3)])


def ellipsoid(points: Array, centre: ArrayLike, radii: ArrayLike) -> Array:
    """Signed distance to an axis-aligned ellipsoid, exact on its surface and to first order near it."""
    size = np.asarray(radii, np.float32)[:, None, None, None]
    relative = (points - np.asarray(centre, np.float32)[:, None, None, None]) / size
    level = np.sqrt(np.einsum("ixyz,ixyz->xyz", relative, relative))
    relative /= size
    slope = np.sqrt(np.einsum("ixyz,ixyz->xyz", relative, relative))
    return level * (level - 1) / np.maximum(slope, 1e-6)


def tube(points: Array, path: ArrayLike, radii: ArrayLike) -> Array:
    """Signed distance to a chain of straight pieces whose radius changes linearly along each.

    Args:
        points: (3, X, Y, Z).
        path: at least two points of the centre line.
        radii: the radius at each of them.
    """
    distance: Array | None = None
    line, widths = np.asarray(path, np.float32), np.asarray(radii, np.float32)
    for origin, end, first, last in zip(line[:-1], line[1:], widths[:-1], widths[1:], strict=True):
        axis = end - origin
        relative = points - origin[:, None, None, None]
        along = np.clip(np.einsum("i,ixyz->xyz", axis, relative) / np.float32(axis @ axis), 0, 1)
        relative -= along * axis[:, None, None, None]
        piece = np.sqrt(np.einsum("ixyz,ixyz->xyz", relative, relative)) - (first + along * (last - first))
        distance = piece if distance is None else np.minimum(distance, piece)
    if distance is None:
        raise ValueError(f"A tube needs at least two points, got {len(line)}.")
    return distance


def curve(path: ArrayLike, pieces: int) -> Array:
    """Round a centre line: ``pieces`` + 1 points on the smooth curve through ``path``, (pieces + 1, 3)."""
    from scipy.interpolate import CubicSpline

    knots = np.asarray(path, float)
    steps = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    return np.asarray(CubicSpline(steps, knots, bc_type="natural")(np.linspace(0, steps[-1], pieces + 1)))


def blend(first: Array, second: Array, radius: float) -> Array:
    """The union of two shapes with the crease between them filled by a fillet of about ``radius``."""
    mix = np.clip(0.5 + (second - first) / (2 * radius), 0, 1)
    return second + (first - second) * mix - radius * mix * (1 - mix)


def outside(shape: Array, other: Array, gap: Array | float) -> Array:
    """The part of ``shape`` that keeps a distance of ``gap`` from ``other``."""
    return np.maximum(shape, gap - other)


def solid(shape: Array) -> Array:
    """The voxels inside a shape without the crumbs that noise breaks off it: its largest connected part, bool.

    A single slice is kept as it is, since a slice through one body may show it in several parts.
    """
    from scipy.ndimage import label

    inside = shape <= 0
    parts, count = label(inside)
    if count < 2 or min(shape.shape) == 1:
        return inside
    return np.asarray(parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]))
