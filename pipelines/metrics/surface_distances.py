"""Surface distances: computed once, read as ASD, ASSD, HD95 and NSD.

The surface of a mask is the set of its voxels that have a neighbour across a face outside the mask or outside the
image. Distances are exact, from voxel centre to voxel centre. MedPy and MONAI use the same surface, so their numbers
are ours. Packages that walk the faces between voxels and weigh by area (DeepMind's ``surface-distance``) give other
numbers by definition.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.metrics.overlap import State, binary_mask, presence_state
from transforms.io.input_error import InputError

__all__ = ["SurfaceDistances", "compute_surface_distances"]

# A search tree over the surface voxels wins while the surfaces are sparse in their box, a distance map of the box when
# they fill it. Measured on balls, atria and sponges: the two meet between 0.1 and 0.2 surface voxels per voxel.
_SPARSE_SURFACE = 0.12
# The distance map is single precision, so a distance that equals the tolerance may come out this much larger
# (relative).
_ROUNDING = 1e-6


@dataclass(frozen=True)
class SurfaceDistances:
    """All distances between the surfaces of two masks, in the unit of the spacing they were computed with.

    When the class is missing in one mask or in both, the two arrays are empty and every distance is NaN; NSD is then 0
    if one mask holds the class, and NaN if none does.

    Attributes:
        pred_to_reference: from each surface voxel of the prediction to the nearest of the reference, ascending.
        reference_to_pred: from each surface voxel of the reference to the nearest of the prediction, ascending.
        state: ``both_present``, ``both_empty``, ``missed`` (prediction empty) or ``spurious`` (reference empty).
    """

    pred_to_reference: NDArray[np.float64]
    reference_to_pred: NDArray[np.float64]
    state: State

    @property
    def asd_medpy(self) -> float:
        """One-way average surface distance: the mean of ``pred_to_reference``.

        This is ``medpy.metric.binary.asd(result, reference)``, the ASD of the dual-task consistency paper's tables, and
        MONAI's default. It does not see parts of the reference that the prediction has missed: read it with ``assd`` or
        HD95.
        """
        return float(self.pred_to_reference.mean()) if self.state == "both_present" else float("nan")

    @property
    def assd(self) -> float:
        """Average symmetric surface distance: the mean of both directions pooled (Heimann et al. 2009).

        This is MedPy's ``assd`` (0.5.2), and MONAI's with ``symmetric=True``. Each surface voxel has one vote, so
        this is not the mean of the two directed averages when the surfaces differ in size.
        """
        if self.state != "both_present":
            return float("nan")
        total = self.pred_to_reference.sum() + self.reference_to_pred.sum()
        return float(total / (self.pred_to_reference.size + self.reference_to_pred.size))

    @property
    def hd(self) -> float:
        """Hausdorff distance: the largest distance of either direction."""
        if self.state != "both_present":
            return float("nan")
        return float(max(self.pred_to_reference[-1], self.reference_to_pred[-1]))

    @property
    def hd95(self) -> float:
        """95th percentile of both directions pooled, as ``medpy.metric.binary.hd95``; linear between ranks.

        MONAI's ``compute_hausdorff_distance(percentile=95)`` is ``hd95_directed`` instead.
        """
        if self.state != "both_present":
            return float("nan")
        return float(np.percentile(np.concatenate([self.pred_to_reference, self.reference_to_pred]), 95))

    @property
    def hd95_directed(self) -> float:
        """The larger of the two directions' 95th percentiles, as MONAI defines HD95."""
        if self.state != "both_present":
            return float("nan")
        return float(max(np.percentile(self.pred_to_reference, 95), np.percentile(self.reference_to_pred, 95)))

    def nsd(self, tolerance: float) -> float:
        """Normalised surface Dice: the share of both surfaces within ``tolerance`` of the other (Nikolov et al. 2018).

        Counted in surface voxels, as MONAI's ``compute_surface_dice`` does by default, not in area.

        Args:
            tolerance: in the unit of the spacing (mm); a distance equal to it, up to rounding, is within.

        Returns:
            0 to 1; 0 when one mask is empty, NaN when both are.

        Raises:
            ValueError: when the tolerance is negative, NaN or infinite.
        """
        if not (np.isfinite(tolerance) and tolerance >= 0):
            raise ValueError(f"tolerance must be a finite number >= 0, got {tolerance}.")
        if self.state != "both_present":
            return float("nan") if self.state == "both_empty" else 0.0
        limit = tolerance * (1 + _ROUNDING)
        within = sum(int(np.searchsorted(d, limit, "right")) for d in (self.pred_to_reference, self.reference_to_pred))
        return within / (self.pred_to_reference.size + self.reference_to_pred.size)


