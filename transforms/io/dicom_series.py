"""One DICOM series as a volume: sorted by where its slices are, and refused when they do not make a regular grid."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.io.dicom_frames import frame_headers
from transforms.io.geometry import LPS_TO_RAS, Geometry, Volume, check_affine, check_finite, check_shape, check_spacing
from transforms.io.input_error import InputError
from transforms.io.verified_bytes import is_folder

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


# Positions and directions are decimal strings that scanners round.
SAME_DIRECTION = 1e-3
STEP_TOLERANCE = 0.02
TILT_TOLERANCE = 0.005
MIN_TOLERANCE_MM = 0.01
_SUFFIXES = (".dcm", ".ima")


@dataclass(frozen=True)
class DicomSeries:
    """A series that makes a regular grid.

    Args:
        paths: the files, in ascending position along the normal of the slices.
        geometry: grid of the volume: first axis along a row (columns), second down the rows, third along the normal.
        headers: the data sets without their pixels, in the order of ``paths``.
        frames: which frame of its file each slice is, from 0.
    """

    paths: tuple[Path, ...]
    geometry: Geometry
    headers: tuple[Dataset, ...]
    frames: tuple[int, ...] = ()


def read_dicom_series(folder: str | Path) -> Volume:
    """Read the one series in ``folder`` as a volume; its slices are single files, or the frames of one or several.

    Returns:
        Values after rescale slope and intercept, ``(columns, rows, slices)``: int32 when the series needs no
        fractions, else float32. The spacing along the slices is the distance of their positions, never the slice
        thickness.

    Raises:
        InputError: naming the folder or the file, for several series, missing, duplicate, unevenly spaced or tilted
            slices, mixed orientation, spacing or size, no position, and pixels that cannot be decoded whole.
    """
    series = read_series(folder, frames=True)
    scales = [_rescale(path, header) for path, header in zip(series.paths, series.headers, strict=True)]
    whole = all(slope.is_integer() and intercept.is_integer() for slope, intercept in scales)
    whole = whole and all(int(header.get("BitsAllocated", 16)) <= 16 for header in series.headers)
    array = np.empty(series.geometry.shape, dtype=np.int32 if whole else np.float32)
    decoded: tuple[Path | None, np.ndarray] = (None, array)
    for index, (path, frame, (slope, intercept)) in enumerate(zip(series.paths, series.frames, scales, strict=True)):
        if decoded[0] != path:
            decoded = (path, _pixels(path))
        values = (decoded[1][frame] if decoded[1].ndim == 3 and frame < len(decoded[1]) else decoded[1]).T
        if values.shape != series.geometry.shape[:2]:
            raise InputError(path, f"decodes to {values.shape}, not to {series.geometry.shape[:2]} as its header says")
        array[..., index] = values if (slope, intercept) == (1, 0) else values.astype(np.float64) * slope + intercept
    check_finite(Path(folder), array)
    return Volume(array, series.geometry.affine, series.geometry.spacing)


def read_dicom_geometry(folder: str | Path) -> Geometry:
    """Read the grid of the series in ``folder`` without its pixels.

    Raises:
        InputError: as ``read_series``.
    """
    return read_series(folder, frames=True).geometry


def read_series(folder: str | Path, frames: bool = False) -> DicomSeries:
    """Read the headers of the series in ``folder``, sort its slices, and check that they make a regular grid.

    Files that are not DICOM, and DICOM objects that are no images, are passed over; subfolders are not searched.

    Args:
        folder: of the series.
        frames: take files of several frames, whose ``paths`` then come once per frame; they are refused otherwise.

    Raises:
        InputError: as ``read_dicom_series`` does, except for faults of the pixels.
    """
    folder = Path(folder)
    found = _image_headers(folder)
    if not found:
        raise InputError(folder, "holds no DICOM images")
    _require_one_series(folder, [header for _, header in found])
    slices = [
        (path, index, frame)
        for path, header in found
        for index, frame in enumerate(frame_headers(path, header) if frames else [header])
    ]
    for path, _, header in slices:
        _require_slice(path, header)
    first = slices[0][2]
    axes = _axes(first)
    for path, _, header in slices[1:]:
        _require_same_grid(path, header, first)
    normal = np.cross(axes[0], axes[1])
    slices.sort(key=lambda item: float(normal @ _vector(item[2], "ImagePositionPatient")))
    positions = np.array([_vector(header, "ImagePositionPatient") for _, _, header in slices])
    step = _step(folder, positions, normal)
    row_mm, column_mm = (float(value) for value in first.PixelSpacing)
    lps = np.eye(4)
    # The first array index runs along a row, that is over columns, whose distance is the second value of PixelSpacing.
    lps[:3, 0], lps[:3, 1], lps[:3, 2], lps[:3, 3] = axes[0] * column_mm, axes[1] * row_mm, step, positions[0]
    shape = (int(first.Columns), int(first.Rows), len(slices))
    spacing = (column_mm, row_mm, float(np.linalg.norm(step)))
    check_shape(folder, shape)
    check_spacing(folder, spacing)
    check_affine(folder, lps)
    geometry = Geometry(shape, LPS_TO_RAS @ lps, spacing)
    paths, numbers, headers = zip(*slices, strict=True)
    return DicomSeries(paths, geometry, headers, numbers)


def _image_headers(folder: Path) -> list[tuple[Path, Dataset]]:
    if not is_folder(folder):
        raise InputError(folder, "is a file; a DICOM series is read from its folder")
    try:
        files = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as fault:
        raise InputError(folder, f"cannot be read: {fault.strerror}") from fault
    files = [path for path in files if path.name.upper() != "DICOMDIR" and (path.is_symlink() or path.is_file())]
    images: list[tuple[Path, Dataset]] = []
    others: list[tuple[Path, Dataset]] = []
    for path in files:
        header, has_pixels = _header(path)
        if header is not None:
            (images if has_pixels and _has_size(header) else others).append((path, header))
    found = {str(header.get("SeriesInstanceUID", "")) for _, header in images}
    for path, header in others:
        if "SeriesInstanceUID" not in header and "DirectoryRecordSequence" not in header:
            raise InputError(path, "ends before it says which series it belongs to; a slice may be lost")
        if _has_size(header) or str(header.get("SeriesInstanceUID", "")) in found:
            raise InputError(path, "is a slice without pixels (no PixelData or no size)")
    return images


def _has_size(header: Dataset) -> bool:
    return "Rows" in header and "Columns" in header


def _header(path: Path) -> tuple[Dataset | None, bool]:
    """Read the data set without its pixels, and say whether it has some; None for what is no DICOM file."""
    import pydicom
    from pydicom.errors import InvalidDicomError
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    try:
        with warnings.catch_warnings(), path.open("rb") as stream:
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(stream, stop_before_pixels=True)
            if header.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
                return header, "PixelData" in pydicom.dcmread(path)
            # The reader stops at the tag of the pixels; where there are none, it has come to the end.
            return header, bool(stream.read(1))
    except InvalidDicomError as fault:
        if path.suffix.lower() in _SUFFIXES:
            raise InputError(path, "is named like a slice but is not a DICOM file; a slice may be lost") from fault
        return None, False
    except OSError as fault:
        raise InputError(path, f"cannot be read: {fault.strerror or fault}") from fault
    except Exception as fault:
        raise InputError(path, f"is a damaged DICOM file ({type(fault).__name__})") from fault


def _require_one_series(folder: Path, headers: Sequence[Dataset]) -> None:
    for keyword, what in (
        ("SeriesInstanceUID", "series"),
        ("FrameOfReferenceUID", "frames of reference"),
        ("PatientID", "patients"),
    ):
        count = len({str(header.get(keyword, "")) for header in headers})
        if count > 1:
            raise InputError(folder, f"holds {count} {what}; keep one per folder")


def _require_slice(path: Path, header: Dataset) -> None:
    """Refuse what is not one grey slice with a known place."""
    if int(header.get("NumberOfFrames", 1) or 1) > 1:
        raise InputError(path, "holds several frames; series of single slices are read")
    if int(header.get("SamplesPerPixel", 1) or 1) != 1 or header.get("PhotometricInterpretation", "") == "MONOCHROME1":
        raise InputError(path, "holds colours or inverted grey values (MONOCHROME1); MONOCHROME2 is read")
    for keyword, length in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2)):
        values = _vector(header, keyword)
        if len(values) != length or not np.isfinite(values).all():
            raise InputError(path, f"has no usable {keyword}, so where its pixels lie is unknown")
    check_spacing(path, header.PixelSpacing)
    along, down = _axes(header)
    lengths = np.array([np.linalg.norm(along), np.linalg.norm(down)])
    if np.abs(lengths - 1).max() > SAME_DIRECTION or abs(float(along @ down)) > SAME_DIRECTION:
        raise InputError(path, "its ImageOrientationPatient is not two perpendicular directions")


def _require_same_grid(path: Path, header: Dataset, first: Dataset) -> None:
    if (header.Rows, header.Columns) != (first.Rows, first.Columns):
        raise InputError(
            path, f"has {header.Columns} x {header.Rows} pixels, others of its series {first.Columns} x {first.Rows}"
        )
    if np.abs(np.subtract(_axes(header), _axes(first))).max() > SAME_DIRECTION:
        raise InputError(path, "is oriented differently from other slices of its series")
    if not np.allclose(_vector(header, "PixelSpacing"), _vector(first, "PixelSpacing"), rtol=1e-4, atol=0):
        raise InputError(path, "has another PixelSpacing than other slices of its series")


def _step(folder: Path, positions: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Give the vector in mm from a slice to the next, which must be the same everywhere and parallel to ``normal``."""
    if len(positions) < 2:
        raise InputError(folder, "holds a single slice, so the distance of its slices is unknown")
    steps = np.diff(positions, axis=0)
    along = steps @ normal
    usual = float(np.median(along))
    tolerance = max(STEP_TOLERANCE * usual, MIN_TOLERANCE_MM)
    if along.min() < MIN_TOLERANCE_MM:
        count = int((along < MIN_TOLERANCE_MM).sum())
        raise InputError(folder, f"holds several slices at one position ({count} times)")
    sideways = np.linalg.norm(steps - along[:, None] * normal, axis=1)
    if (sideways > np.maximum(TILT_TOLERANCE * along, MIN_TOLERANCE_MM)).any():
        raise InputError(
            folder, "its slices are shifted against each other (gantry tilt), so they do not make a right-angled grid"
        )
    if np.abs(along - usual).max() > tolerance:
        gaps = ", ".join(f"{gap:.4g}" for gap in sorted({round(float(gap), 3) for gap in along})[:5])
        raise InputError(folder, f"its slices are unevenly spaced or one is missing: distances of {gaps} mm")
    return (positions[-1] - positions[0]) / (len(positions) - 1)


