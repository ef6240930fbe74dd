"""Masks as DICOM Segmentation objects: written on the grid of their series, and read back onto it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from transforms.io.dicom_identity import MANUFACTURER, RESEARCH_USE, SERIES_NUMBERS, ResultIdentity, dicom_text, stamp
from transforms.io.dicom_series import SAME_DIRECTION, DicomSeries
from transforms.io.dicom_source import character_set, quiet, source_headers
from transforms.io.geometry import LPS_TO_RAS
from transforms.io.input_error import InputError
from transforms.io.segment_codes import PRIVATE_SCHEME, Code, SegmentCode
from transforms.io.verified_bytes import require_readable

if TYPE_CHECKING:
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom.dataset import Dataset

Form = Literal["BINARY", "LABELMAP"]
KIND_OF_FORM = {"BINARY": "SEG", "LABELMAP": "LABELMAP"}
# Far apart for most eyes, with or without full colour vision; they repeat after the eighth segment.
_COLOURS = (
    *((230, 75, 53), (77, 187, 213), (0, 160, 135), (240, 180, 60)),
    *((132, 95, 190), (244, 155, 127), (60, 84, 136), (145, 209, 120)),
)
# How far from the middle of a voxel the corner of a frame may lie, in voxels.
_OFF_GRID = 0.05
_SAME_SPACING = 1e-3
_ALL_SEGMENTS = 65535


def segmentation_object(
    series: DicomSeries,
    labels: np.ndarray,
    codes: Sequence[SegmentCode],
    identity: ResultIdentity,
    *,
    form: Form = "BINARY",
) -> Segmentation:
    """Make a DICOM Segmentation of ``labels``, in explicit VR little endian.

    Each code makes one segment, in their order and numbered from 1, whether or not the mask holds it; its tracking
    identifiers are those of ``identity``. Only planes that hold something are stored. When nothing was found, each
    segment (the label map) has one empty plane in the middle, since the object must have a frame. All source images are
    referenced. Patient and study are those of the images, as DICOM demands; see ``source_headers`` for what that is.

    Args:
        series: the images.
        labels: (columns, rows, slices) integers on the grid of ``series``, 0 for background, else labels of ``codes``.
        codes: at least one, their labels distinct.
        identity: who made the mask.
        form: ``BINARY``, which every archive takes, or ``LABELMAP`` (DICOM 2024), one frame a plane for all segments.

    Raises:
        InputError: as ``source_headers``, for images that no object can refer to.
        ValueError: for labels of another shape or type or without a code, which is the caller's fault.
    """
    from highdicom.seg import Segmentation

    numbers = segment_numbers(labels, codes, series.geometry.shape)
    headers = source_headers(series)
    frames, sources, rest = np.ascontiguousarray(numbers.transpose(2, 1, 0)), headers, []
    if not frames.any():
        middle = len(headers) // 2
        frames, sources = frames[middle : middle + 1], headers[middle : middle + 1]
        rest = headers[:middle] + headers[middle + 1 :]
    texts = [identity.model_name, *(text for code in codes for text in _texts(code))]
    kind = KIND_OF_FORM[form]
    with quiet():
        result = Segmentation(
            source_images=sources,
            further_source_images=rest or None,
            pixel_array=frames,
            segmentation_type=form,
            segment_descriptions=[_description(number, code, identity) for number, code in enumerate(codes, 1)],
            series_instance_uid=identity.series_uid(kind),
            series_number=SERIES_NUMBERS[kind],
            sop_instance_uid=identity.instance_uid(kind),
            instance_number=1,
            **identity.equipment(),
            content_label="SEGMENTATION",
            content_description=RESEARCH_USE,
            content_creator_name=f"{dicom_text(identity.manufacturer)}^",
            series_description=identity.describe("Segmentation"),
            specific_character_set=character_set(headers[0], *texts),
            coding_schemes=[private_scheme()] if _is_private(codes) else None,
        )
        stamp(result, identity)
    return result


def segment_numbers(labels: np.ndarray, codes: Sequence[SegmentCode], shape: Sequence[int]) -> np.ndarray:
    """Give the numbers that the segments of a mask have in DICOM: place in ``codes`` from 1, 0 for background.

    Args:
        labels: integers of ``shape``.
        codes: at least one, their labels distinct.
        shape: of the grid.

    Returns:
        ``shape``, uint8 when that suffices, else uint16.

    Raises:
        ValueError: for a mask of another shape or type, a label without a code, and codes that are none or repeat.
    """
    known = [code.label for code in codes]
    if not known or len(set(known)) < len(known) or min(known) < 1 or len(known) > _ALL_SEGMENTS:
        raise ValueError(f"segments need distinct labels from 1, got {known}")
    if labels.dtype.kind not in "biu" or labels.shape != tuple(shape):
        raise ValueError(f"a mask of {labels.dtype} {labels.shape} does not fit integers {tuple(shape)}")
    table = np.zeros(max(known) + 1, dtype=np.uint8 if len(known) < 256 else np.uint16)
    table[known] = np.arange(1, len(known) + 1)
    numbers = np.empty(labels.shape, dtype=table.dtype)
    # Slice by slice, since an index takes eight bytes a voxel.
    for plane in range(labels.shape[2]):
        values = labels[..., plane]
        strange = np.setdiff1d(values, [0, *known])
        if len(strange):
            raise ValueError(f"the mask holds labels {strange[:5].tolist()}, which have no code")
        numbers[..., plane] = table[values.astype(np.intp)]
    return numbers


def read_segmentation(
    source: str | Path | Dataset, series: DicomSeries, codes: Sequence[SegmentCode] | None = None
) -> np.ndarray:
    """Read a DICOM Segmentation of ``series`` as a mask on its grid.

    Args:
        source: a file, or the object with its pixels.
        series: the images that it was made of.
        codes: what the segments are called in order; their labels are returned. By default segment numbers are.

    Returns:
        (columns, rows, slices): uint8 when that suffices, else uint16.

    Raises:
        InputError: naming the file, for what is no segmentation or holds fractions, refers to another series or frame
            of reference, has frames off the grid of ``series``, segments that overlap or are not told, or pixels that
            cannot be decoded whole.
    """
    name, data = _loaded(source)
    if data.get("SegmentationType") not in KIND_OF_FORM:
        raise InputError(name, "is no DICOM Segmentation of type BINARY or LABELMAP")
    _require_same_series(name, data, series)
    known = [int(item.get("SegmentNumber", 0)) for item in data.get("SegmentSequence", [])]
    if codes is not None and max(known, default=0) > len(codes):
        raise InputError(name, f"has segment {max(known)}, but only {len(codes)} are known")
    mask = np.zeros(series.geometry.shape, dtype=np.uint8 if max(known, default=0) < 256 else np.uint16)
    seen = set()
    with quiet():
        frames = _frames(name, data, series)
    for plane, number, pixels in frames:
        if (plane, number) in seen:
            raise InputError(name, f"has two frames of one segment on slice {plane + 1}")
        seen.add((plane, number))
        target = mask[..., plane]
        if number is None:
            target[...] = pixels.T
            continue
        inside = pixels.T > 0
        if (target[inside] > 0).any():
            raise InputError(name, f"has segments that overlap on slice {plane + 1}; a mask has one label a voxel")
        target[inside] = number
    strange = sorted(set(np.unique(mask).tolist()) - {0, *known})
    if strange:
        raise InputError(name, f"holds segments {strange[:5]} that it does not describe")
    if codes is None:
        return mask
    table = np.array([0, *(code.label for code in codes)])
    return table.astype(np.uint8 if table.max() < 256 else np.uint16)[mask]


def _is_private(codes: Sequence[SegmentCode]) -> bool:
    used = {part.scheme for code in codes for part in (code.category, code.type, *code.modifiers)}
    return PRIVATE_SCHEME in used


def _texts(code: SegmentCode) -> tuple[str, ...]:
    return (code.name, code.category.meaning, code.type.meaning, *(modifier.meaning for modifier in code.modifiers))


def _description(number: int, code: SegmentCode, identity: ResultIdentity) -> SegmentDescription:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes as dicom

    described = SegmentDescription(
        segment_number=number,
        segment_label=dicom_text(code.name),
        segmented_property_category=coded(code.category),
        segmented_property_type=coded(code.type),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=dicom_text(identity.model_name),
            family=dicom.cid7162.ArtificialIntelligence,
            version=dicom_text(identity.model_version),
            parameters={"sha256": identity.model_hash},
        ),
        tracking_uid=identity.tracking_uid(code.label),
        tracking_id=identity.tracking_id(code.name),
        display_color=CIELabColor.from_rgb(*_COLOURS[(number - 1) % len(_COLOURS)]),
    )
    described.SegmentDescription = RESEARCH_USE
    if code.modifiers:
        kind = described.SegmentedPropertyTypeCodeSequence[0]
        kind.SegmentedPropertyTypeModifierCodeSequence = [coded(modifier) for modifier in code.modifiers]
    return described


def coded(code: Code) -> Any:
    """Give ``code`` as highdicom takes it."""
    from highdicom.sr import CodedConcept

    return CodedConcept(code.value, code.scheme, code.meaning)


def private_scheme() -> Any:
    """Give the item with which an object tells what our own coding scheme is."""
    from highdicom.coding_schemes import CodingSchemeIdentificationItem

    return CodingSchemeIdentificationItem(
        PRIVATE_SCHEME, name="Names of classes", responsible_organization=MANUFACTURER
    )


def _loaded(source: str | Path | Dataset) -> tuple[str, Dataset]:
    import pydicom
    from pydicom.dataset import Dataset

    if isinstance(source, Dataset):
        return "segmentation", source
    path = Path(source)
    require_readable(path)
    try:
        with quiet():
            return str(path), pydicom.dcmread(path)
    except Exception as fault:
        raise InputError(path, f"is no readable DICOM file ({type(fault).__name__})") from fault


def _require_same_series(name: str, data: Dataset, series: DicomSeries) -> None:
    first = series.headers[0]
    if data.get("FrameOfReferenceUID") != first.get("FrameOfReferenceUID"):
        raise InputError(name, "lies in another frame of reference than the series")
    referenced = {str(item.get("SeriesInstanceUID", "")) for item in data.get("ReferencedSeriesSequence", [])}
    if referenced and str(first.SeriesInstanceUID) not in referenced:
        raise InputError(name, "was made of another series")
    if (data.get("Columns"), data.get("Rows")) != series.geometry.shape[:2]:
        raise InputError(name, f"has {data.get('Columns')} x {data.get('Rows')} pixels, which is not the series' grid")


def _frames(name: str, data: Dataset, series: DicomSeries) -> Iterator[tuple[int, int | None, np.ndarray]]:
    """Give the slice (from 0), the segment (None in a label map) and the pixels (rows, columns) of each frame."""
    shared = (data.get("SharedFunctionalGroupsSequence") or [None])[0]
    groups = data.get("PerFrameFunctionalGroupsSequence") or []
    to_index = np.linalg.inv(LPS_TO_RAS @ series.geometry.affine)
    places = [_plane(name, (group, shared), series, to_index) for group in groups]
    binary = data.SegmentationType == "BINARY"
    numbers = [_segment(name, (group, shared)) if binary else None for group in groups]
    frames = int(data.get("NumberOfFrames") or 0)
    if frames != len(groups):
        raise InputError(name, f"has {frames} frames, but tells the place of {len(groups)}")
    return zip(places, numbers, _pixels(name, data), strict=True)


def _pixels(name: str, data: Dataset) -> Iterator[np.ndarray]:
    """Give the frames (rows, columns) one after the other: all of them at once may not fit into memory."""
    from pydicom.pixels import iter_pixels

    try:
        if data.BitsAllocated != 1 or data.file_meta.TransferSyntaxUID.is_encapsulated:
            yield from iter_pixels(data)
            return
        # Frames of single bits follow each other without a gap, so that most begin within a byte, where pydicom 3.0.2
        # takes too few.
        size = data.Rows * data.Columns
        packed = np.frombuffer(data.PixelData, dtype=np.uint8)
        for first in range(0, size * int(data.NumberOfFrames), size):
            bits = np.unpackbits(packed[first // 8 : (first + size + 7) // 8], bitorder="little")
            yield bits[first % 8 : first % 8 + size].reshape(data.Rows, data.Columns)
    except Exception as fault:
        raise InputError(name, f"has truncated or damaged pixels ({type(fault).__name__})") from fault


def _group(groups: Sequence[Dataset | None], *keywords: str) -> Any:
    """Find an element of a functional group, the frame's before the shared one."""
    sequence, element = keywords
    for group in groups:
        items = group.get(sequence) if group is not None else None
        if items and items[0].get(element) is not None:
            return items[0][element].value
    return None


