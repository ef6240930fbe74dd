"""What a result takes from its images: copies of their headers, filled where DICOM wants something."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

    from transforms.io.dicom_series import DicomSeries

# Elements that every object of a study must have, with or without a value (type 2).
_TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("SeriesNumber", "Manufacturer", "PositionReferenceIndicator"),
)
# The rest of what a result may know. Everything else stays with the images: history, comments, addresses, age.
_OPTIONAL = (
    *("SpecificCharacterSet", "TimezoneOffsetFromUTC", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID"),
    *("SeriesInstanceUID", "FrameOfReferenceUID", "InstanceNumber", "Modality", "ImageType", "StudyDescription"),
    *("IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "LongitudinalTemporalInformationModified"),
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    *("ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID"),
    *("ClinicalTrialSiteName", "ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID"),
    *("ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "BodyPartExamined", "Laterality"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "Rows", "Columns"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
)
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality")
_CHECKED = ("AS", "CS", "DA", "LO", "SH", "TM")
_UTF_8 = "ISO_IR 192"
_SEXES = ("M", "F", "O")
# What the first slice says, the others must repeat to the letter; scanners round.
_OF_THE_SERIES = ("ImageOrientationPatient", "PixelSpacing", "SliceThickness")


def source_headers(series: DicomSeries) -> list[Dataset]:
    """Give copies of the headers of ``series``, in its order, that objects can be made of.

    They hold patient, study, series and place, and nothing else. Elements that DICOM wants and a scanner or a
    de-identification left out are empty. So are dates and sexes that are none, and texts longer than DICOM allows, but
    for the patient's id, without which an archive would take the result for another patient's. Orientation and spacing
    are those of the first slice, and the distance of the slices is that of their positions. Neither the files nor the
    headers of ``series`` are changed.

    Raises:
        InputError: naming the file, for a header without identifiers of object, study, series and frame of reference,
            without modality, of an object that is no image, and for two files of one object or of two studies.
    """
    from pydicom.uid import UID

    copies: list[Dataset] = []
    seen: dict[str, str] = {}
    for path, header in zip(series.paths, series.headers, strict=True):
        for keyword in _NEEDED:
            if not header.get(keyword):
                raise InputError(path, f"has no {keyword}, which whatever refers to it must repeat")
        if "Image Storage" not in UID(header.SOPClassUID).name:
            raise InputError(path, f"is no image that a result can refer to ({UID(header.SOPClassUID).name})")
        other = seen.setdefault(str(header.SOPInstanceUID), path.name)
        if other != path.name:
            raise InputError(path, f"has the same SOPInstanceUID as {other}")
        with quiet():
            copies.append(_filled(header))
        if copies[-1].StudyInstanceUID != copies[0].StudyInstanceUID:
            raise InputError(path, "belongs to another study than other slices of its series")
    for header in copies:
        for keyword in _OF_THE_SERIES:
            if keyword in copies[0]:
                header[keyword] = copy.deepcopy(copies[0][keyword])
        header.SpacingBetweenSlices = f"{series.geometry.spacing[2]:.10g}"
    return copies


def character_set(source: Dataset, *texts: str) -> str | None:
    """Choose in which character set an object made of ``source`` is written: its own if that can hold ``texts`` too.

    Returns:
        A value of SpecificCharacterSet; None for plain ASCII.
    """
    from highdicom.enum import SpecificCharacterSetValues

    own = source.get("SpecificCharacterSet") or None
    # Several sets at once, and misspelt ones, are what objects get wrong most easily; the texts are decoded by now.
    known = own is None or (isinstance(own, str) and own in [item.value for item in SpecificCharacterSetValues])
    return own if known and all(text.isascii() for text in texts) else _UTF_8


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries from quoting a patient's elements in warnings and logs while an object is made or read."""
    loggers = [logging.getLogger(name) for name in ("highdicom", "pydicom")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _filled(header: Dataset) -> Dataset:
    from pydicom.dataset import Dataset

    kept = Dataset()
    for keyword in (*_TYPE_2, *_OPTIONAL):
        if keyword in header and not header[keyword].is_empty and _fits(header[keyword]):
            kept[keyword] = copy.deepcopy(header[keyword])
        elif keyword in _TYPE_2:
            setattr(kept, keyword, "")
    if kept.PatientSex not in _SEXES:
        kept.PatientSex = ""
    return kept


def _fits(element: DataElement) -> bool:
    """Say whether a text keeps the limits of its kind; a result that repeats one that does not is invalid itself."""
    from pydicom.config import RAISE
    from pydicom.valuerep import DA, TM, validate_value

    if element.VR not in _CHECKED or element.keyword in (*_NEEDED, "PatientID"):
        return True
    values = element.value if element.VM > 1 else [element.value]
    parse = {"DA": DA, "TM": TM}.get(element.VR, str)
    try:
        for value in values:
            validate_value(element.VR, str(value), RAISE)
            parse(value)
    except (TypeError, ValueError):
        return False
    return True
