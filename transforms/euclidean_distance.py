"""Euclidean distances of label maps, signed and unsigned: exact, and defined for every mask. Needs numpy and ``edt``.

Signed: one pass of ``edt`` over a two-valued array gives both sides at once, every voxel the distance to the nearest
voxel of the other value. The faces of the volume belong to neither side, since nothing is known of what lies beyond
them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, Literal

import edt
import numpy as np
import numpy.typing as npt

DistanceMode = Literal["metric", "dtc"]
Normalization = Literal["none", "max", "clip"]
MODES = ("metric", "dtc")
NORMALIZATIONS = ("none", "max", "clip")
DTC_FULL = -1.0

FloatMap = npt.NDArray[np.float32]


def available_threads() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_settings(num_classes: int, mode: str, max_distance: float | None, normalize: bool, has_spacing: bool) -> None:
    """Refuse settings of a signed distance map that contradict each other.

    Args:
        num_classes: number of foreground classes K.
        mode: ``metric`` or ``dtc``.
        max_distance: where the distances are clipped, in mm, or ``None``.
        normalize: whether the distances are divided by ``max_distance``.
        has_spacing: whether a spacing is given by hand.

    Raises:
        ValueError: for a setting out of its range, and for metric settings in mode ``dtc``, which knows no units.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}.")
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}.")
    if mode == "dtc" and (has_spacing or max_distance is not None or normalize):
        raise ValueError("mode 'dtc' is in voxels and scales itself: spacing, max_distance and normalize do not apply.")
    if max_distance is not None and not (math.isfinite(max_distance) and max_distance > 0):
        raise ValueError(f"max_distance must be positive and finite, got {max_distance}.")
    if normalize and max_distance is None:
        raise ValueError("normalize=True divides by max_distance, which is not given.")


def check_spacing(spacing: float | Sequence[float] | None, spatial_dims: int) -> tuple[float, ...]:
    """Give one spacing per axis.

    Args:
        spacing: one number for all axes, one per axis in the order of the array's axes, or ``None`` for 1.
        spatial_dims: number of axes.

    Raises:
        ValueError: when the count is wrong or a spacing is not positive and finite.
    """
    if spacing is None:
        return (1.0,) * spatial_dims
    values = np.asarray(spacing, dtype=np.float64).reshape(-1)
    if values.size == 1:
        values = np.repeat(values, spatial_dims)
    if values.size != spatial_dims:
        raise ValueError(f"spacing must have {spatial_dims} values, one per axis, got {values.size}.")
    if not np.all(np.isfinite(values) & (values > 0)):
        raise ValueError(f"spacing must be positive and finite, got {tuple(values.tolist())}.")
    return tuple(values.tolist())


