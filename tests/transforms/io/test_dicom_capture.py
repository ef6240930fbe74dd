"""Secondary captures: the pixels as given, in the patient's study, valid whatever the body part."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset

from tests.data_sets import FOLDER, needs_data
from tests.transforms.io.dicom_phantom import MOMENT, errors_in, identity, needs_dciodvfy, write_phantom
from tests.transforms.io.test_dicom_segmentation import REAL
from transforms.io.dicom_capture import overlay_capture
from transforms.io.dicom_identity import RESEARCH_USE
from transforms.io.dicom_series import DicomSeries, read_series

PICTURE = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> DicomSeries:
    return write_phantom(tmp_path_factory.mktemp("series"))


def _bytes(result: Dataset) -> bytes:
    stream = io.BytesIO()
    result.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def test_the_pixels_are_kept_and_the_object_says_what_it_is(series: DicomSeries):
    result = pydicom.dcmread(io.BytesIO(_bytes(overlay_capture(series, PICTURE, identity(series)))))
    np.testing.assert_array_equal(result.pixel_array, PICTURE)
    assert result.SOPClassUID.name == "Secondary Capture Image Storage"
    assert result.PhotometricInterpretation == "RGB"
    assert result.BurnedInAnnotation == "NO"
    assert result.Manufacturer == "Concord"
    assert result.SeriesDescription.endswith(RESEARCH_USE)
    assert result.DerivationDescription == RESEARCH_USE
    assert result.StudyInstanceUID == series.headers[0].StudyInstanceUID
    assert (str(result.PatientName), result.PatientID) == ("Roe^Jane", "MRN-77")
    assert "shy" not in str(result)
    assert result.DateOfSecondaryCapture == MOMENT.strftime("%Y%m%d")


def test_whose_it_is_is_told_as_fully_as_the_images_do(tmp_path: Path):
    def issued(number: int, data: FileDataset) -> None:
        data.IssuerOfPatientID, data.PatientIdentityRemoved, data.DeidentificationMethod = "Ward 3", "YES", "by hand"

    series = write_phantom(tmp_path, issued)
    result = overlay_capture(series, PICTURE, identity(series))
    assert (result.IssuerOfPatientID, result.DeidentificationMethod) == ("Ward 3", "by hand")


def test_a_repeat_gives_the_same_bytes_and_a_second_picture_another_instance(series: DicomSeries):
    first = overlay_capture(series, PICTURE, identity(series))
    assert _bytes(overlay_capture(series, PICTURE, identity(series))) == _bytes(first)
    second = overlay_capture(series, PICTURE, identity(series), number=2)
    assert second.SOPInstanceUID != first.SOPInstanceUID
    assert second.SeriesInstanceUID == first.SeriesInstanceUID


@pytest.mark.parametrize("picture", [PICTURE[..., 0], PICTURE.astype(np.uint16), PICTURE[..., :2], PICTURE[:0]])
def test_what_is_no_picture_is_a_fault(series: DicomSeries, picture: np.ndarray):
    with pytest.raises(ValueError, match="picture"):
        overlay_capture(series, picture, identity(series))


def test_pictures_are_numbered_from_one(series: DicomSeries):
    with pytest.raises(ValueError, match="from 1"):
        overlay_capture(series, PICTURE, identity(series), number=0)


@needs_dciodvfy
@pytest.mark.pacs
@pytest.mark.parametrize(
    ("part", "side"),
    [(None, None), ("BRAIN", None), ("BRAIN", ""), ("KNEE", None), ("KNEE", "R"), ("EXTREMITY", ""), ("CHEST", None)],
)
def test_dciodvfy_finds_no_error_whatever_the_body_part(tmp_path: Path, part: str | None, side: str | None):
    def examined(number: int, data: FileDataset) -> None:
        if part is not None:
            data.BodyPartExamined = part
        if side is not None:
            data.Laterality = side

    series = write_phantom(tmp_path / "series", examined)
    result = overlay_capture(series, PICTURE, identity(series))
    assert result.Laterality == (side or "")
    assert errors_in(result, tmp_path / "sc.dcm") == []


@needs_dciodvfy
@pytest.mark.pacs
@pytest.mark.parametrize("source", [pytest.param(name, marks=needs_data(name.split("/")[0])) for name in REAL])
def test_dciodvfy_finds_no_error_for_real_series(tmp_path: Path, source: str):
    series = read_series(FOLDER / source)
    assert errors_in(overlay_capture(series, PICTURE, identity(series)), tmp_path / "sc.dcm") == []
