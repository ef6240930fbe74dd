"""Where each voxel of one image lies in another: an affine and a field, applied together in one resampling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pipelines.registration.grids import Grid, Matrix, inverse, translation
from pipelines.registration.sampling import move_points, sample, voxel_indices


@dataclass(frozen=True)
class Transformation:
    """Maps places of the target to places of the atlas: ``x -> after (x + u(x))``, with ``x`` in voxels of ``grid``.

    Args:
        grid: the working grid, on which the field lives.
        after: ``(d + 1, d + 1)``, index of ``grid`` to millimetres in the atlas.
        field: ``u``, ``(d, *grid.shape)``, float32, in voxels of ``grid``; beyond the grid the border repeats. None for
            an affine alone.
    """

    grid: Grid
    after: Matrix
    field: torch.Tensor | None = None

    def atlas_points(self, target: Grid) -> torch.Tensor:
        """Give where each voxel of ``target`` lies in the atlas, ``(*shape, d)`` float64, in mm."""
        points = move_points(voxel_indices(target.shape).double(), inverse(self.grid.matrix) @ target.matrix)
        if self.field is not None:
            points = points + sample(self.field, points.float()).movedim(0, -1).double()
        return move_points(points, self.after)

    def displacements_mm(self, target: Grid) -> np.ndarray:
        """Give the way from each voxel of ``target`` to its place in the atlas, ``(d, *shape)`` float64, in mm."""
        moved = self.atlas_points(target) - move_points(voxel_indices(target.shape).double(), target.matrix)
        return np.asarray(moved.movedim(-1, 0).numpy())

    def is_finite(self) -> bool:
        """Whether every number of it is."""
        return bool(np.isfinite(self.after).all()) and (self.field is None or bool(self.field.isfinite().all()))

    def without_field(self) -> Transformation:
        """Give the affine alone."""
        return Transformation(self.grid, self.after)


def shifted_start(grid: Grid, shift_mm: np.ndarray) -> Transformation:
    """Give the transformation that only moves by ``shift_mm``, ``(d,)``."""
    return Transformation(grid, translation(shift_mm) @ grid.matrix)


def warp_image(array: np.ndarray, atlas: Grid, transformation: Transformation, target: Grid) -> np.ndarray:
    """Resample the atlas' image ``(H, W[, D])`` on the target's grid, linearly; float32, 0 outside the atlas."""
    values = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None]
    return np.asarray(sample(values, _atlas_indices(transformation, atlas, target), "zeros")[0].numpy())


def warp_label(label: np.ndarray, atlas: Grid, transformation: Transformation, target: Grid) -> np.ndarray:
    """Carry a label map to the target's grid in one resampling.

    Each class is interpolated linearly as a mask of its own and the greatest wins, background included: for one class
    that is a share above 0.5. Outside the atlas all is background.

    Args:
        label: ``(H, W[, D])``, whole numbers from 0.
        atlas: its grid.
        transformation: from the target to the atlas.
        target: the grid to fill.

    Returns:
        ``(*target.shape)`` of the dtype of ``label``.
    """
    points = _atlas_indices(transformation, atlas, target)
    classes = [int(value) for value in np.unique(label) if value != 0]
    winner = torch.zeros(target.shape, dtype=torch.int64)
    best: torch.Tensor = torch.zeros(target.shape)
    foreground = torch.zeros(target.shape)
    for value in classes:
        share = sample(torch.from_numpy((label == value).astype(np.float32))[None], points, "zeros")[0]
        winner = torch.where(share > best, value, winner)
        best = torch.maximum(best, share)
        foreground += share
    winner[best <= 1 - foreground] = 0
    return np.asarray(winner.numpy().astype(label.dtype))


def _atlas_indices(transformation: Transformation, atlas: Grid, target: Grid) -> torch.Tensor:
    return move_points(transformation.atlas_points(target), inverse(atlas.matrix)).float()


@dataclass(frozen=True)
class JacobianStatistics:
    """How a transformation changes volumes, over the voxels of the target.

    Args:
        lowest: least determinant; 1 keeps the volume, 0 and less folds.
        highest: greatest determinant.
        folded_share: share of the voxels whose determinant is 0 or less.
        log_deviation: standard deviation of the natural logarithm where it is positive.
    """

    lowest: float
    highest: float
    folded_share: float
    log_deviation: float


def jacobian_statistics(transformation: Transformation, target: Grid) -> JacobianStatistics:
    """Measure the determinant of the derivative of target-to-atlas, by central differences on the target's grid."""
    points = transformation.atlas_points(target).numpy()
    columns = [
        np.gradient(points, axis=axis) if size > 1 else np.broadcast_to(target.matrix[:-1, axis], points.shape)
        for axis, size in enumerate(target.shape)
    ]
    steps = np.stack(columns, axis=-1)  # (*shape, d, d): mm in the atlas for a step along each axis
    determinants = np.linalg.det(steps) / np.linalg.det(target.matrix[:-1, :-1])
    positive = determinants[determinants > 0]
    return JacobianStatistics(
        float(determinants.min()),
        float(determinants.max()),
        float((determinants <= 0).mean()),
        float(np.log(positive).std()) if positive.size else float("nan"),
    )
