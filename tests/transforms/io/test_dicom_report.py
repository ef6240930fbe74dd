"""Measurement reports: volumes from positions, each segment told, found or not, and nothing claimed beyond that."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.data_sets import FOLDER, needs_data
from tests.transforms.io.dicom_phantom import (
    CODES,
    COLUMNS,
    ROWS,
    SERIES,
    SLICES,
    SPACING,
    errors_in,
    identity,
    needs_dciodvfy,
    two_segments,
    write_phantom,
)
from tests.transforms.io.test_dicom_segmentation import REAL
from transforms.io.dicom_identity import RESEARCH_USE
from transforms.io.dicom_report import NO_FINDING, SegmentVolume, measurement_report, segment_volumes
from transforms.io.dicom_segmentation import segmentation_object
from transforms.io.dicom_series import DicomSeries, read_series

SHAPE = (COLUMNS, ROWS, SLICES)
VOXEL_ML = SPACING[0] * SPACING[1] * SPACING[2] / 1000


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> DicomSeries:
    return write_phantom(tmp_path_factory.mktemp("series"))


def _report(series: DicomSeries, labels: np.ndarray) -> Dataset:
    maker = identity(series)
    return measurement_report(series, labels, CODES, segmentation_object(series, labels, CODES, maker), maker)


def _through_a_file(result: Dataset) -> Dataset:
    stream = io.BytesIO()
    result.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return pydicom.dcmread(stream)


def _children(item: Dataset, code: str) -> list[Dataset]:
    """Find the items below ``item`` whose concept name has the code."""
    return [
        child
        for child in item.get("ContentSequence", [])
        if child.get("ConceptNameCodeSequence") and child.ConceptNameCodeSequence[0].CodeValue == code
    ]


def _groups(report: Dataset) -> list[Dataset]:
    (measurements,) = _children(report, "126010")
    return _children(measurements, "125007")


def _words(report: Dataset) -> list[str]:
    (evaluations,) = _children(report, "C0034375")
    return [item.TextValue for item in _children(evaluations, "121106")]


def test_volumes_are_voxels_times_the_distance_of_positions(series: DicomSeries):
    labels = two_segments(SHAPE)
    first, second = segment_volumes(series, labels, CODES)
    assert (first.label, first.name, first.voxels) == (1, "left atrium", 2 * 3 * 3)
    assert (second.label, second.name, second.voxels) == (4, "anterior", 2 * 2 * 2)
    # Slices are 2 mm thick and 3 mm apart: the thickness would give a third less.
    assert first.millilitres == pytest.approx(18 * VOXEL_ML, rel=1e-6)
    assert second.millilitres == pytest.approx(8 * VOXEL_ML, rel=1e-6)
    assert segment_volumes(series, labels, CODES[::-1]) == [second, first]


def test_what_is_not_there_has_no_volume_and_strangers_are_a_fault(series: DicomSeries):
    empty = np.zeros(SHAPE, np.uint8)
    assert segment_volumes(series, empty, CODES[:1]) == [SegmentVolume(1, "left atrium", 0, 0.0)]
    with pytest.raises(ValueError, match="no code"):
        segment_volumes(series, empty + np.uint8(9), CODES)


def test_each_segment_has_a_group_that_refers_to_it(series: DicomSeries):
    labels, maker = two_segments(SHAPE), identity(series)
    segmentation = segmentation_object(series, labels, CODES, maker)
    report = _through_a_file(measurement_report(series, labels, CODES, segmentation, maker))
    volumes = segment_volumes(series, labels, CODES)
    assert len(_groups(report)) == len(CODES)
    for number, (group, code, volume) in enumerate(zip(_groups(report), CODES, volumes, strict=True), 1):
        (segment,) = _children(group, "121191")
        reference = segment.ReferencedSOPSequence[0]
        assert reference.ReferencedSOPInstanceUID == segmentation.SOPInstanceUID
        assert reference.ReferencedSegmentNumber == number
        (source,) = _children(group, "121232")
        assert str(source.UID) == SERIES
        (finding,) = _children(group, "121071")
        assert finding.ConceptCodeSequence[0].CodeValue == code.type.value
        (tracking,) = _children(group, "112040")
        described = segmentation.SegmentSequence[number - 1]
        assert str(tracking.UID) == described.TrackingUID
        (measured,) = _children(group, "118565006")
        value = measured.MeasuredValueSequence[0]
        assert float(value.NumericValue) == pytest.approx(volume.millilitres, rel=1e-6)
        assert value.MeasurementUnitsCodeSequence[0].CodeMeaning == "mL"
        (method,) = _children(measured, "370129005")
        assert method.ConceptCodeSequence[0].CodeValue == "126030"
        (count,) = _children(group, "VOXELS")
        assert int(count.MeasuredValueSequence[0].NumericValue) == volume.voxels
        (presence,) = _children(group, "PRESENCE")
        assert presence.ConceptCodeSequence[0].CodeMeaning == "Present"


def test_the_report_says_what_it_is_who_observed_and_what_it_is_not_for(series: DicomSeries):
    report = _through_a_file(_report(series, two_segments(SHAPE)))
    assert report.SOPClassUID.name == "Comprehensive 3D SR Storage"
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert report.ConceptNameCodeSequence[0].CodeMeaning == "Imaging Measurement Report"
    (procedure,) = _children(report, "121058")
    assert procedure.ConceptCodeSequence[0].CodeValue == "25056-3"
    (observer,) = _children(report, "121005")
    assert observer.ConceptCodeSequence[0].CodeMeaning == "Device"
    assert report.Manufacturer == "Concord"
    assert (report.VerificationFlag, report.CompletionFlag) == ("UNVERIFIED", "COMPLETE")
    assert report.SeriesDescription.endswith(RESEARCH_USE)
    assert _words(report) == [RESEARCH_USE]
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert sorted(len(item.ReferencedSOPSequence) for item in evidence) == [1, SLICES]
    assert (str(report.PatientName), report.PatientID) == ("Roe^Jane", "MRN-77")
    assert "shy" not in str(report)


@pytest.mark.parametrize(
    ("kept", "statements"),
    [
        ((), [f"{NO_FINDING}: none of the segments was found in the images."]),
        ((1,), [f"{NO_FINDING}: anterior was not found in the images."]),
    ],
)
def test_no_finding_is_said_in_words_and_in_codes(series: DicomSeries, kept: tuple[int, ...], statements: list[str]):
    labels = two_segments(SHAPE)
    labels[~np.isin(labels, kept)] = 0
    report = _through_a_file(_report(series, labels))
    assert _words(report) == [RESEARCH_USE, *statements]
    for group, code in zip(_groups(report), CODES, strict=True):
        (presence,) = _children(group, "PRESENCE")
        assert presence.ConceptCodeSequence[0].CodeMeaning == ("Present" if code.label in kept else "Absent")
        (measured,) = _children(group, "118565006")
        assert (float(measured.MeasuredValueSequence[0].NumericValue) > 0) == (code.label in kept)


def test_highdicom_finds_the_groups_by_segment(series: DicomSeries):
    from highdicom.sr import Comprehensive3DSR

    read = Comprehensive3DSR.from_dataset(_through_a_file(_report(series, two_segments(SHAPE))))
    groups = read.content.get_volumetric_roi_measurement_groups(tracking_uid=identity(series).tracking_uid(4))
    assert [group.tracking_identifier for group in groups] == ["tiny: anterior"]
    assert len(groups[0].get_measurements()) == 2


def test_a_repeat_gives_the_same_bytes_and_another_form_another_report(series: DicomSeries):
    labels, maker = two_segments(SHAPE), identity(series)
    streams = []
    for _ in range(2):
        streams.append(io.BytesIO())
        _report(series, labels).save_as(streams[-1], enforce_file_format=True)
    assert streams[0].getvalue() == streams[1].getvalue()
    label_map = segmentation_object(series, labels, CODES, maker, form="LABELMAP")
    other = measurement_report(series, labels, CODES, label_map, maker)
    assert other.SOPInstanceUID != _report(series, labels).SOPInstanceUID


@needs_data("brain_mr_dicom")
def test_slices_that_are_thinner_than_their_distance_do_not_shrink_the_volume():
    series = read_series(FOLDER / "brain_mr_dicom/images/Study3/11-T1post-18670")
    labels = np.zeros(series.geometry.shape, np.uint8)
    labels[100:150, 100:150, 5:15] = 1
    (volume,) = segment_volumes(series, labels, CODES[:1])
    header = series.headers[0]
    assert float(header.SliceThickness) == 5
    area = float(header.PixelSpacing[0]) * float(header.PixelSpacing[1])
    assert volume.millilitres == pytest.approx(25000 * area * 6.5 / 1000, rel=1e-4)


@needs_dciodvfy
@pytest.mark.pacs
@pytest.mark.parametrize(
    "source", ["phantom", *(pytest.param(name, marks=needs_data(name.split("/")[0])) for name in REAL)]
)
def test_dciodvfy_finds_no_error(series: DicomSeries, tmp_path: Path, source: str):
    images = series if source == "phantom" else read_series(FOLDER / source)
    labels = two_segments(images.geometry.shape)
    for mask in (labels, np.zeros_like(labels)):
        assert errors_in(_report(images, mask), tmp_path / "sr.dcm") == []
