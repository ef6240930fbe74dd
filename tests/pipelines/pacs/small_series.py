"""A series of tiny slices, whose patient has names that must not turn up where they do not belong."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

NAME, PATIENT, ACCESSION, DESCRIPTION = "CANARY^TWEETY", "PID-CANARY-7", "ACC-CANARY-9", "canary axial"
BORN, MADE = "19010203", "20250607"
PRIVATE = (NAME, PATIENT, ACCESSION, DESCRIPTION, BORN, "TWEETY", "CANARY")


def make_instance(study: str, series: str, number: int, class_uid: str = CTImageStorage, side: int = 8) -> FileDataset:
    """Make one slice of ``side`` x ``side`` random pixels."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = class_uid, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = class_uid, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = study, series
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = NAME, PATIENT, BORN, ""
    data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = MADE, "101010", "1", ACCESSION
    data.SeriesDate, data.SeriesTime = MADE, "111111"
    data.Modality, data.SeriesNumber, data.SeriesDescription = "CT", 3, DESCRIPTION
    data.BodyPartExamined, data.InstanceNumber, data.ReferringPhysicianName = "BRAIN", number, ""
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = side, side, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.PixelData = np.random.default_rng(number).integers(0, 4000, (side, side), np.uint16).tobytes()
    return data


def make_series(count: int = 3, study: str | None = None, side: int = 8) -> list[FileDataset]:
    """Make ``count`` slices of one series."""
    study, series = study or generate_uid(), generate_uid()
    return [make_instance(study, series, number, side=side) for number in range(1, count + 1)]
