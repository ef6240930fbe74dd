"""Masks through DICOM Segmentation objects and back, for phantoms and for every real series at hand."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from tests.data_sets import FOLDER, needs_data
from tests.transforms.io.dicom_phantom import (
    ATRIUM,
    CODES,
    COLUMNS,
    HIPPOCAMPUS,
    ROWS,
    SERIES,
    SLICES,
    errors_in,
    identity,
    needs_dciodvfy,
    two_segments,
    write_phantom,
)
from transforms.io.dicom_contours import rtstruct_mask
from transforms.io.dicom_identity import RESEARCH_USE
from transforms.io.dicom_segmentation import read_segmentation, segment_numbers, segmentation_object
from transforms.io.dicom_series import DicomSeries, read_series
from transforms.io.input_error import InputError
from transforms.io.segment_codes import TISSUE, Code, SegmentCode

SHAPE = (COLUMNS, ROWS, SLICES)
REAL = (
    "brain_mr_dicom/images/Study1/13_HCropVolume",
    "brain_mr_dicom/images/Study3/11_HCropVolume",
    "brain_mr_dicom/images/Study3/11-T1post-18670",
    "ct_dicom_rtstruct/images/STS_025/CT",
    "ct_dicom_rtstruct/images/STS_025/MR_T1",
    "ct_dicom_rtstruct/images/STS_025/PET",
    "ct_dicom_seg/images/ct-3slice",
)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> DicomSeries:
    return write_phantom(tmp_path_factory.mktemp("series"))


@pytest.fixture(scope="module")
def written(series: DicomSeries) -> Dataset:
    return segmentation_object(series, two_segments(SHAPE), CODES, identity(series))


@pytest.fixture
def stored(written: Dataset) -> Dataset:
    """Read as an archive would give it."""
    return _through_a_file(written)


def _through_a_file(result: Dataset) -> Dataset:
    stream = io.BytesIO()
    result.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return pydicom.dcmread(stream)


def _bytes(result: Dataset) -> bytes:
    stream = io.BytesIO()
    result.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.parametrize("form", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("kind", ["two", "first alone", "second alone", "none", "all"])
def test_a_mask_comes_back_voxel_for_voxel(series: DicomSeries, tmp_path: Path, form: Any, kind: str):
    labels = two_segments(SHAPE)
    if kind == "first alone":
        labels[labels == 4] = 0
    if kind == "second alone":
        labels[labels == 1] = 0
    if kind == "none":
        labels[:] = 0
    if kind == "all":
        labels[labels == 0] = 4
    result = segmentation_object(series, labels, CODES, identity(series), form=form)
    path = tmp_path / "seg.dcm"
    result.save_as(path, enforce_file_format=True)
    np.testing.assert_array_equal(read_segmentation(path, series, CODES), labels)
    assert result.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert result.SegmentationType == form
    numbers = [item.SegmentNumber for item in result.SegmentSequence]
    assert numbers == ([1, 2] if form == "BINARY" else [0, 1, 2])


@pytest.mark.parametrize("form", ["BINARY", "LABELMAP"])
def test_highdicom_reads_the_same(series: DicomSeries, form: Any):
    from highdicom.seg import Segmentation

    labels = two_segments(SHAPE)
    result = segmentation_object(series, labels, CODES, identity(series), form=form)
    read = Segmentation.from_dataset(_through_a_file(result))
    instances = [str(header.SOPInstanceUID) for header in series.headers]
    pixels = read.get_pixels_by_source_instance(
        instances, combine_segments=True, assert_missing_frames_are_empty=True, ignore_spatial_locations=True
    )
    np.testing.assert_array_equal(pixels.transpose(2, 1, 0), segment_numbers(labels, CODES, SHAPE))


def test_an_empty_mask_keeps_one_plane_and_all_references(series: DicomSeries):
    for form, frames in (("BINARY", 2), ("LABELMAP", 1)):
        result = segmentation_object(series, np.zeros(SHAPE, np.uint8), CODES, identity(series), form=form)
        assert int(result.NumberOfFrames) == frames
        referenced = result.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        assert {item.ReferencedSOPInstanceUID for item in referenced} == {h.SOPInstanceUID for h in series.headers}


def test_segments_tell_code_algorithm_use_colour_and_track(written: Dataset, series: DicomSeries):
    for item, code in zip(written.SegmentSequence, CODES, strict=True):
        assert item.SegmentLabel == code.name
        assert item.SegmentDescription == RESEARCH_USE
        assert item.SegmentedPropertyTypeCodeSequence[0].CodeValue == code.type.value
        assert item.SegmentedPropertyCategoryCodeSequence[0].CodeValue == code.category.value
        assert item.SegmentAlgorithmType == "AUTOMATIC"
        algorithm = item.SegmentationAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("tiny", "1.2")
        assert "ab" * 32 in algorithm.AlgorithmParameters
        assert item.TrackingUID == identity(series).tracking_uid(code.label)
    modifiers = (
        written.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
    )
    assert modifiers[0].CodeMeaning == "Anterior"
    colours = {tuple(item.RecommendedDisplayCIELabValue) for item in written.SegmentSequence}
    assert len(colours) == 2


def test_the_object_belongs_to_patient_and_study_and_says_who_made_it(written: Dataset, series: DicomSeries):
    assert (str(written.PatientName), written.PatientID) == ("Roe^Jane", "MRN-77")
    assert written.StudyInstanceUID == series.headers[0].StudyInstanceUID
    assert written.SeriesInstanceUID != SERIES
    assert written.Manufacturer == "Concord"
    assert written.ManufacturerModelName == "tiny"
    assert list(written.SoftwareVersions) == ["Concord 9.9", "tiny 1.2"]
    assert written.ContentDescription == RESEARCH_USE
    assert written.SeriesDescription.endswith(RESEARCH_USE)
    assert "shy" not in str(written)


def test_a_repeat_gives_the_same_bytes(series: DicomSeries, written: Dataset):
    assert _bytes(segmentation_object(series, two_segments(SHAPE), CODES, identity(series))) == _bytes(written)
    other = segmentation_object(series, two_segments(SHAPE), CODES, identity(series), form="LABELMAP")
    assert other.SOPInstanceUID != written.SOPInstanceUID


def test_names_in_any_script_survive_with_the_patients(tmp_path: Path):
    def umlaut(number: int, data: Dataset) -> None:
        data.SpecificCharacterSet, data.PatientName = "ISO_IR 100", "Müller^Jürgen"

    series = write_phantom(tmp_path, umlaut)
    for name in ("plain", "左心房"):
        code = SegmentCode(1, name, TISSUE, Code("A1", "99CONCORD", name))
        labels = (two_segments(SHAPE) == 1).astype(np.uint8)
        read = _through_a_file(segmentation_object(series, labels, [code], identity(series)))
        assert str(read.PatientName) == "Müller^Jürgen"
        assert read.SegmentSequence[0].SegmentLabel == name


def test_neither_warnings_nor_logs_quote_the_patient(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    def single(number: int, data: Dataset) -> None:
        data.PatientName = "Roe"

    series = write_phantom(tmp_path, single)
    segmentation_object(series, two_segments(SHAPE), CODES, identity(series))
    assert not [record for record in caplog.records if "Roe" in record.getMessage()]


@pytest.mark.parametrize(
    ("labels", "codes"),
    [
        (np.full(SHAPE, 2, np.uint8), CODES),
        (np.full(SHAPE, -1, np.int16), CODES),
        (np.zeros(SHAPE[::-1], np.uint8), CODES),
        (np.zeros(SHAPE, np.float32), CODES),
        (np.zeros(SHAPE, np.uint8), ()),
        (np.zeros(SHAPE, np.uint8), (ATRIUM, ATRIUM)),
    ],
)
def test_masks_that_do_not_fit_their_codes_or_grid_are_a_fault_of_the_caller(series: DicomSeries, labels, codes):
    with pytest.raises(ValueError, match="mask|segments") as fault:
        segmentation_object(series, labels, codes, identity(series))
    assert not isinstance(fault.value, InputError)


def test_segment_numbers_follow_the_order_of_the_codes():
    labels = two_segments(SHAPE).astype(np.int64)
    numbers = segment_numbers(labels, (HIPPOCAMPUS, ATRIUM), SHAPE)
    assert numbers.dtype == np.uint8
    np.testing.assert_array_equal(numbers, np.where(labels == 4, 1, np.where(labels == 1, 2, 0)))


def test_frames_may_come_in_any_order_and_without_codes_numbers_are_given(stored: Dataset, series: DicomSeries):
    frames = np.asarray(stored.PerFrameFunctionalGroupsSequence)
    pixels = np.unpackbits(np.frombuffer(stored.PixelData, np.uint8), bitorder="little")[: len(frames) * ROWS * COLUMNS]
    order = np.random.default_rng(0).permutation(len(frames))
    stored.PerFrameFunctionalGroupsSequence = [frames[index] for index in order]
    packed = np.packbits(pixels.reshape(len(frames), -1)[order], bitorder="little").tobytes()
    stored.PixelData = packed + bytes(len(packed) % 2)
    labels = two_segments(SHAPE)
    np.testing.assert_array_equal(read_segmentation(stored, series), segment_numbers(labels, CODES, SHAPE))


def _first_frame(stored: Dataset) -> Dataset:
    return stored.PerFrameFunctionalGroupsSequence[0]


def _move(stored: Dataset) -> None:
    place = _first_frame(stored).PlanePositionSequence[0]
    place.ImagePositionPatient = [float(place.ImagePositionPatient[0]) + 0.3, *place.ImagePositionPatient[1:]]


def _beyond(stored: Dataset) -> None:
    step = np.subtract(
        *(stored.PerFrameFunctionalGroupsSequence[i].PlanePositionSequence[0].ImagePositionPatient for i in (1, 0))
    )
    place = _first_frame(stored).PlanePositionSequence[0]
    place.ImagePositionPatient = [float(v) for v in np.asarray(place.ImagePositionPatient, float) + 20 * step]


def _turn(stored: Dataset) -> None:
    stored.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]


def _scale(stored: Dataset) -> None:
    stored.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.75, 0.51]


def _overlap(stored: Dataset) -> None:
    size = len(stored.PerFrameFunctionalGroupsSequence) * ROWS * COLUMNS
    stored.PixelData = b"\xff" * ((size + 15) // 16 * 2)


def _repeat(stored: Dataset) -> None:
    groups = stored.PerFrameFunctionalGroupsSequence
    groups[1].PlanePositionSequence = copy.deepcopy(groups[0].PlanePositionSequence)


def _truncate(stored: Dataset) -> None:
    stored.PixelData = stored.PixelData[: len(stored.PixelData) // 4 * 2]


def _undescribed(stored: Dataset) -> None:
    stored.SegmentSequence = stored.SegmentSequence[:1]


def _nowhere(stored: Dataset) -> None:
    del stored.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence


def _unnumbered(stored: Dataset) -> None:
    del _first_frame(stored).SegmentIdentificationSequence


def _setting(**values: object):
    return lambda stored: [setattr(stored, name, value) for name, value in values.items()]


def _of_another_series(stored: Dataset) -> None:
    stored.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_setting(SegmentationType="FRACTIONAL"), "BINARY or LABELMAP"),
        (_setting(FrameOfReferenceUID="1.2.3"), "another frame of reference"),
        (_of_another_series, "another series"),
        (_setting(Rows=ROWS + 1), "not the series' grid"),
        (_setting(NumberOfFrames=2), "has 2 frames"),
        (_move, "do not lie on the slices"),
        (_beyond, "do not lie on the slices"),
        (_turn, "do not lie on the slices"),
        (_scale, "do not lie on the slices"),
        (_nowhere, "where its frames lie"),
        (_unnumbered, "belongs to no segment"),
        (_overlap, "overlap"),
        (_repeat, "two frames of one segment"),
        (_truncate, "truncated or damaged"),
        (_undescribed, "does not describe"),
    ],
)
def test_what_is_no_mask_of_the_series_is_refused(stored: Dataset, series: DicomSeries, change, reason: str):
    change(stored)
    with pytest.raises(InputError, match=reason):
        read_segmentation(stored, series)


def test_files_that_are_no_segmentation_are_refused(tmp_path: Path, series: DicomSeries, stored: Dataset):
    (tmp_path / "text.dcm").write_text("hello")
    for path, reason in (
        (tmp_path / "absent.dcm", "does not exist"),
        (tmp_path / "text.dcm", "no readable DICOM"),
        (series.paths[0], "BINARY or LABELMAP"),
    ):
        with pytest.raises(InputError, match=reason) as refusal:
            read_segmentation(path, series)
        assert refusal.value.subject == str(path)
    with pytest.raises(InputError, match="only 1 are known"):
        read_segmentation(stored, series, CODES[:1])


@needs_data("ct_dicom_seg")
def test_a_segmentation_of_another_maker_is_read():
    folder = FOLDER / "ct_dicom_seg"
    series = read_series(folder / "images" / "ct-3slice")
    labels = read_segmentation(folder / "labels" / "liver_seg.dcm", series)
    raw = pydicom.dcmread(folder / "labels" / "liver_seg.dcm")
    heights = [float(g.PlanePositionSequence[0].ImagePositionPatient[2]) for g in raw.PerFrameFunctionalGroupsSequence]
    expected = raw.pixel_array[np.argsort(heights)].transpose(2, 1, 0)
    np.testing.assert_array_equal(labels, expected)
    assert 0.1 < labels.mean() < 0.2


@needs_data("ct_dicom_rtstruct")
@pytest.mark.parametrize("name", ["CT", "MR_T1", "PET"])
def test_known_contours_come_back_equal(name: str):
    folder = FOLDER / "ct_dicom_rtstruct"
    series = read_series(folder / "images" / "STS_025" / name)
    labels = rtstruct_mask(folder / "labels" / "STS_025" / name / "RS.dcm", series, f"GTV_Mass_{name}")
    labels = labels.astype(np.uint8)
    result = segmentation_object(series, labels, [ATRIUM], identity(series))
    back = read_segmentation(_through_a_file(result), series, [ATRIUM])
    assert labels.any()
    np.testing.assert_array_equal(back, labels)


@needs_dciodvfy
@pytest.mark.pacs
@pytest.mark.parametrize(
    "source", ["phantom", *(pytest.param(name, marks=needs_data(name.split("/")[0])) for name in REAL)]
)
def test_dciodvfy_finds_no_error(series: DicomSeries, tmp_path: Path, source: str):
    images = series if source == "phantom" else read_series(FOLDER / source)
    labels = two_segments(images.geometry.shape)
    for mask in (labels, np.zeros_like(labels)):
        result = segmentation_object(images, mask, CODES, identity(images))
        assert errors_in(result, tmp_path / "seg.dcm") == []