def signed_distance(
    label: npt.NDArray[Any],
    num_classes: int = 1,
    mode: DistanceMode = "metric",
    spacing: float | Sequence[float] | None = None,
    max_distance: float | None = None,
    normalize: bool = False,
    threads: int = 0,
) -> FloatMap:
    """Compute the signed distance map of each foreground class; negative inside, positive outside.

    Mode ``metric``: outside, the distance to the nearest voxel centre of the class; inside, minus the distance to the
    nearest voxel centre that is not of the class. A voxel at the border has plus or minus one voxel step, never 0, so
    structures of one voxel keep their sign. An empty class is ``+max_distance`` everywhere (the volume's diagonal when
    there is no ``max_distance``), a class that fills the map is minus the same.

    Mode ``dtc``: the target of dual-task consistency as its authors compute it, in voxels. Each side is scaled by its
    own maximum to [0, 1] and [-1, 0], and voxels of the class that share a face with another value are 0. An empty
    class is 0 everywhere; one that fills the map is -1 everywhere, where the published code divides 0 by 0.

    Args:
        label: integers 0..``num_classes``, shape (H, W) or (H, W, D), any dtype and memory order.
        num_classes: number of foreground classes K.
        mode: ``metric`` or ``dtc``.
        spacing: voxel size in mm, one number or one per axis; ``None`` measures in voxels.
        max_distance: clip distances here, in the unit of ``spacing``.
        normalize: divide by ``max_distance``, so that values lie in [-1, 1].
        threads: threads of the distance transform; 0 takes every processor that the process may use.

    Returns:
        float32 of shape (K, H, W[, D]), finite; the memory order of ``label`` is kept when K is 1.

    Raises:
        ValueError: for labels that are fractional, negative, above ``num_classes`` or not finite, for another number of
            axes, a map without voxels, a bad spacing, or settings that contradict each other.

    References:
        Luo et al., Semi-supervised Medical Image Segmentation through Dual-task Consistency, AAAI 2021.
        Felzenszwalb and Huttenlocher, Distance Transforms of Sampled Functions, Theory of Computing 2012.
    """
    check_settings(num_classes, mode, max_distance, normalize, spacing is not None)
    if label.ndim not in (2, 3) or label.size == 0:
        raise ValueError(f"a label map must have 2 or 3 axes and at least one voxel, got shape {label.shape}.")
    steps = check_spacing(spacing, label.ndim)
    inside, counts = _class_masks(label, num_classes)
    if threads < 1:
        threads = available_threads()
    if mode == "dtc":
        maps = [_dtc_map(mask, count, threads) for mask, count in zip(inside, counts, strict=True)]
    else:
        far = math.dist((0.0,) * label.ndim, [n * s for n, s in zip(label.shape, steps, strict=True)])
        limit = far if max_distance is None else max_distance
        maps = [_metric_map(mask, count, steps, limit, threads) for mask, count in zip(inside, counts, strict=True)]
        if max_distance is not None:
            for distances in maps:
                np.clip(distances, -max_distance, max_distance, out=distances)
                if normalize:
                    distances /= np.float32(max_distance)
    return maps[0][None] if num_classes == 1 else np.stack(maps)


