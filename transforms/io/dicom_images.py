"""Writing a volume as a DICOM series of single slices: for phantoms, and for what has no other way into an archive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from transforms.io.atomic import atomic_path
from transforms.io.dicom_identity import MANUFACTURER, RESEARCH_USE, derived_uid
from transforms.io.geometry import LPS_TO_RAS

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

# Optical coherence tomography has a class for whole volumes alone; of single images, it is secondary capture.
_STORAGE = {"MR": "1.2.840.10008.5.1.4.1.1.4", "CT": "1.2.840.10008.5.1.4.1.1.2", "OPT": "1.2.840.10008.5.1.4.1.1.7"}
_MOMENT = ("20000101", "120000")
# What DICOM wants to see even where there is nothing to say.
_EMPTY: tuple[str, ...] = ("PatientBirthDate", "PatientSex", "Laterality", "AccessionNumber", "ReferringPhysicianName")
_EMPTY += ("PositionReferenceIndicator",)
_EMPTY_OF = {
    "MR": ("ScanOptions", "RepetitionTime", "EchoTime", "EchoTrainLength"),
    "CT": ("KVP", "AcquisitionNumber"),
    "OPT": ("PatientOrientation",),
}


def write_dicom_series(
    folder: str | Path, array: np.ndarray, affine: np.ndarray, *, name: str, modality: str = "MR"
) -> list[Path]:
    """Write a volume as one series of an invented patient; the same call writes the same bytes.

    Args:
        folder: gets ``0001.dcm`` and so on, in the order of the third axis.
        array: (columns, rows, slices), whole numbers within 16 bits.
        affine: (4, 4) voxel index to NIfTI world millimetres, its axes perpendicular.
        name: what patient and study are called, at most 64 characters; identifiers follow from it.
        modality: ``MR``, ``CT`` or ``OPT`` (optical coherence tomography).

    Returns:
        The files.

    Raises:
        ValueError: for another modality, another number of axes, and values that 16 bits do not hold.
    """
    if modality not in _STORAGE:
        raise ValueError(f"a series is written as one of {', '.join(_STORAGE)}, not {modality}")
    values = np.asarray(array)
    if values.ndim != 3 or np.abs(values).max(initial=0) > 32767 or (values != np.round(values)).any():
        raise ValueError("a series needs three axes and whole numbers within 16 bits")
    lps = np.linalg.inv(LPS_TO_RAS) @ np.asarray(affine, float)
    files = []
    for index in range(values.shape[2]):
        image = _named(name, modality, index)
        _place(image, lps, index)
        _fill(image, values[..., index])
        files.append(Path(folder) / f"{index + 1:04d}.dcm")
        with atomic_path(files[-1]) as temporary:
            image.save_as(temporary, enforce_file_format=True)
    return files


def _named(name: str, modality: str, index: int) -> FileDataset:
    """Give an image without pixels, with all that says whose and what it is."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_STORAGE[modality])
    meta.MediaStorageSOPInstanceUID = UID(derived_uid("phantom instance", name, modality, str(index)))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    for keyword in _EMPTY + _EMPTY_OF.get(modality, ()):
        setattr(image, keyword, "")
    image.SpecificCharacterSet, image.Modality, image.Manufacturer = "ISO_IR 192", modality, MANUFACTURER
    image.ImageType = ["DERIVED", "SECONDARY", "AXIAL" if modality == "CT" else "OTHER"]
    image.PatientName, image.PatientID, image.PatientPosition = f"{name}^", name, "HFS"
    image.StudyInstanceUID = derived_uid("phantom study", name)
    image.SeriesInstanceUID = derived_uid("phantom series", name, modality)
    image.FrameOfReferenceUID = derived_uid("phantom frame", name)
    image.StudyDate, image.StudyTime = _MOMENT
    image.SeriesDescription = f"Phantom - {RESEARCH_USE}"
    image.StudyID, image.SeriesNumber, image.InstanceNumber = "1", 1, index + 1
    if modality == "CT":
        image.RescaleIntercept, image.RescaleSlope = 0, 1
    elif modality == "OPT":
        image.ConversionType = "SYN"
    else:
        image.ScanningSequence, image.SequenceVariant, image.MRAcquisitionType = "RM", "NONE", "3D"
    return image


def _place(image: FileDataset, lps: np.ndarray, index: int) -> None:
    steps = np.linalg.norm(lps[:3, :3], axis=0)
    image.PixelSpacing = [f"{steps[1]:.10g}", f"{steps[0]:.10g}"]
    image.SliceThickness = f"{steps[2]:.10g}"
    directions = np.concatenate([lps[:3, 0] / steps[0], lps[:3, 1] / steps[1]])
    image.ImageOrientationPatient = [f"{value:.10g}" for value in directions]
    image.ImagePositionPatient = [f"{value:.10g}" for value in (lps @ [0, 0, index, 1])[:3]]


def _fill(image: FileDataset, values: np.ndarray) -> None:
    image.Columns, image.Rows = values.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.PixelData = np.ascontiguousarray(values.T.astype("<i2")).tobytes()
