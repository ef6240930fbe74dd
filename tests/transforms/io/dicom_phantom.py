"""A small oblique MR series for tests, with the gaps that real archives have, and an independent judge of objects."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from transforms.io.dicom_identity import ResultIdentity, identity_of
from transforms.io.dicom_series import DicomSeries, read_series
from transforms.io.segment_codes import TISSUE, Code, SegmentCode

COLUMNS, ROWS, SLICES = 5, 7, 6
SPACING = (0.5, 0.75, 3.0)
THICKNESS = 2.0
ORIGIN = np.array([-20.0, 30.0, 5.0])
TURN = np.deg2rad(20)
ALONG, DOWN = np.array([np.cos(TURN), np.sin(TURN), 0.0]), np.array([0.0, 0.0, -1.0])
NORMAL = np.cross(ALONG, DOWN)
STUDY, SERIES, FRAME = "1.2.826.0.1.1", "1.2.826.0.1.2", "1.2.826.0.1.3"
MOMENT = datetime(2026, 3, 4, 5, 6, 7)

ATRIUM = SegmentCode(
    1, "left atrium", Code("91723000", "SCT", "Anatomical Structure"), Code("82471001", "SCT", "Left atrium")
)
HIPPOCAMPUS = SegmentCode(
    4, "anterior", TISSUE, Code("3190005", "SCT", "Hippocampus"), (Code("255549009", "SCT", "Anterior"),)
)
CODES = (ATRIUM, HIPPOCAMPUS)

needs_dciodvfy = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")


def phantom_slice(number: int) -> FileDataset:
    """Make a slice that lacks what HippoCrop-like series lack: birth date, sex, study id, manufacturer, numbers."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, f"{SERIES}.{number + 1}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = STUDY, SERIES, FRAME
    data.PatientName, data.PatientID, data.PatientComments = "Roe^Jane", "MRN-77", "shy"
    data.StudyDate, data.StudyTime, data.Modality = "20240102", "030405", "MR"
    data.SeriesNumber, data.InstanceNumber = None, SLICES - number
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.PixelSpacing, data.SliceThickness = [SPACING[1], SPACING[0]], THICKNESS
    data.ImageOrientationPatient = [round(float(value), 8) for value in (*ALONG, *DOWN)]
    data.ImagePositionPatient = [round(float(value), 6) for value in ORIGIN + number * SPACING[2] * NORMAL]
    data.PixelData = np.full((ROWS, COLUMNS), number, dtype=np.uint16).tobytes()
    return data


def write_phantom(folder: Path, change: Callable[[int, FileDataset], None] = lambda number, data: None) -> DicomSeries:
    """Write the series into ``folder``, in no order, each slice as ``change`` left it, and read it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(SLICES):
        data = phantom_slice(number)
        change(number, data)
        data.save_as(folder / f"IM{number * 5 % 7}.dcm", enforce_file_format=True)
    return read_series(folder)


def identity(series: DicomSeries, **values: str) -> ResultIdentity:
    """Give the identity of a model called *tiny*."""
    facts = {"model_name": "tiny", "model_version": "1.2", "model_hash": "ab" * 32, "software": "Concord 9.9", **values}
    return identity_of(series, moment=MOMENT, **facts)


def two_segments(shape: tuple[int, ...]) -> np.ndarray:
    """Give a mask with labels 1 and 4, of which 4 is on two slices alone."""
    labels = np.zeros(shape, dtype=np.uint8)
    labels[1:3, 2:5, 1:4] = 1
    labels[3:, 1:3, 3:5] = 4
    return labels


def errors_in(result: Dataset, path: Path) -> list[str]:
    """Write an object and give the errors that dciodvfy finds in it."""
    result.save_as(path, enforce_file_format=True)
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
