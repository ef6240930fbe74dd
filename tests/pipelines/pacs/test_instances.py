"""Instances as bytes."""

from __future__ import annotations

import copy
import io
import re

import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from pipelines.pacs.instances import NotAnInstance, encode, file_name, names_of, read_names, same_content
from tests.pipelines.pacs.small_series import PRIVATE, make_series


def test_names_are_read_from_bytes_and_data_sets():
    (data,) = make_series(1)
    names = read_names(encode(data))
    assert names == names_of(data)
    assert (names.uid, names.series_uid) == (data.SOPInstanceUID, data.SeriesInstanceUID)


def test_what_is_no_instance_is_refused():
    (data,) = make_series(1)
    content = encode(data)
    for wrong in (b"", b"<html>", content[128:]):
        with pytest.raises(NotAnInstance, match="no DICOM"):
            read_names(wrong)
    with pytest.raises(NotAnInstance):
        read_names(content[:140])
    for keyword in ("SOPInstanceUID", "StudyInstanceUID"):
        other = copy.deepcopy(data)
        delattr(other, keyword)
        with pytest.raises(NotAnInstance, match=keyword):
            names_of(other)
    raw = content.replace(str(data.SeriesInstanceUID).encode(), b"../../etc/passwd".ljust(len(data.SeriesInstanceUID)))
    with pytest.raises(NotAnInstance, match="SeriesInstanceUID"):
        read_names(raw)


def test_file_names_tell_nothing():
    (data,) = make_series(1)
    name = file_name(data.SOPInstanceUID)
    assert re.fullmatch(r"[0-9a-f]{24}\.dcm", name)
    assert name == file_name(data.SOPInstanceUID)
    assert file_name("../../x") != name
    assert "/" not in file_name("../../x")


def test_the_same_content_may_be_encoded_otherwise():
    (data,) = make_series(1)
    other = pydicom.dcmread(io.BytesIO(encode(data)))
    other.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    other.file_meta.ImplementationVersionName = "ELSE"
    assert encode(other) != encode(data)
    assert same_content(encode(data), encode(other))
    other.SeriesNumber = 4
    assert not same_content(encode(data), encode(other))
    changed = copy.deepcopy(data)
    changed.PixelData = bytes([data.PixelData[0] ^ 1]) + data.PixelData[1:]
    assert not same_content(encode(data), encode(changed))


def test_reading_names_does_not_repeat_invalid_values(recwarn):
    (data,) = make_series(1)
    content = encode(data).replace(str(data.StudyInstanceUID).encode(), b"CANARY".ljust(len(data.StudyInstanceUID)))
    with pytest.raises(NotAnInstance) as refusal:
        read_names(content)
    assert not any(secret in str(refusal.value) for secret in PRIVATE)
    assert not recwarn.list
