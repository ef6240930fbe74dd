"""Single DICOM instances as bytes: what they are, what their file is called, and whether two are the same."""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_PREFIX_AT = 128
_UIDS = {"class_uid": "SOPClassUID", "uid": "SOPInstanceUID", "study_uid": "StudyInstanceUID"}
_UIDS |= {"series_uid": "SeriesInstanceUID"}


@dataclass(frozen=True)
class InstanceNames:
    """UIDs of one instance: its class, itself, its study and its series."""

    class_uid: str
    uid: str
    study_uid: str
    series_uid: str


class NotAnInstance(ValueError):  # noqa: N818  says what it is
    """Bytes that are no DICOM instance."""


def read_names(content: bytes) -> InstanceNames:
    """Read the UIDs of an instance in the DICOM file format.

    Raises:
        NotAnInstance: when it is not in that format, is damaged before its pixels, or lacks a UID.
    """
    import pydicom

    if content[_PREFIX_AT : _PREFIX_AT + 4] != b"DICM":
        raise NotAnInstance("is no DICOM")
    try:
        header = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, specific_tags=list(_UIDS.values()))
    except Exception as fault:
        raise NotAnInstance(f"is damaged DICOM ({type(fault).__name__})") from None
    return names_of(header)


def names_of(dataset: Dataset) -> InstanceNames:
    """Give the UIDs of a data set.

    Raises:
        NotAnInstance: when one is missing or is no UID.
    """
    found = {name: _uid(dataset, keyword) for name, keyword in _UIDS.items()}
    lacking = [_UIDS[name] for name, value in found.items() if not value]
    if lacking:
        raise NotAnInstance(f"has no valid {lacking[0]}")
    return InstanceNames(**found)


def _uid(dataset: Dataset, keyword: str) -> str:
    """Give a UID, empty when it is none. A raw value is not converted: pydicom would warn, repeating what it is."""
    from pydicom.datadict import tag_for_keyword
    from pydicom.dataelem import RawDataElement

    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:
        return ""
    value = dataset.get_item(tag).value
    if isinstance(dataset.get_item(tag), RawDataElement):
        value = (value or b"").decode("ascii", "replace")
    text = str(value).strip("\0 ")
    return text if 0 < len(text) <= 64 and all(character in "0123456789." for character in text) else ""


def file_name(uid: str) -> str:
    """Give the name of an instance's file: always the same one, from which the UID cannot be told."""
    return f"{hashlib.sha256(uid.encode()).hexdigest()[:24]}.dcm"


def encode(dataset: Dataset) -> bytes:
    """Give an instance in the DICOM file format, in the transfer syntax that its ``file_meta`` names.

    Raises:
        ValueError: when the data set lacks what the format demands: a fault of ours.
    """
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def same_content(first: bytes, second: bytes) -> bool:
    """Say whether two instances in the DICOM file format hold the same data elements with the same values.

    The group of the file format (0002) does not count: an archive writes its own. Nor do group lengths, and padding.
    """
    return first == second or _elements(first) == _elements(second)


def _elements(content: bytes) -> Dataset:
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = pydicom.dcmread(io.BytesIO(content))
        plain = pydicom.Dataset()
        for element in whole:
            if element.tag.element != 0 and element.tag != 0xFFFCFFFC:
                plain.add(element)
    return plain
