"""Multipart messages: read however they are cut, refused when they end too early."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipelines.pacs.multipart import BrokenMessage, boundary_of, encode_parts, iterate_parts


def _cut(message: bytes, size: int) -> list[bytes]:
    return [message[at : at + size] for at in range(0, len(message), size)]


@given(parts=some.lists(some.binary(max_size=60), min_size=1, max_size=4), size=some.integers(1, 80))
def test_what_is_encoded_is_read_back(parts, size):
    message, kind = encode_parts(parts)
    boundary = boundary_of(kind)
    assert boundary is not None
    assert list(iterate_parts(_cut(message, size), boundary)) == parts


@given(share=some.floats(0, 1), size=some.integers(1, 30))
def test_a_message_that_is_cut_off_is_noticed(share, size):
    message, kind = encode_parts([b"one" * 5, b"--two\r\n--"])
    whole = len(message) - 2  # the last line end is not needed
    boundary = boundary_of(kind)
    assert boundary is not None
    with pytest.raises(BrokenMessage):
        list(iterate_parts(_cut(message[: int(share * (whole - 1))], size), boundary))


def test_other_writers_forms_are_read():
    first = b"--b\r\nContent-Type: application/dicom\r\nContent-Length: 3\r\n\r\nabc\r\n"
    message = b"preamble\r\n" + first + b"--b\r\n\r\nx\r\n--b--\r\nepilogue"
    assert list(iterate_parts([message], b"b")) == [b"abc", b"x"]
    with pytest.raises(BrokenMessage, match="empty line"):
        list(iterate_parts([b"--b\r\nContent-Type: x\r\n--b--"], b"b"))


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        ('multipart/related; type="application/dicom"; boundary=abc', b"abc"),
        ('Multipart/Related; Boundary="a b c"; type="application/dicom"', b"a b c"),
        ("multipart/related", None),
        ("application/dicom; boundary=abc", None),
        ("", None),
    ],
)
def test_boundaries_are_found(kind, boundary):
    assert boundary_of(kind) == boundary