def _segment(name: str, groups: Sequence[Dataset | None]) -> int:
    number = _group(groups, "SegmentIdentificationSequence", "ReferencedSegmentNumber")
    if number is None:
        raise InputError(name, "has a frame that belongs to no segment")
    return int(number)


def _plane(name: str, groups: Sequence[Dataset | None], series: DicomSeries, to_index: np.ndarray) -> int:
    """Give the slice that a frame lies on, and refuse frames that lie between slices, turned or scaled."""
    position = _group(groups, "PlanePositionSequence", "ImagePositionPatient")
    axes = _group(groups, "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = _group(groups, "PixelMeasuresSequence", "PixelSpacing")
    if position is None or axes is None or spacing is None:
        raise InputError(name, "does not tell where its frames lie")
    geometry = series.geometry
    own = (LPS_TO_RAS @ geometry.affine)[:3, :2] / np.asarray(geometry.spacing[:2])
    turned = np.abs(np.reshape(np.asarray(axes, dtype=float), (2, 3)).T - own).max() > SAME_DIRECTION
    scaled = not np.allclose(np.asarray(spacing, dtype=float)[::-1], geometry.spacing[:2], rtol=_SAME_SPACING, atol=0)
    index = to_index @ [*(float(value) for value in position), 1.0]
    plane = round(float(index[2]))
    off = np.abs(index[:3] - [0, 0, plane]).max() > _OFF_GRID
    if turned or scaled or off or not 0 <= plane < geometry.shape[2]:
        raise InputError(name, "has frames that do not lie on the slices of the series")
    return plane
