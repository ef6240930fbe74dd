"""Files of several frames, as optical coherence tomography comes: the B-scans are the last axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, OphthalmicTomographyImageStorage, generate_uid

from transforms.io.dicom_frames import frame_headers
from transforms.io.dicom_series import read_series
from transforms.io.input_error import InputError
from transforms.io.volume import read_geometry, read_volume

ROWS, COLUMNS, SCANS = 6, 9, 5
VALUES = np.random.default_rng(0).integers(0, 256, (SCANS, ROWS, COLUMNS)).astype(np.uint8)


def _group(**macros: dict[str, Any]) -> Dataset:
    group = Dataset()
    for name, elements in macros.items():
        item = Dataset()
        for keyword, value in elements.items():
            setattr(item, keyword, value)
        setattr(group, name, Sequence([item]))
    return group


def made(**changes: Any) -> FileDataset:
    """B-scans of 0.0039 mm in depth and 0.0117 mm across, 0.047 mm apart; the last one first in the file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = OphthalmicTomographyImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = OphthalmicTomographyImageStorage, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.FrameOfReferenceUID, data.PatientID = generate_uid(), generate_uid(), "P1"
    data.Modality, data.NumberOfFrames, data.Rows, data.Columns = "OPT", SCANS, ROWS, COLUMNS
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    shared = _group(
        PixelMeasuresSequence={"PixelSpacing": [0.0039, 0.0117], "SliceThickness": 0.01},
        PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
    )
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    places = [[-3.0, -1.0, round(0.047 * (SCANS - 1 - index), 6)] for index in range(SCANS)]
    frames = [_group(PlanePositionSequence={"ImagePositionPatient": place}) for place in places]
    data.PerFrameFunctionalGroupsSequence = Sequence(frames)
    data.PixelData = VALUES.tobytes() + bytes(VALUES.size % 2)
    for keyword, value in changes.items():
        setattr(data, keyword, value)
    return data


def saved(folder: Path, data: FileDataset, name: str = "cube.dcm") -> Path:
    folder.mkdir(exist_ok=True)
    data.save_as(folder / name, enforce_file_format=True)
    return folder


def test_b_scans_are_the_last_axis(tmp_path: Path) -> None:
    folder = saved(tmp_path / "eye", made())
    volume, geometry = read_volume(folder), read_geometry(folder)
    np.testing.assert_array_equal(volume.array, VALUES[::-1].transpose(2, 1, 0))
    assert geometry.shape == (COLUMNS, ROWS, SCANS)
    assert geometry.spacing == pytest.approx((0.0117, 0.0039, 0.047))
    # Across is to the left, depth to the back, B-scans to the head; RAS.
    wanted = np.diag([-0.0117, -0.0039, 0.047, 1])
    wanted[:3, 3] = 3, 1, 0
    np.testing.assert_allclose(volume.affine, wanted, atol=1e-9)


def test_what_a_frame_says_itself_comes_before_what_all_share(tmp_path: Path) -> None:
    data = made()
    scale = {"RescaleSlope": 1, "RescaleIntercept": -100}
    data.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence = _group(X=scale).X
    data.PerFrameFunctionalGroupsSequence[0].PixelValueTransformationSequence = _group(
        X={**scale, "RescaleIntercept": 50}
    ).X
    array = read_volume(saved(tmp_path / "eye", data)).array
    wanted = VALUES.astype(int) - 100
    wanted[0] += 150
    np.testing.assert_array_equal(array, wanted[::-1].transpose(2, 1, 0))


def test_where_references_are_needed_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds several frames"):
        read_series(saved(tmp_path / "eye", made()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"NumberOfFrames": 4}, "holds several frames, 4, but tells of 5 where they lie"),
        ({"PerFrameFunctionalGroupsSequence": Sequence([])}, "but tells of 0 where they lie"),
        (
            {"PerFrameFunctionalGroupsSequence": Sequence([Dataset() for _ in range(SCANS)])},
            "no usable ImagePositionPatient",
        ),
        ({"SharedFunctionalGroupsSequence": Sequence([])}, "no usable ImageOrientationPatient"),
        ({"PixelData": VALUES[:3].tobytes()}, "truncated or damaged pixels"),
    ],
)
def test_refusals(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_volume(saved(tmp_path / "eye", made(**change)))


def test_a_single_slice_is_its_own_header() -> None:
    data = made(NumberOfFrames=1)
    assert frame_headers(Path("a.dcm"), data) == [data]
