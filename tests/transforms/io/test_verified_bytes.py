"""Streams that are whole or refused."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from pathlib import Path

import pytest

from transforms.io.input_error import InputError
from transforms.io.verified_bytes import (
    GZIP,
    ZLIB,
    collect,
    describe_content,
    inflated_chunks,
    is_folder,
    require_readable,
)

CONTENT = os.urandom(3000) + bytes(3_000_000)
PATH = Path("file.gz")


def _inflate(data: bytes, wbits: int = GZIP) -> bytes:
    return b"".join(inflated_chunks(io.BytesIO(data), PATH, wbits))


def test_one_member_several_members_and_zlib_are_read_whole() -> None:
    packed = gzip.compress(CONTENT)
    assert _inflate(packed) == CONTENT
    assert _inflate(packed + gzip.compress(b"more") + gzip.compress(b"")) == CONTENT + b"more"
    assert _inflate(zlib.compress(CONTENT), ZLIB) == CONTENT
    assert max(len(chunk) for chunk in inflated_chunks(io.BytesIO(packed), PATH)) <= 1 << 20


def _changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("data", "wbits", "reason"),
    [
        (_changed(gzip.compress(CONTENT), 1500), GZIP, "corrupt"),
        (_changed(gzip.compress(CONTENT), -6), GZIP, "checksum"),
        (_changed(gzip.compress(CONTENT), -2), GZIP, "checksum"),
        (gzip.compress(CONTENT)[:-1], GZIP, "truncated"),
        (gzip.compress(CONTENT)[:2000], GZIP, "truncated"),
        (gzip.compress(CONTENT) + b"stray", GZIP, "stray bytes"),
        (gzip.compress(CONTENT) + bytes(8), GZIP, "stray bytes"),
        (b"\x89PNG....", GZIP, "does not hold compressed"),
        (b"", GZIP, "truncated"),
        (_changed(zlib.compress(CONTENT), -1), ZLIB, "checksum"),
        (zlib.compress(CONTENT) + b"x", ZLIB, "stray bytes"),
    ],
)
def test_damage_is_refused(data: bytes, wbits: int, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        _inflate(data, wbits)


@pytest.mark.parametrize(("size", "reason"), [(3, "more data"), (5, "truncated")])
def test_collect_wants_the_promised_size(size: int, reason: str) -> None:
    assert collect(iter([b"ab", b"cd"]), 4, PATH) == b"abcd"
    with pytest.raises(InputError, match=reason):
        collect(iter([b"ab", b"cd"]), size, PATH)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\x1f\x8b\x08", "gzip"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"hello, this is", "text"),
        (b"\x00\x01\x02", "unknown"),
        (b"", "unknown"),
    ],
)
def test_content_is_described(head: bytes, words: str) -> None:
    assert words in describe_content(head)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    table = {"empty": "zero bytes", "a": "back to itself", "dangling": "link to a file", "none": "does not exist"}
    for name, reason in {**table, "pipe": "regular", ".": "folder"}.items():
        with pytest.raises(InputError, match=reason):
            require_readable(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="the super-user may read everything")
def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        require_readable(path)


def test_folder_or_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert is_folder(tmp_path) and not is_folder(tmp_path / "file")
    assert require_readable(tmp_path / "file") == 1
