"""DICOM series: regular ones read, every irregular one refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    MPEG2MPML,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from tests.data_sets import FOLDER, needs_data
from transforms.io.dicom_series import read_dicom_geometry, read_dicom_series, read_series
from transforms.io.input_error import InputError

ROWS, COLUMNS, SLICES, STEP = 6, 5, 8, 2.5
SERIES, FRAME = generate_uid(), generate_uid()
TURN = np.deg2rad(15)
ALONG, DOWN = np.array([np.cos(TURN), np.sin(TURN), 0]), np.array([0, 0, -1.0])
NORMAL = np.cross(ALONG, DOWN)
Slices = list[FileDataset]


def _slice(number: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.FrameOfReferenceUID, data.PatientID, data.Modality = SERIES, FRAME, "P1", "CT"
    data.SeriesNumber, data.InstanceNumber = None, SLICES - number
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
    data.PixelSpacing, data.SliceThickness = [0.8, 0.6], 5.0
    data.ImageOrientationPatient = [float(value) for value in (*ALONG, *DOWN)]
    _place(data, number * STEP * NORMAL)
    data.RescaleSlope, data.RescaleIntercept = 2, -1000
    values = np.arange(ROWS * COLUMNS, dtype=np.int16).reshape(ROWS, COLUMNS) + 100 * number
    data.PixelData = values.tobytes()
    return data


def _place(data: FileDataset, offset: np.ndarray) -> None:
    data.ImagePositionPatient = [round(float(value), 6) for value in np.array([-20.0, 30.0, 5.0]) + offset]


def _write(folder: Path, slices: Slices) -> Path:
    for index, data in enumerate(slices):
        data.save_as(folder / f"IM{(index * 5) % 97:03d}.dcm", enforce_file_format=True)
    return folder


def test_a_series_is_sorted_by_position_and_rescaled(tmp_path: Path) -> None:
    volume = read_dicom_series(_write(tmp_path, [_slice(number) for number in (3, 0, 7, 1, 2, 6, 5, 4)]))
    assert volume.array.shape == (COLUMNS, ROWS, SLICES)
    assert volume.array.dtype == np.int32
    # Row 2, column 3 of the slice with number 4.
    assert volume.array[3, 2, 4] == 2 * (2 * COLUMNS + 3 + 400) - 1000
    np.testing.assert_allclose(volume.spacing, (0.6, 0.8, STEP), atol=1e-6)
    lps = np.array([-20.0, 30.0, 5.0]) + 3 * 0.6 * ALONG + 2 * 0.8 * DOWN + 4 * STEP * NORMAL
    np.testing.assert_allclose(volume.affine @ [3, 2, 4, 1], [-lps[0], -lps[1], lps[2], 1], atol=1e-5)
    assert read_dicom_geometry(tmp_path).shape == volume.array.shape


def test_what_lies_beside_is_passed_over(tmp_path: Path) -> None:
    _write(tmp_path, [_slice(number) for number in range(SLICES)])
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").touch()
    (tmp_path / "DICOMDIR").write_bytes(b"x")
    (tmp_path / "._IM000.dcm").write_bytes(b"x")
    (tmp_path / "more").mkdir()
    report = _slice(0)
    report.SeriesInstanceUID = generate_uid()
    for name in ("Rows", "Columns", "PixelData"):
        delattr(report, name)
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    assert len(read_series(tmp_path).paths) == SLICES


def test_fractions_make_floats_and_absent_rescale_changes_nothing(tmp_path: Path) -> None:
    slices = [_slice(number) for number in range(SLICES)]
    slices[2].RescaleSlope = 0.5
    del slices[3].RescaleSlope, slices[3].RescaleIntercept
    volume = read_dicom_series(_write(tmp_path, slices))
    assert volume.array.dtype == np.float32
    assert volume.array[1, 0, 2] == 0.5 * 201 - 1000
    assert volume.array[1, 0, 3] == 301


def _on(index: int, **values: object) -> Callable[[Slices], Slices]:
    def change(slices: Slices) -> Slices:
        for name, value in values.items():
            setattr(slices[index], name, value)
        return slices

    return change


def _without(name: str) -> Callable[[Slices], Slices]:
    def change(slices: Slices) -> Slices:
        delattr(slices[2], name)
        return slices

    return change


def _moved(vector: Callable[[int], np.ndarray]) -> Callable[[Slices], Slices]:
    def change(slices: Slices) -> Slices:
        for number, data in enumerate(slices):
            _place(data, vector(number))
        return slices

    return change


def _wider(slices: Slices) -> Slices:
    slices[3].Columns, slices[3].PixelData = COLUMNS + 1, bytes(2 * ROWS * (COLUMNS + 1))
    return slices


def _bare(slices: Slices) -> Slices:
    for name in ("Rows", "Columns", "PixelData"):
        delattr(slices[2], name)
    return slices


def _deflated(slices: Slices) -> Slices:
    slices[2].file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return _without("PixelData")(slices)


def _unknown_compression(slices: Slices) -> Slices:
    slices[2].file_meta.TransferSyntaxUID = MPEG2MPML
    slices[2].PixelData = encapsulate([b"video"])
    return slices


def _torn_compression(slices: Slices) -> Slices:
    slices[2].compress(RLELossless, generate_instance_uid=False)
    slices[2].PixelData = encapsulate([next(generate_frames(slices[2].PixelData, number_of_frames=1))[:70]])
    return slices


TILTED = [float(value) for value in (*ALONG, 0, np.sin(0.2), -np.cos(0.2))]
IRREGULAR: dict[str, tuple[Callable[[Slices], Slices], str]] = {
    "two series": (_on(3, SeriesInstanceUID=generate_uid()), "2 series"),
    "two patients": (_on(3, PatientID="P2"), "2 patients"),
    "two frames": (_on(3, FrameOfReferenceUID=generate_uid()), "2 frames"),
    "missing slice": (lambda slices: slices[:3] + slices[4:], "one is missing"),
    "duplicate slice": (lambda slices: [*slices, _slice(3)], "one position"),
    "uneven": (_moved(lambda n: (n + 0.2 * (n == 3)) * STEP * NORMAL), "unevenly spaced"),
    "tilted": (_moved(lambda n: n * (STEP * NORMAL + 0.3 * DOWN)), "gantry tilt"),
    "one slice": (lambda slices: slices[:1], "single slice"),
    "other orientation": (_on(3, ImageOrientationPatient=[1, 0, 0, 0, 1, 0]), "oriented differently"),
    "not perpendicular": (_on(0, ImageOrientationPatient=[1, 0, 0, 0.6, 0.8, 0]), "perpendicular"),
    "other spacing": (_on(3, PixelSpacing=[0.8, 0.7]), "another PixelSpacing"),
    "other size": (_wider, "pixels, others"),
    "no position": (_without("ImagePositionPatient"), "ImagePositionPatient"),
    "no orientation": (_without("ImageOrientationPatient"), "ImageOrientationPatient"),
    "no spacing": (_without("PixelSpacing"), "PixelSpacing"),
    "zero spacing": (_on(1, PixelSpacing=[0, 0]), "positive"),
    "colours": (_on(1, SamplesPerPixel=3), "colours"),
    "inverted": (_on(1, PhotometricInterpretation="MONOCHROME1"), "MONOCHROME1"),
    "frames": (_on(1, NumberOfFrames=4), "several frames"),
    "zero slope": (_on(1, RescaleSlope=0), "rescale slope"),
    "truncated pixels": (_on(1, PixelData=bytes(10)), "truncated or damaged"),
    "empty pixels": (_on(1, PixelData=b""), "truncated or damaged"),
    "no pixels": (_without("PixelData"), "without pixels"),
    "no pixels, deflated": (_deflated, "without pixels"),
    "no pixels, no size": (_bare, "without pixels"),
    "no size": (_without("Rows"), "without pixels"),
    "unknown compression": (_unknown_compression, "no decoder here .MPEG2"),
    "torn compression": (_torn_compression, "truncated or damaged"),
}


@pytest.mark.parametrize(("change", "reason"), IRREGULAR.values(), ids=IRREGULAR.keys())
def test_irregular_series_are_refused(tmp_path: Path, change: Callable[[Slices], Slices], reason: str) -> None:
    _write(tmp_path, change([_slice(number) for number in range(SLICES)]))
    with pytest.raises(InputError, match=reason) as refusal:
        read_dicom_series(tmp_path)
    assert refusal.value.subject.startswith(str(tmp_path))
    assert "\n" not in str(refusal.value)


def test_lost_slices_and_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no DICOM images"):
        read_dicom_series(tmp_path)
    _write(tmp_path, [_slice(number) for number in range(SLICES)])
    with pytest.raises(InputError, match="from its folder"):
        read_dicom_series(tmp_path / "IM000.dcm")
    (tmp_path / "IM000.dcm").write_bytes(b"")
    with pytest.raises(InputError, match="a slice may be lost"):
        read_dicom_series(tmp_path)
    (tmp_path / "IM000.dcm").unlink()
    (tmp_path / "IM000.dcm").symlink_to(tmp_path / "IM000.dcm")
    with pytest.raises(InputError, match="cannot be read"):
        read_dicom_series(tmp_path)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, [_slice(number) for number in range(SLICES)])
    path = tmp_path / "IM005.dcm"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="truncated or damaged") as refusal:
        read_dicom_series(tmp_path)
    assert refusal.value.subject == str(path)


def test_headers_alone_are_no_series(tmp_path: Path) -> None:
    slices = [_slice(number) for number in range(SLICES)]
    for data in slices:
        del data.PixelData
    with pytest.raises(InputError, match="without pixels"):
        read_series(_write(tmp_path, slices))


def test_a_deflated_series_is_read(tmp_path: Path) -> None:
    slices = [_slice(number) for number in range(SLICES)]
    plain = read_dicom_series(_write(_folder(tmp_path / "plain"), slices)).array
    for data in slices:
        data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    np.testing.assert_array_equal(read_dicom_series(_write(_folder(tmp_path / "deflated"), slices)).array, plain)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _pillow(picture: np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind, **options)
    return stream.getvalue()


def _compress(path: Path, data: FileDataset, syntax: UID, picture: np.ndarray) -> None:
    """Write ``data`` with its pixels compressed, each form by a library that can."""
    if syntax in (RLELossless, JPEGLSLossless):
        data.compress(syntax, generate_instance_uid=False)
    elif syntax == JPEGLosslessSV1:
        data.save_as(path, enforce_file_format=True)
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return
    else:
        kind = "JPEG2000" if syntax == JPEG2000Lossless else "JPEG"
        options = {"irreversible": False, "no_jp2": True} if kind == "JPEG2000" else {"quality": 95}
        data.PixelData = encapsulate([_pillow(picture, kind, **options)])
        data["PixelData"].VR = "OB"
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize(
    ("syntax", "dtype", "tolerance"),
    [
        (RLELossless, np.uint16, 0),
        (JPEGLSLossless, np.uint16, 0),
        (JPEGLosslessSV1, np.uint16, 0),
        (JPEG2000Lossless, np.uint16, 0),
        (JPEG2000Lossless, np.uint8, 0),
        (JPEGBaseline8Bit, np.uint8, 4),
    ],
)
def test_compressed_series_are_decoded(tmp_path: Path, syntax: UID, dtype: type, tolerance: int) -> None:
    rows, columns = np.mgrid[:40, :48]
    pictures = [(3 * rows + 2 * columns + 5 * number).astype(dtype) for number in range(4)]
    bits = pictures[0].itemsize * 8
    for number, picture in enumerate(pictures):
        data = _slice(number)
        data.Rows, data.Columns, data.PixelRepresentation = 40, 48, 0
        data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
        data.PixelData = picture.tobytes()
        data.RescaleSlope, data.RescaleIntercept = 1, -5
        _compress(tmp_path / f"{number}.dcm", data, syntax, picture)
        assert pydicom.dcmread(tmp_path / f"{number}.dcm").file_meta.TransferSyntaxUID == syntax
    volume = read_dicom_series(tmp_path)
    expected = np.stack([picture.T.astype(np.int32) - 5 for picture in pictures], axis=-1)
    np.testing.assert_allclose(volume.array, expected, atol=tolerance)


@needs_data("brain_mr_dicom")
@pytest.mark.parametrize(
    ("series", "shape", "spacing"),
    [
        ("Study1/13_HCropVolume", (35, 51, 32), (1.0, 1.0, 1.0)),
        ("Study3/11_HCropVolume", (34, 50, 40), (1.0, 1.0, 1.0)),
        ("Study3/11-T1post-18670", (280, 320, 22), (0.6875, 0.6875, 6.5)),
    ],
)
def test_real_series(series: str, shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    folder = FOLDER / "brain_mr_dicom" / "images" / series
    volume = read_dicom_series(folder)
    assert volume.array.shape == shape
    np.testing.assert_allclose(volume.spacing, spacing, atol=1e-4)
    last = pydicom.dcmread(read_series(folder).paths[-1])
    np.testing.assert_array_equal(volume.array[..., -1], last.pixel_array.T)
    corner = volume.affine @ [0, 0, shape[2] - 1, 1]
    np.testing.assert_allclose(corner[:3] * [-1, -1, 1], [float(v) for v in last.ImagePositionPatient], atol=1e-3)


def test_a_file_cut_off_in_its_first_elements_is_no_other_object(tmp_path: Path) -> None:
    _write(tmp_path, [_slice(number) for number in range(SLICES)])
    last = max(tmp_path.iterdir())
    last.write_bytes(last.read_bytes()[:340])
    with pytest.raises(InputError, match="ends before it says which series"):
        read_series(tmp_path)
