"""Volumes of segments as a DICOM measurement report (Comprehensive 3D SR, template 1500)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.io.dicom_identity import RESEARCH_USE, SERIES_NUMBERS, ResultIdentity, dicom_text, stamp
from transforms.io.dicom_segmentation import coded, private_scheme, segment_numbers
from transforms.io.dicom_series import DicomSeries
from transforms.io.dicom_source import character_set, quiet, source_headers
from transforms.io.segment_codes import PRIVATE_SCHEME, Code, SegmentCode

if TYPE_CHECKING:
    from highdicom.sr import Comprehensive3DSR, VolumetricROIMeasurementsAndQualitativeEvaluations
    from pydicom.dataset import Dataset

NO_FINDING = "No finding"
MM3_PER_ML = 1000.0
# Procedures of context group 100 by modality, and what any imaging is.
_PROCEDURES = {
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
    "PT": Code("44136-0", "LN", "PET unspecified body region"),
    "NM": Code("49118-3", "LN", "NM unspecified body region"),
}
_IMAGING = Code("363679005", "SCT", "Imaging procedure")
_MILLILITRE = Code("ml", "UCUM", "mL")
_VOLUME = Code("118565006", "SCT", "Volume")
_VOXEL_SUM = Code("126030", "DCM", "Sum of segmented voxel method for volume")
_VOXEL_COUNT = Code("VOXELS", PRIVATE_SCHEME, "Number of voxels")
_NO_UNIT = Code("1", "UCUM", "no units")
_PRESENCE = Code("PRESENCE", PRIVATE_SCHEME, "Presence in the images")
_PRESENT = Code("52101004", "SCT", "Present")
_ABSENT = Code("272519000", "SCT", "Absent")
_COMMENT = Code("121106", "DCM", "Comment")
_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")


@dataclass(frozen=True)
class SegmentVolume:
    """How much of a segment there is.

    Attributes:
        label: value in the mask.
        name: as its code tells.
        voxels: how many hold the label.
        millilitres: their volume.
    """

    label: int
    name: str
    voxels: int
    millilitres: float


def segment_volumes(series: DicomSeries, labels: np.ndarray, codes: Sequence[SegmentCode]) -> list[SegmentVolume]:
    """Measure the segments of a mask.

    The size of a voxel is that of the series' grid, whose slices are as far apart as their positions say. Slice
    thickness plays no part: slices overlap, or leave gaps.

    Args:
        series: the images.
        labels: (columns, rows, slices) integers on their grid.
        codes: one for each label, in the order of the result.

    Raises:
        ValueError: as ``segment_numbers``.
    """
    numbers = segment_numbers(labels, codes, series.geometry.shape)
    counts = np.zeros(len(codes) + 1, dtype=np.int64)
    for plane in range(numbers.shape[2]):
        counts += np.bincount(numbers[..., plane].ravel(), minlength=len(counts))
    voxel_ml = math.prod(series.geometry.spacing) / MM3_PER_ML
    return [
        SegmentVolume(code.label, code.name, int(count), float(count * voxel_ml))
        for code, count in zip(codes, counts[1:], strict=True)
    ]


def measurement_report(
    series: DicomSeries,
    labels: np.ndarray,
    codes: Sequence[SegmentCode],
    segmentation: Dataset,
    identity: ResultIdentity,
) -> Comprehensive3DSR:
    """Report the volumes of a mask: one group of measurements for each segment, whether or not it was found.

    A group refers to its segment in ``segmentation`` and to the source series, and tells volume in mL, number of
    voxels, and present or absent. What was not found is told in words too, as is the intended use. The observer is the
    model, as a device; nobody has verified the report, and it says so.

    Args:
        series: the images.
        labels: (columns, rows, slices) integers on their grid.
        codes: as given to ``segmentation_object``.
        segmentation: what that made of ``labels``.
        identity: as given there.

    Raises:
        InputError: as ``source_headers``.
        ValueError: as ``segment_numbers``.
    """
    from highdicom.sr import Comprehensive3DSR

    headers = source_headers(series)
    volumes = segment_volumes(series, labels, codes)
    modality = str(headers[0].Modality)
    texts = [identity.model_name, *(text for code in codes for text in (code.name, code.type.meaning))]
    kind = "SR"
    with quiet():
        groups = [
            _group(number, code, volume, segmentation, headers[0], identity)
            for number, (code, volume) in enumerate(zip(codes, volumes, strict=True), 1)
        ]
        result = Comprehensive3DSR(
            evidence=[*headers, segmentation],
            content=_content(groups, _statements(volumes), _PROCEDURES.get(modality, _IMAGING), identity),
            series_instance_uid=identity.series_uid(kind),
            series_number=SERIES_NUMBERS[kind],
            sop_instance_uid=identity.instance_uid(kind, str(segmentation.SOPInstanceUID)),
            instance_number=1,
            **identity.equipment(),
            series_description=identity.describe("Measurements"),
            is_complete=True,
            specific_character_set=character_set(headers[0], *texts),
            coding_schemes=[private_scheme()],
        )
        stamp(result, identity)
    return result


def _statements(volumes: Sequence[SegmentVolume]) -> list[str]:
    missing = [volume.name for volume in volumes if not volume.voxels]
    if len(missing) == len(volumes):
        return [RESEARCH_USE, f"{NO_FINDING}: none of the segments was found in the images."]
    return [RESEARCH_USE, *(f"{NO_FINDING}: {name} was not found in the images." for name in missing)]


def _content(groups: Sequence[Any], statements: Sequence[str], procedure: Code, identity: ResultIdentity) -> Any:
    from highdicom.sr import (
        ContainerContentItem,
        ContentSequence,
        DeviceObserverIdentifyingAttributes,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
        TextContentItem,
    )
    from pydicom.sr.codedict import codes as dicom

    observer = DeviceObserverIdentifyingAttributes(
        uid=identity.device_uid,
        name=dicom_text(identity.model_name),
        manufacturer_name=dicom_text(identity.manufacturer),
        model_name=dicom_text(f"{identity.model_name} {identity.model_version}"),
        serial_number=dicom_text(identity.model_hash),
    )
    report = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(
                observer_type=dicom.DCM.Device, observer_identifying_attributes=observer
            )
        ),
        procedure_reported=coded(procedure),
        imaging_measurements=groups,
        title=dicom.DCM.ImagingMeasurementReport,
    )
    # Row 12 of the template, for what holds of the whole report; highdicom has no argument for it.
    words = ContainerContentItem(name=coded(_EVALUATIONS), relationship_type="CONTAINS")
    words.ContentSequence = ContentSequence(
        [TextContentItem(coded(_COMMENT), statement, relationship_type="CONTAINS") for statement in statements]
    )
    report[0].ContentSequence.append(words)
    return report


def _group(
    number: int,
    code: SegmentCode,
    volume: SegmentVolume,
    segmentation: Dataset,
    source: Dataset,
    identity: ResultIdentity,
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    from highdicom.sr import (
        AlgorithmIdentification,
        Measurement,
        QualitativeEvaluation,
        ReferencedSegment,
        SourceSeriesForSegmentation,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )

    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(
            uid=identity.tracking_uid(code.label), identifier=identity.tracking_id(code.name)
        ),
        referenced_segment=ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=number,
            source_series=SourceSeriesForSegmentation(source.SeriesInstanceUID),
        ),
        finding_category=coded(code.category),
        finding_type=coded(code.type),
        algorithm_id=AlgorithmIdentification(
            name=dicom_text(identity.model_name),
            version=dicom_text(identity.model_version),
            parameters=[f"sha256: {identity.model_hash}"],
        ),
        measurements=[
            Measurement(
                name=coded(_VOLUME),
                value=float(f"{volume.millilitres:.8g}"),
                unit=coded(_MILLILITRE),
                method=coded(_VOXEL_SUM),
            ),
            Measurement(name=coded(_VOXEL_COUNT), value=volume.voxels, unit=coded(_NO_UNIT)),
        ],
        qualitative_evaluations=[
            QualitativeEvaluation(name=coded(_PRESENCE), value=coded(_PRESENT if volume.voxels else _ABSENT))
        ],
    )
