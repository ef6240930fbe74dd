"""Headers that objects are made of: gaps filled on copies, the patient's other data left out, the unusable refused."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileDataset

from tests.transforms.io.dicom_phantom import SLICES, SPACING, write_phantom
from transforms.io.dicom_source import character_set, quiet, source_headers
from transforms.io.input_error import InputError


def _setting(**values: object):
    def change(number: int, data: FileDataset) -> None:
        for name, value in values.items():
            setattr(data, name, value)

    return change


def _on_the_last(**values: object):
    def change(number: int, data: FileDataset) -> None:
        if number == SLICES - 1:
            _setting(**values)(number, data)

    return change


def test_missing_elements_are_empty_on_copies_alone(tmp_path: Path):
    series = write_phantom(tmp_path)
    before = {path: path.read_bytes() for path in series.paths}
    headers = source_headers(series)
    assert len(headers) == SLICES
    for header, original in zip(headers, series.headers, strict=True):
        for keyword in ("PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "ReferringPhysicianName"):
            assert not header[keyword].value
            assert keyword not in original
        assert header.SOPInstanceUID == original.SOPInstanceUID
        assert not header.SeriesNumber
        header.PatientName = "changed"
    assert {str(original.PatientName) for original in series.headers} == {"Roe^Jane"}
    assert {path: path.read_bytes() for path in series.paths} == before


def test_what_no_result_needs_stays_with_the_images(tmp_path: Path):
    private = dict(PatientAge="041Y", PatientAddress="1 Elm St", EthnicGroup="x", InstitutionName="St. Elsewhere")
    (header, *_) = source_headers(write_phantom(tmp_path, _setting(**private)))
    text = str(header)
    assert "Roe^Jane" in text
    assert not [word for word in ("shy", "041Y", "Elm", "Elsewhere") if word in text]
    assert "PixelData" not in header


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PatientSex", "U", ""),
        ("PatientSex", "F", "F"),
        ("StudyDate", "2024-01-02", ""),
        ("StudyDate", "20241301", ""),
        ("StudyTime", "25", ""),
        ("StudyTime", "1050", "1050"),
        ("PatientBirthDate", "anonymous", ""),
        ("StudyID", "x" * 17, ""),
        ("StudyID", "x" * 16, "x" * 16),
        ("AccessionNumber", "x" * 17, ""),
        ("PatientID", "x" * 65, "x" * 65),
    ],
)
@pytest.mark.filterwarnings("ignore:The value length:UserWarning", "ignore:Invalid value for VR:UserWarning")
def test_values_that_dicom_does_not_allow_are_emptied_unless_they_say_who_it_is(
    tmp_path: Path, keyword: str, value: str, expected: str
):
    (header, *_) = source_headers(write_phantom(tmp_path, _setting(**{keyword: value})))
    assert header[keyword].value == expected


def test_rounded_directions_and_wrong_distances_do_not_reach_the_result(tmp_path: Path):
    def rounded(number: int, data: FileDataset) -> None:
        data.ImageOrientationPatient = [round(float(value), 4 + number) for value in data.ImageOrientationPatient]
        data.SpacingBetweenSlices = 99

    series = write_phantom(tmp_path, rounded)
    assert len({tuple(header.ImageOrientationPatient) for header in series.headers}) > 1
    headers = source_headers(series)
    assert len({tuple(header.ImageOrientationPatient) for header in headers}) == 1
    for header in headers:
        assert float(header.SpacingBetweenSlices) == pytest.approx(SPACING[2], rel=1e-6)
    assert len({tuple(header.ImagePositionPatient) for header in headers}) == SLICES


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_setting(FrameOfReferenceUID=""), "no FrameOfReferenceUID"),
        (_setting(StudyInstanceUID=""), "no StudyInstanceUID"),
        (_on_the_last(SOPInstanceUID=""), "no SOPInstanceUID"),
        (_setting(Modality=""), "no Modality"),
        (_on_the_last(SOPInstanceUID="1.2.826.0.1.2.1"), "same SOPInstanceUID as IM0.dcm"),
        (_on_the_last(StudyInstanceUID="1.2.9"), "another study"),
        (_setting(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"), "Basic Text SR"),
    ],
)
def test_what_cannot_be_referred_to_is_refused_by_file(tmp_path: Path, change, reason: str):
    series = write_phantom(tmp_path, change)
    with pytest.raises(InputError, match=reason) as refusal:
        source_headers(series)
    assert Path(refusal.value.subject).parent == tmp_path


@pytest.mark.parametrize(
    ("own", "text", "expected"),
    [
        (None, "plain", None),
        (None, "ö", "ISO_IR 192"),
        ("", "plain", None),
        ("ISO_IR 100", "plain", "ISO_IR 100"),
        ("ISO_IR 100", "ö", "ISO_IR 192"),
        (["", "ISO 2022 IR 87"], "plain", "ISO_IR 192"),
        ("ISO_IR 1000", "plain", "ISO_IR 192"),
    ],
)
def test_the_character_set_of_the_images_is_kept_where_it_can_hold_our_texts(own, text: str, expected):
    source = Dataset()
    if own is not None:
        source.SpecificCharacterSet = own
    assert character_set(source, "ascii", text) == expected


def test_libraries_do_not_quote_the_patient(caplog: pytest.LogCaptureFixture):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with quiet():
            warnings.warn("Roe^Jane", stacklevel=1)
            logging.getLogger("highdicom.base").warning("Roe^Jane")
            logging.getLogger("pydicom").warning("Roe^Jane")
        assert not told
        assert not caplog.records
        logging.getLogger("highdicom.base").warning("afterwards")
        warnings.warn("afterwards", stacklevel=1)
        assert len(told) == len(caplog.records) == 1