def compute_surface_distances(
    pred: ArrayLike, reference: ArrayLike, spacing_mm: float | Sequence[float], threads: int | None = None
) -> SurfaceDistances:
    """Compute all distances between the surfaces of two masks.

    Only the box around both masks is looked at, so an object in a large image costs what the object costs.

    Args:
        pred: the mask to judge, 1 to 3 axes, bool or only 0 and 1.
        reference: the mask to judge it by, of the same shape.
        spacing_mm: voxel size per array axis, or one number for all; 1 gives distances in voxels.
        threads: how many threads may work; all cores by default.

    Returns:
        The sorted distances of both directions and the state. Exact to double precision when the surfaces are sparse in
        their box or the voxels isotropic, else to single precision (relative 1e-6).

    Raises:
        InputError: when the shapes differ, a mask is no mask, there are more than 3 axes, or a spacing is not a finite
            number above 0.

    Example:
        >>> compute_surface_distances([1, 0, 0, 0], [0, 0, 1, 0], spacing_mm=0.5).hd95
        1.0
    """
    inside_pred, inside_reference = binary_mask(pred, "prediction"), binary_mask(reference, "reference")
    if inside_pred.shape != inside_reference.shape:
        raise InputError("prediction", f"has shape {inside_pred.shape}, but the reference has {inside_reference.shape}")
    if not 1 <= inside_pred.ndim <= 3:
        raise InputError("prediction", f"has {inside_pred.ndim} axes; surface distances are defined for 1 to 3")
    spacing = _checked_spacing(spacing_mm, inside_pred.ndim)
    state = presence_state(bool(inside_pred.any()), bool(inside_reference.any()))
    if state != "both_present":
        return SurfaceDistances(np.empty(0), np.empty(0), state)
    box = _bounding_box(inside_pred | inside_reference)
    surface_pred, surface_reference = _surface(inside_pred[box]), _surface(inside_reference[box])
    unit = float(spacing.min())
    threads = threads or os.cpu_count() or 1
    return SurfaceDistances(
        _directed(surface_pred, surface_reference, spacing / unit, threads) * unit,
        _directed(surface_reference, surface_pred, spacing / unit, threads) * unit,
        state,
    )


def _checked_spacing(spacing: float | Sequence[float], axes: int) -> NDArray[np.float64]:
    """Give one spacing per axis, or refuse."""
    values = np.atleast_1d(np.asarray(spacing, dtype=np.float64))
    values = np.repeat(values, axes) if values.shape == (1,) else values
    if values.shape != (axes,):
        raise InputError("spacing", f"has {values.size} numbers, but the masks have {axes} axes")
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise InputError("spacing", f"must be finite and above 0 in every axis, got {values.tolist()}")
    return values


def _bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box that holds all of a mask that is not empty."""
    box = []
    for axis in range(mask.ndim):
        filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return tuple(box)


def _surface(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The voxels of ``mask`` with a face neighbour outside it; what is beyond the array is outside."""
    padded = np.pad(mask, 1)
    core = (slice(1, -1),) * mask.ndim
    eroded = mask.copy()
    for axis in range(mask.ndim):
        for neighbour in (slice(None, -2), slice(2, None)):
            eroded &= padded[core[:axis] + (neighbour,) + core[axis + 1 :]]
    surface: NDArray[np.bool_] = mask & ~eroded
    return surface


def _directed(
    source: NDArray[np.bool_], target: NDArray[np.bool_], spacing: NDArray[np.float64], threads: int
) -> NDArray[np.float64]:
    """Distances from each voxel of ``source`` to the nearest of ``target``, ascending. Neither is empty."""
    away = source & ~target
    touching = np.zeros(int(np.count_nonzero(source)) - int(np.count_nonzero(away)))
    if away.any():
        points = np.count_nonzero(source) + np.count_nonzero(target)
        measure = _by_tree if points <= _SPARSE_SURFACE * source.size else _by_distance_map
        return np.concatenate([touching, np.sort(measure(away, target, spacing, threads))])
    return touching


def _by_tree(
    source: NDArray[np.bool_], target: NDArray[np.bool_], spacing: NDArray[np.float64], threads: int
) -> NDArray[np.float64]:
    """Nearest neighbours by a k-d tree over the target's voxels."""
    from scipy.spatial import KDTree

    tree = KDTree(np.argwhere(target) * spacing, leafsize=32, balanced_tree=False)
    distances: NDArray[np.float64] = tree.query(np.argwhere(source) * spacing, workers=threads)[0]
    return distances


def _by_distance_map(
    source: NDArray[np.bool_], target: NDArray[np.bool_], spacing: NDArray[np.float64], threads: int
) -> NDArray[np.float64]:
    """Nearest neighbours by the Euclidean distance map of the target (Felzenszwalb and Huttenlocher 2012)."""
    import edt

    outside: NDArray[Any] = np.ascontiguousarray(~target)
    anisotropy = tuple(spacing.tolist()) if outside.ndim > 1 else float(spacing[0])
    squared = edt.edtsq(outside, anisotropy=anisotropy, parallel=threads)
    # Whole squares of isotropic voxels are exact in single precision; the root is taken in double.
    distances: NDArray[np.float64] = np.sqrt(squared[source].astype(np.float64))
    return distances