def check_unsigned_settings(num_classes: int, normalize: str, max_distance: float | None) -> None:
    """Refuse settings of an unsigned distance map that contradict each other.

    Args:
        num_classes: number of foreground classes K.
        normalize: ``none``, ``max`` or ``clip``.
        max_distance: where the distances are clipped, in the unit of the spacing, or ``None``.

    Raises:
        ValueError: for a setting out of its range, for ``clip`` without ``max_distance`` and ``max`` with it.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}.")
    if normalize not in NORMALIZATIONS:
        raise ValueError(f"normalize must be one of {', '.join(NORMALIZATIONS)}, got {normalize!r}.")
    if max_distance is not None and not (math.isfinite(max_distance) and max_distance > 0):
        raise ValueError(f"max_distance must be positive and finite, got {max_distance}.")
    if normalize == "clip" and max_distance is None:
        raise ValueError("normalize='clip' divides by max_distance, which is not given.")
    if normalize == "max" and max_distance is not None:
        raise ValueError("normalize='max' divides by the map's own maximum: max_distance does not apply.")


def unsigned_distance(
    label: npt.NDArray[Any],
    num_classes: int = 1,
    normalize: Normalization = "none",
    spacing: float | Sequence[float] | None = None,
    max_distance: float | None = None,
    threads: int = 0,
) -> FloatMap:
    """Compute the distance of every voxel to the nearest voxel centre of each foreground class; 0 on the class.

    An empty class is ``max_distance`` everywhere (the volume's diagonal when there is no ``max_distance``), which is 1
    where the map is normalised. A class that fills the map is 0 everywhere.

    Args:
        label: integers 0..``num_classes``, shape (H, W) or (H, W, D), any dtype and memory order.
        num_classes: number of foreground classes K.
        normalize: ``none`` keeps the unit of ``spacing``; ``clip`` divides by ``max_distance``, so that a value means
            the same distance in every image; ``max`` divides by the largest distance of the map, which differs from
            image to image. Both give [0, 1].
        spacing: voxel size in mm, one number or one per axis; ``None`` measures in voxels.
        max_distance: clip distances here, in the unit of ``spacing``.
        threads: threads of the distance transform; 0 takes every processor that the process may use.

    Returns:
        float32 of shape (K, H, W[, D]), finite, never negative.

    Raises:
        ValueError: as :func:`signed_distance`, and for settings that contradict each other.
    """
    check_unsigned_settings(num_classes, normalize, max_distance)
    if label.ndim not in (2, 3) or label.size == 0:
        raise ValueError(f"a label map must have 2 or 3 axes and at least one voxel, got shape {label.shape}.")
    steps = check_spacing(spacing, label.ndim)
    inside, counts = _class_masks(label, num_classes)
    far = math.dist((0.0,) * label.ndim, [n * s for n, s in zip(label.shape, steps, strict=True)])
    maps = [
        _to_nearest(mask, count, steps, far, threads if threads > 0 else available_threads())
        for mask, count in zip(inside, counts, strict=True)
    ]
    for distances in maps:
        if max_distance is not None:
            np.minimum(distances, np.float32(max_distance), out=distances)
        scale = max_distance if normalize == "clip" else float(distances.max()) if normalize == "max" else None
        if scale:  # 0 where a class fills the map, which then stays 0
            distances /= np.float32(scale)
    return np.stack(maps)


def _to_nearest(
    inside: npt.NDArray[np.bool_], count: int, steps: tuple[float, ...], far: float, threads: int
) -> FloatMap:
    """One class in the unit of the spacing; ``far`` where there is nothing to be near to."""
    if count == 0:
        return np.full(inside.shape, far, dtype=np.float32)
    distances: FloatMap = edt.edt(np.logical_not(inside), anisotropy=steps, black_border=False, parallel=threads)
    return distances


def _class_masks(label: npt.NDArray[Any], num_classes: int) -> tuple[list[npt.NDArray[np.bool_]], list[int]]:
    """Split a label map into one mask per class; every voxel must belong to a class or to the background."""
    masks = [np.equal(label, value) for value in range(1, num_classes + 1)]
    counts = [int(np.count_nonzero(mask)) for mask in masks]
    if sum(counts) + int(np.count_nonzero(label == 0)) != label.size:
        bad = label[~np.isin(label, np.arange(num_classes + 1))].reshape(-1)[0]
        raise ValueError(f"labels must be the integers 0 to {num_classes}, found {bad}.")
    return masks, counts


def _signed(inside: npt.NDArray[np.bool_], steps: tuple[float, ...], threads: int) -> FloatMap:
    """Distance to the nearest voxel of the other side, negative inside; both sides must be there."""
    sides = inside.view(np.uint8) + np.uint8(1)
    distances: FloatMap = edt.edt(sides, anisotropy=steps, black_border=False, parallel=threads)
    return np.negative(distances, out=distances, where=inside)


def _metric_map(
    inside: npt.NDArray[np.bool_], count: int, steps: tuple[float, ...], limit: float, threads: int
) -> FloatMap:
    """One class in the unit of the spacing; ``limit`` stands for a side that is not there."""
    if count in (0, inside.size):
        return np.full(inside.shape, limit if count == 0 else -limit, dtype=np.float32)
    return _signed(inside, steps, threads)


def _dtc_map(inside: npt.NDArray[np.bool_], count: int, threads: int) -> FloatMap:
    """One class in the published form: each side by its own maximum, inner boundary 0."""
    if count in (0, inside.size):
        return np.full(inside.shape, 0.0 if count == 0 else DTC_FULL, dtype=np.float32)
    distances = _signed(inside, (1.0,) * inside.ndim, threads)
    # At unit spacing a voxel lies exactly 1 from the other side when, and only when, it shares a face with it.
    off_boundary = distances != -1.0
    scaled = np.where(inside, distances / -distances.min(), distances / distances.max())
    scaled *= off_boundary
    return scaled
