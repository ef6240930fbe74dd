"""Resampling between grids whose axes are parallel: axis by axis, which for linear interpolation is the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["parallel_axes", "resample_labels", "resample_linear", "share_inside"]

# What affines in float32 headers lose must not make a voxel centre miss its voxel, or fall off the border, nor decide
# between halves.
ON_VOXEL = 1e-3
TIE = 1e-3


def parallel_axes(to_source: npt.NDArray[np.float64]) -> tuple[int, int, int]:
    """Say along which source axis each target axis runs.

    Args:
        to_source: 4x4, target index to source index.

    Raises:
        ValueError: when a target axis runs along more than one, or two along the same.
    """
    linear = np.abs(to_source[:3, :3])
    axes = tuple(int(axis) for axis in linear.argmax(axis=0))
    rest = linear.copy()
    rest[axes, range(3)] = 0
    if sorted(axes) != [0, 1, 2] or rest.max() > 1e-6 * linear.max():
        raise ValueError(f"The axes of the two grids are not parallel: {to_source[:3, :3].tolist()}.")
    return axes[0], axes[1], axes[2]


def resample_linear(
    array: npt.NDArray[np.generic], to_source: npt.NDArray[np.float64], shape: Sequence[int], fill: float
) -> npt.NDArray[np.float32]:
    """Interpolate linearly at the voxels of another grid.

    A voxel whose centre lies beyond the outermost voxel centres of the source gets ``fill``. Where voxel centres of
    both grids coincide, values are exact.

    Args:
        array: (H, W, D).
        to_source: 4x4, index on the other grid to index in ``array``; axes parallel (see :func:`parallel_axes`).
        shape: of the other grid.
        fill: value outside.

    Returns:
        float32, of ``shape``.
    """
    region, places, box = _overlap(array, to_source, shape)
    result = np.full(tuple(shape), fill, np.float32)
    result[box] = _interpolated(region, places)
    return result


def share_inside(source_shape: Sequence[int], to_source: npt.NDArray[np.float64], shape: Sequence[int]) -> float:
    """Give the share of the voxels of another grid whose centres lie within a source of ``source_shape``, 0 to 1."""
    _, places, _ = _overlap(np.broadcast_to(np.uint8(0), tuple(source_shape)), to_source, shape)
    return math.prod(len(inside) / size for inside, size in zip(places, shape, strict=True))


def resample_labels(
    array: npt.NDArray[np.generic], to_source: npt.NDArray[np.float64], shape: Sequence[int]
) -> npt.NDArray[np.uint8 | np.uint16 | np.int32]:
    """Interpolate a label map: each class as a mask of its own, linearly.

    A voxel is foreground where the masks of all classes sum to more than 0.5, and takes the class with the largest
    share (the lowest of equal ones). With one class that is "interpolated mask > 0.5"; with several, classes that touch
    keep touching, where a threshold per class would leave a gap.

    Args:
        array: (H, W, D), whole numbers from 0.
        to_source: see :func:`resample_linear`.
        shape: of the other grid.

    Returns:
        Labels of ``shape``; 0 outside the source.
    """
    region, places, box = _overlap(array, to_source, shape)
    classes = [int(value) for value in np.unique(region[region != 0])]
    dtype = next(kind for kind in (np.uint8, np.uint16, np.int32) if max(classes, default=0) <= np.iinfo(kind).max)
    labels = np.zeros(tuple(shape), dtype)
    found = labels[box]
    best = np.zeros(found.shape, np.float32)
    total = np.zeros(found.shape, np.float32)
    for value in classes:
        part = _interpolated(region == value, places)
        found[part > best + TIE] = value
        np.maximum(best, part, out=best)
        total += part
    found[total <= 0.5 + TIE] = 0
    return labels


def _overlap(
    array: npt.NDArray[Any], to_source: npt.NDArray[np.float64], shape: Sequence[int]
) -> tuple[npt.NDArray[Any], list[npt.NDArray[np.float64]], tuple[slice, ...]]:
    """Find where a grid and a source overlap.

    Returns:
        The part of ``array`` that is looked at, its axes in the order of the grid's; for each axis of the grid, where
        in that part its voxels look, those outside left out; and where in the grid the others are.
    """
    axes = parallel_axes(to_source)
    region = np.transpose(array, axes)
    places, box = [], []
    for target, source in enumerate(axes):
        along = to_source[source, target] * np.arange(shape[target]) + to_source[source, 3]
        rounded = np.rint(along)
        along = np.where(np.abs(along - rounded) < ON_VOXEL, rounded, along)
        inside = np.flatnonzero((along >= 0) & (along <= region.shape[target] - 1))
        # The inside is one stretch, since places go up or down evenly.
        stretch = slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)
        along = along[stretch]
        first = math.floor(along.min()) if len(along) else 0
        last = math.ceil(along.max()) if len(along) else -1
        region = region[(slice(None),) * target + (slice(first, last + 1),)]
        places.append(along - first)
        box.append(stretch)
    return region, places, tuple(box)


def _interpolated(region: npt.NDArray[Any], places: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float32]:
    """Interpolate linearly at the places along each axis, all of which lie within ``region``."""
    values = region
    for axis, along in enumerate(places):
        low = np.floor(along).astype(int)
        share = (along - low).astype(np.float32)
        lower = np.take(values, low, axis=axis)
        if share.any():
            upper = np.take(values, np.minimum(low + 1, max(values.shape[axis] - 1, 0)), axis=axis)
            weight = share.reshape([-1 if other == axis else 1 for other in range(values.ndim)])
            values = lower.astype(np.float32) * (1 - weight) + upper.astype(np.float32) * weight
        else:
            values = lower
    return np.asarray(values, dtype=np.float32)
