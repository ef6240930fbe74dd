"""Contours of a DICOM RT Structure Set as a mask on the grid of their series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from transforms.io.dicom_series import DicomSeries
from transforms.io.dicom_source import quiet
from transforms.io.geometry import LPS_TO_RAS
from transforms.io.input_error import InputError
from transforms.io.verified_bytes import require_readable

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
# How far from the middle of a slice a contour may lie, in slices: rounded positions, not another slice.
_OFF_SLICE = 0.1


def rtstruct_mask(file: str | Path, series: DicomSeries, roi_name: str) -> np.ndarray:
    """Fill the contours of one region.

    A voxel belongs to the region when its middle is inside an odd number of the contours of its slice, so a contour
    within another cuts a hole. A middle that lies exactly on a contour belongs to one side alone.

    Args:
        file: the structure set.
        series: the images that the contours were drawn on.
        roi_name: name of the region.

    Returns:
        (columns, rows, slices), bool.

    Raises:
        InputError: naming the file, for what is no structure set, no or several regions of that name, a region without
            contours or with open ones, another frame of reference, and contours off the slices of ``series``.
    """
    file = Path(file)
    roi, contours = _region(file, _structure_set(file), roi_name)
    frame = series.headers[0].get("FrameOfReferenceUID")
    if not frame or roi.get("ReferencedFrameOfReferenceUID") != frame:
        raise InputError(file, f"region {roi_name!r} lies in another frame of reference than the series")
    columns, rows, slices = series.geometry.shape
    flips = np.zeros((slices, rows, columns), dtype=np.int32)
    to_index = np.linalg.inv(LPS_TO_RAS @ series.geometry.affine)
    for contour in contours:
        points = _points(file, contour) @ to_index[:3, :3].T + to_index[:3, 3]
        plane = round(float(points[0, 2]))
        if np.abs(points[:, 2] - plane).max() > _OFF_SLICE or not 0 <= plane < slices:
            raise InputError(file, f"region {roi_name!r} has contours that do not lie on the slices of the series")
        _flip(flips[plane], points[:, :2])
    return np.ascontiguousarray((flips.cumsum(axis=2) % 2 == 1).transpose(2, 1, 0))


def _structure_set(file: Path) -> Dataset:
    import pydicom
    from pydicom.uid import RTStructureSetStorage

    require_readable(file)
    try:
        with quiet():
            data = pydicom.dcmread(file)
    except Exception as fault:
        raise InputError(file, f"is no readable DICOM file ({type(fault).__name__})") from fault
    if data.get("SOPClassUID") != RTStructureSetStorage:
        raise InputError(file, "is no RT Structure Set")
    return data


def _region(file: Path, data: Dataset, name: str) -> tuple[Dataset, Sequence[Dataset]]:
    regions = data.get("StructureSetROISequence") or []
    found = [roi for roi in regions if str(roi.get("ROIName", "")).strip() == name.strip()]
    if len(found) != 1:
        names = ", ".join(sorted(str(roi.get("ROIName", "")) for roi in regions)) or "none"
        raise InputError(file, f"holds {len(found) or 'no'} regions called {name!r}; it has: {names}")
    number = found[0].get("ROINumber")
    drawn = [item for item in data.get("ROIContourSequence") or [] if item.get("ReferencedROINumber") == number]
    contours = [contour for item in drawn for contour in item.get("ContourSequence") or []]
    if not contours:
        raise InputError(file, f"region {name!r} has no contours")
    return found[0], contours


def _points(file: Path, contour: Dataset) -> np.ndarray:
    """Give the corners (n, 3) of a closed contour, in mm, LPS."""
    kind = contour.get("ContourGeometricType", "")
    if kind not in _CLOSED:
        raise InputError(file, f"has a contour of type {kind or 'unknown'}; closed planar ones are filled")
    try:
        values = np.array([float(value) for value in contour.get("ContourData") or []])
    except (TypeError, ValueError) as fault:
        raise InputError(file, "has a contour whose points are no numbers") from fault
    if len(values) < 9 or len(values) % 3 or not np.isfinite(values).all():
        raise InputError(file, "has a contour that is not made of three or more points")
    return values.reshape(-1, 3)


def _flip(flips: np.ndarray, corners: np.ndarray) -> None:
    """Count in place, for each row, the edges that cross it left of or at a column: inside is where the sum is odd.

    Args:
        flips: (rows, columns).
        corners: (n, 2) of a closed polygon: column and row, in voxels from the middle of the first.
    """
    rows, columns = flips.shape
    for edge in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        # Downwards, so that the contours on either side of an edge round alike.
        (x0, y0), (x1, y1) = sorted(edge, key=lambda corner: float(corner[1]))
        # Rows from y0 up to, but not including, y1: a corner on a row is crossed once, a level edge never.
        crossed = np.arange(max(0, int(np.ceil(y0))), min(rows, int(np.ceil(y1))))
        if not len(crossed):
            continue
        first = np.maximum(np.ceil(x0 + (crossed - y0) * (x1 - x0) / (y1 - y0)), 0).astype(np.int64)
        within = first < columns
        np.add.at(flips, (crossed[within], first[within]), 1)
