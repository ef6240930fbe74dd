"""Grids of voxels in the plane or in space, and the common isotropic grid on which two images are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from transforms.io.geometry import Geometry, Volume, spacing_of

MOST_VOXELS = 2**21
_IN_PLANE = 0.5

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an image lie.

    Args:
        shape: voxels along each of the d axes, d = 2 or 3.
        matrix: ``(d + 1, d + 1)``, homogeneous, array index to millimetres (RAS in 3D).
    """

    shape: tuple[int, ...]
    matrix: Matrix

    @property
    def dims(self) -> int:
        """Number of spatial axes."""
        return len(self.shape)

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Length of a step along each axis, in mm."""
        return np.asarray(np.linalg.norm(self.matrix[:-1, :-1], axis=0))

    @property
    def centre_mm(self) -> NDArray[np.float64]:
        """The middle of the field of view."""
        return apply(self.matrix, (np.array(self.shape, dtype=float) - 1) / 2)

    def corners_mm(self) -> NDArray[np.float64]:
        """The outer corners of the field of view, ``(2^d, d)``."""
        ends = [(-0.5, size - 0.5) for size in self.shape]
        return apply(self.matrix, np.array(list(product(*ends))))


def apply(matrix: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points ``(..., d)`` by a homogeneous matrix ``(d + 1, d + 1)``."""
    return np.asarray(points @ matrix[:-1, :-1].T + matrix[:-1, -1])


def inverse(matrix: Matrix) -> Matrix:
    """Give the inverse of a homogeneous matrix."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def translation(offset: NDArray[np.float64]) -> Matrix:
    """Give the homogeneous matrix that moves by ``offset``, ``(d,)``."""
    matrix = np.eye(len(offset) + 1)
    matrix[:-1, -1] = offset
    return matrix


def grid_of(image: Geometry | Volume) -> Grid:
    """Give the grid of an image that was read.

    A 2D image lies in the plane of the first two world axes when its own axes (nearly) do; else its plane has no place
    in the patient that another image could share, and the grid starts at 0.
    """
    dims = len(image.spacing)
    shape = tuple(image.shape) if isinstance(image, Geometry) else tuple(image.array.shape[-dims:])
    if dims == 3:
        return Grid(shape, np.array(image.affine, dtype=float))
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = image.affine[:2, :2], image.affine[:2, 3]
    if abs(np.linalg.det(matrix[:2, :2])) < _IN_PLANE * math.prod(spacing_of(image.affine, 2)):
        matrix = np.diag([*image.spacing, 1.0])
    return Grid(shape, matrix)


def working_grid(target: Grid, spacing_mm: float | None = None, most_voxels: int = MOST_VOXELS) -> Grid:
    """Give the isotropic grid, along the axes of ``target``, that covers its field of view.

    Args:
        target: the grid to cover; sheared axes are replaced by the nearest perpendicular ones.
        spacing_mm: length of a step; by default the geometric mean of the target's, so that an isotropic target is its
            own working grid.
        most_voxels: the step is made longer until there are no more than this many.
    """
    spacing = float(np.exp(np.log(target.spacing_mm).mean())) if spacing_mm is None else spacing_mm
    extent_mm = math.prod(max(float(n * s), spacing) for n, s in zip(target.shape, target.spacing_mm, strict=True))
    spacing = max(spacing, (extent_mm / most_voxels) ** (1 / target.dims))
    return covering_grid(target, perpendicular_axes(target), spacing)


def perpendicular_axes(grid: Grid) -> Matrix:
    """Give the orthonormal ``(d, d)`` directions nearest to those of the grid, as columns."""
    left, _, right = np.linalg.svd(grid.matrix[:-1, :-1] / grid.spacing_mm)
    return np.asarray(left @ right)


def covering_grid(grid: Grid, axes: Matrix, spacing_mm: float) -> Grid:
    """Give the grid along ``axes``, orthonormal columns, that covers the field of view of ``grid``; same centre."""
    reach = np.abs((grid.corners_mm() - grid.centre_mm) @ axes).max(axis=0)
    sizes = np.maximum(np.ceil(2 * reach / spacing_mm - 1e-3), 1).astype(int)
    matrix = np.eye(grid.dims + 1)
    matrix[:-1, :-1] = axes * spacing_mm
    matrix[:-1, -1] = grid.centre_mm - matrix[:-1, :-1] @ ((sizes - 1) / 2)
    return Grid(tuple(int(size) for size in sizes), matrix)


def overlap(first: Grid, second: Grid, shift_mm: NDArray[np.float64]) -> float:
    """Give the share of the smaller field of view that the other covers, by the boxes along the axes of ``first``.

    Args:
        first: one grid.
        second: the other.
        shift_mm: moves ``first`` before it is compared.
    """
    axes = perpendicular_axes(first)
    boxes = [
        (corners.min(axis=0), corners.max(axis=0))
        for corners in ((first.corners_mm() + shift_mm) @ axes, second.corners_mm() @ axes)
    ]
    sizes = [np.prod(high - low) for low, high in boxes]
    common = np.minimum(boxes[0][1], boxes[1][1]) - np.maximum(boxes[0][0], boxes[1][0])
    return float(np.prod(np.maximum(common, 0)) / min(sizes))
