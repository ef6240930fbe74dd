"""Pictures as DICOM secondary captures, so that a result can be seen on any workstation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from transforms.io.dicom_identity import RESEARCH_USE, SERIES_NUMBERS, ResultIdentity, stamp
from transforms.io.dicom_series import DicomSeries
from transforms.io.dicom_source import character_set, quiet, source_headers

if TYPE_CHECKING:
    from highdicom.sc import SCImage
    from pydicom.dataset import Dataset


def overlay_capture(series: DicomSeries, picture: np.ndarray, identity: ResultIdentity, *, number: int = 1) -> SCImage:
    """Make an RGB secondary capture of ``picture``, in explicit VR little endian, in the study of ``series``.

    Args:
        series: the images that the picture shows.
        picture: (rows, columns, 3) uint8. Nothing of the patient may be written on it: the object says so.
        identity: who made it.
        number: from 1, where a result has several pictures.

    Raises:
        InputError: as ``source_headers``.
        ValueError: for a picture of another form, and a number below 1.
    """
    from highdicom.sc import SCImage
    from pydicom.uid import ExplicitVRLittleEndian
    from pydicom.valuerep import DA, TM

    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise ValueError(f"a picture is uint8 (rows, columns, 3), got {picture.dtype} {picture.shape}")
    if number < 1:
        raise ValueError(f"pictures are numbered from 1, got {number}")
    source = source_headers(series)[0]
    kind = "SC"
    with quiet():
        result = SCImage.from_ref_dataset(
            source,
            pixel_array=np.ascontiguousarray(picture),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            # Replaced below: a page of several planes has no orientation of its own.
            patient_orientation=("L", "P"),
            series_instance_uid=identity.series_uid(kind),
            series_number=SERIES_NUMBERS[kind],
            sop_instance_uid=identity.instance_uid(kind, str(number)),
            instance_number=number,
            **identity.equipment(),
            series_description=identity.describe("Overlay"),
            transfer_syntax_uid=ExplicitVRLittleEndian,
            specific_character_set=character_set(source, identity.model_name),
        )
        # highdicom does so for its other objects; who issued the patient's id is part of who the patient is.
        result.copy_patient_and_study_information(source)
        result.PatientOrientation = []
        result.ConversionType = "SYN"
        result.BurnedInAnnotation = "NO"
        result.DerivationDescription = RESEARCH_USE
        result.DateOfSecondaryCapture = DA(identity.moment.date())
        result.TimeOfSecondaryCapture = TM(identity.moment.time().replace(microsecond=0))
        _place_in_body(result, source)
        stamp(result, identity)
    return result


def _place_in_body(result: SCImage, source: Dataset) -> None:
    """Repeat the part of the body where its side is known.

    A paired part without a side is invalid, and so is a single part with one, even an empty one; which is which, each
    edition of the standard says anew.
    """
    result.Laterality = source.get("Laterality") or ""
    if result.Laterality and "BodyPartExamined" in source:
        result.BodyPartExamined = source.BodyPartExamined