def _vector(header: Dataset, keyword: str) -> np.ndarray:
    """Give the numbers of an element; an empty array when it is absent, empty or not numeric."""
    value: Any = header.get(keyword)
    try:
        return np.array([float(part) for part in value] if value is not None else [], dtype=float)
    except (TypeError, ValueError):
        return np.array([], dtype=float)


def _axes(header: Dataset) -> np.ndarray:
    """Directions ``(2, 3)`` in LPS: along a row, down a column."""
    return _vector(header, "ImageOrientationPatient").reshape(2, 3)


def _rescale(path: Path, header: Dataset) -> tuple[float, float]:
    if "ModalityLUTSequence" in header:
        raise InputError(path, "rescales its values by a table (ModalityLUTSequence), which is not read")
    try:
        slope = float(header.get("RescaleSlope", 1) if header.get("RescaleSlope") is not None else 1)
        intercept = float(header.get("RescaleIntercept", 0) if header.get("RescaleIntercept") is not None else 0)
    except (TypeError, ValueError) as fault:
        raise InputError(path, "its RescaleSlope or RescaleIntercept is not a number") from fault
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        raise InputError(path, f"its rescale slope {slope:g} and intercept {intercept:g} make no sense")
    return slope, intercept


def _pixels(path: Path) -> np.ndarray:
    """Decode the pixels of one file, ``(rows, columns)``, or ``(frames, rows, columns)`` where it has several."""
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = pydicom.dcmread(path)
            _require_decoder(path, data)
            return data.pixel_array
    except InputError:
        raise
    except Exception as fault:
        reason = str(fault).split(".")[0].split(" - ")[0] or type(fault).__name__
        raise InputError(path, f"has truncated or damaged pixels: {reason}") from fault


def _require_decoder(path: Path, data: Dataset) -> None:
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    syntax = UID(data.file_meta.get("TransferSyntaxUID", ""))
    try:
        known = not syntax.is_compressed or get_decoder(syntax).is_available
    except (NotImplementedError, ValueError):
        known = False
    if not known:
        raise InputError(path, f"its compression has no decoder here ({syntax.name or 'no transfer syntax'})")
