"""Addresses: every form read, every wrong one refused without repeating what may be secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.pacs.address import FolderAddress, NodeAddress, WebAddress, is_loopback, parse_address
from transforms.io.input_error import InputError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("some/folder", FolderAddress(Path("some/folder"))),
        ("/a b/c:d", FolderAddress(Path("/a b/c:d"))),
        ("http://pacs/dicom-web/", WebAddress("http://pacs/dicom-web", "pacs", False)),
        ("HTTPS://pacs.example:8443", WebAddress("https://pacs.example:8443", "pacs.example", True)),
        ("http://[::1]:8042/dw", WebAddress("http://[::1]:8042/dw", "::1", False)),
        ("dicom://PACS@host:104", NodeAddress("host", 104, "PACS")),
        ("dicom://ME@PACS@10.0.0.1:4242", NodeAddress("10.0.0.1", 4242, "PACS", "ME")),
        ("dicoms://MY%20PACS@[::1]:2762", NodeAddress("::1", 2762, "MY PACS", secure=True)),
    ],
)
def test_each_form_is_read(text, address):
    assert parse_address(text) == address


def test_an_address_is_shown_as_it_may_be_given_again():
    for text in ("http://[::1]:8042/dw", "dicom://PACS@host:104", "dicoms://PACS@[::1]:2762", "some/folder"):
        assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("ftp://user:hunter2@host/x", "no address of an archive"),
        ("file:///data", "no address of an archive"),
        ("PACS@host:104", "dicom://CALLED@HOST:PORT"),
        ("http://", "no valid host"),
        ("http://host:99999/", "no valid host or port"),
        ("http://host:0/", "no valid host or port"),
        ("https://user:hunter2@host/dw", "environment or in a file"),
        ("https://hunter2@host/dw", "environment or in a file"),
        ("https://host/dw?token=hunter2", "query"),
        ("https://host/dw#hunter2", "query"),
        ("dicom://host:104", "not complete"),
        ("dicom://PACS@host", "not complete"),
        ("dicom://PACS@host:104/x", "not complete"),
        ("dicom://A@B@C@host:104", "not complete"),
        ("dicom://user:hunter2@host:104", "never a password"),
        ("dicom://SEVENTEEN-LETTERS@host:104", "1 to 16"),
        ("dicom://A%5CB@host:104", "1 to 16"),
        ("dicom://%20@host:104", "1 to 16"),
        ("dicom://@host:104", "not complete"),
    ],
)
def test_other_forms_are_refused_and_secrets_are_not_repeated(text, reason):
    with pytest.raises(InputError, match=reason) as refusal:
        parse_address(text)
    assert "hunter2" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_loopback_is_told_from_the_text_alone():
    assert all(is_loopback(host) for host in ("localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"))
    assert not any(is_loopback(host) for host in ("10.0.0.1", "pacs", "localhost.example.org", "::2", "0.0.0.0"))
