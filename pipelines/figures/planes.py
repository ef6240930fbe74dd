"""Which planes of a case a picture shows, and how they lie on the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray[Any, np.dtype[Any]]

# Axis a plane is cut through, its name, whether its second axis points up the page, letters left, right, top, bottom.
_VIEWS = (
    (2, "axial", False, "RLAP"),
    (1, "coronal", True, "RLSI"),
    (0, "sagittal", True, "APSI"),
)
# How much is shown around what is segmented: a share of its largest extent, but not less than so many mm.
_MARGIN_SHARE, _LEAST_MARGIN_MM = 0.5, 10.0


@dataclass(frozen=True)
class Plane:
    """One plane through a case.

    Attributes:
        title: what it is, in a few words.
        axis: the axis that it is cut through; None for a 2D case.
        index: where.
        window: the part that is shown, a slice for each of the two other axes.
        upward: whether the second of them points up the page; the first always points right.
        spacing_mm: pixel size along the two axes.
        letters: directions at the left, right, top and bottom edge; empty when they are not known.
    """

    title: str
    axis: int | None
    index: int
    window: tuple[slice, slice]
    upward: bool
    spacing_mm: tuple[float, float]
    letters: str

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height of what is shown."""
        across, along = (part.stop - part.start for part in self.window)
        return across * self.spacing_mm[0], along * self.spacing_mm[1]

    def cut(self, array: Array) -> Array:
        """The plane of an array of the case's shape, as rows and columns from the page's top, (height, width)."""
        flat = array if self.axis is None else array.take(self.index, axis=self.axis)
        flat = flat[self.window].T
        return flat[::-1] if self.upward else flat


def to_lps(array: Array, affine: ArrayLike) -> tuple[Array, tuple[float, ...], tuple[bool, ...]]:
    """Turn a volume so that its axes point to the patient's left, back and head, as nearly as its own axes allow.

    Args:
        array: (X, Y, Z).
        affine: (4, 4) voxel index to NIfTI world (RAS+) millimetres.

    Returns:
        The turned volume, without resampling; its spacing in mm; which of its axes run against the file's.
    """
    from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

    matrix = np.asarray(affine, float)
    change = ornt_transform(io_orientation(matrix), axcodes2ornt(("L", "P", "S")))
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    order = np.argsort(change[:, 0])
    spacing = tuple(float(length) for length in lengths[order])
    return apply_orientation(array, change), spacing, tuple(bool(sign < 0) for sign in change[order, 1])


def choose_planes(
    mask: Array, spacing_mm: Sequence[float], oriented: bool, flipped: Sequence[bool] = (False, False, False)
) -> list[Plane]:
    """Choose the planes of a case: through the middle of what is segmented, cropped when that is small in the image.

    Args:
        mask: (X, Y[, Z]) bool: what is segmented; when nothing is, the middle of the image is shown.
        spacing_mm: voxel size, same order.
        oriented: whether the axes point to the patient's left, back and head.
        flipped: which axes run against the file's; slices are numbered from 1 as the file has them.

    Returns:
        Three planes of a volume (those through an axis of one voxel alone when there is one); one of a 2D image.
    """
    windows = _windows(mask, spacing_mm)
    if mask.ndim == 2:
        spacing = (float(spacing_mm[0]), float(spacing_mm[1]))
        return [Plane("", None, 0, (windows[0], windows[1]), False, spacing, "")]
    flat = [axis for axis, count in enumerate(mask.shape) if count == 1]
    planes = []
    for axis, name, upward, letters in _VIEWS:
        if flat and axis not in flat:
            continue
        index = _middle(mask, axis)
        first, second = (other for other in range(3) if other != axis)
        number = mask.shape[axis] - index if flipped[axis] else index + 1
        planes.append(
            Plane(
                title=f"{name if oriented else 'slice'} {number} of {mask.shape[axis]}",
                axis=axis,
                index=index,
                window=(windows[first], windows[second]),
                upward=upward,
                spacing_mm=(float(spacing_mm[first]), float(spacing_mm[second])),
                letters=letters if oriented else "",
            )
        )
    return planes


def _middle(mask: Array, axis: int) -> int:
    """The slice through the mask's centre, or the one with most of it when that has none."""
    area = mask.sum(tuple(other for other in range(3) if other != axis))
    if not area.any():
        return mask.shape[axis] // 2
    centre = round(float(np.average(np.arange(len(area)), weights=area)))
    return centre if area[centre] else int(area.argmax())


def _windows(mask: Array, spacing_mm: Sequence[float]) -> list[slice]:
    """The part of each axis that is shown: the mask and the same margin on all sides, as far as the image goes."""
    if not mask.any():
        return [slice(0, count) for count in mask.shape]
    spans = []
    for axis in range(mask.ndim):
        inside = np.flatnonzero(mask.any(tuple(other for other in range(mask.ndim) if other != axis)))
        spans.append((int(inside[0]), int(inside[-1]) + 1))
    largest = max((stop - start) * step for (start, stop), step in zip(spans, spacing_mm, strict=True))
    margin = max(_MARGIN_SHARE * largest, _LEAST_MARGIN_MM)
    return [
        slice(max(start - round(margin / step), 0), min(stop + round(margin / step), count))
        for (start, stop), step, count in zip(spans, spacing_mm, mask.shape, strict=True)
    ]
