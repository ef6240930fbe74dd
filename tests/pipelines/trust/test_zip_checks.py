"""What zip files are refused, before anything in them is read."""

from __future__ import annotations

import stat
import struct
import zipfile

import pytest

from pipelines.trust.zip_checks import Caps, check_contents, checked_members
from transforms.io.input_error import InputError

CAPS = Caps(members=20, total_bytes=2**26, ratio=50)


def write(file, members, **options):
    """Write (name or entry, content) pairs as they are; names that zipfile would mend stay as they are."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in members:
            entry = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo("x")
            if isinstance(name, str):
                entry.filename = name
                entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return file


def entry(name, mode=0, method=zipfile.ZIP_STORED):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = method
    return info


def members_of(file):
    with zipfile.ZipFile(file) as archive:
        return [member.filename for member in checked_members(archive, file, CAPS)]


def test_plain_archives_pass(tmp_path):
    file = write(tmp_path / "a.zip", [("top/", ""), ("top/a.json", "{}"), ("top/models/späce 肝.pt", "x")])
    assert members_of(file) == ["top/a.json", "top/models/späce 肝.pt"]
    check_contents(file, CAPS)


REFUSED = {
    "up": ([("../x", "")], "leads elsewhere"),
    "up inside": ([("a/../../x", "")], "leads elsewhere"),
    "absolute": ([("/etc/x", "")], "leads elsewhere"),
    "here": ([("a/./x", "")], "leads elsewhere"),
    "nothing between": ([("a//x", "")], "leads elsewhere"),
    "backslash": ([("..\\x", "")], "no plain path"),
    "drive": ([("C:x", "")], "no plain path"),
    "line": ([("a\nb", "")], "no plain path"),
    "too long": ([("a/" * 300, "")], "leads elsewhere"),
    "twice": ([("a", "1"), ("b", ""), ("a", "2")], "is there twice"),
    "twice but for case": ([("a/Model.pt", "1"), ("a/model.pt", "2")], "is there twice"),
    "file and folder": ([("a", "1"), ("a/", "")], "is there twice"),
    "link": ([(entry("a", stat.S_IFLNK | 0o777), "/etc/passwd")], "link or a device"),
    "pipe": ([(entry("a", stat.S_IFIFO | 0o600), "")], "link or a device"),
    "method": ([(entry("a", 0, zipfile.ZIP_LZMA), "x")], "unusual way"),
    "many": ([(f"{number}", "") for number in range(21)], "more than 20 are not"),
    "bomb": ([("a", bytes(2**21))], "more than 50 times its size"),
    "total": ([(entry(str(number)), bytes(2**22)) for number in range(17)], "more than 67108864 are not"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("members", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused(tmp_path, members, reason):
    file = write(tmp_path / "a.zip", members)
    with pytest.raises(InputError, match=reason):
        members_of(file)
    with pytest.raises(InputError, match=reason):
        check_contents(file, CAPS)


def test_encrypted_members(tmp_path):
    file = write(tmp_path / "a.zip", [("a", "x")])
    content = bytearray(file.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="is encrypted"):
        members_of(file)


def spoil_byte(file):
    content = bytearray(file.read_bytes())
    content[content.index(b"WEIGHTS")] ^= 1
    file.write_bytes(content)


def spoil_end(file):
    file.write_bytes(file.read_bytes()[:-30])


def spoil_start(file):
    file.write_bytes(b"#!" + file.read_bytes())


def spoil_all(file):
    file.write_bytes(b"")


def spoil_comment(file):
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"hello"


def spoil_overlap(file):
    """Let the second member of the list be where the first is."""
    content = bytearray(file.read_bytes())
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    content[second + 42 : second + 46] = struct.pack("<I", 0)
    file.write_bytes(content)


SPOILED = {
    spoil_byte: "is damaged: its member 'a' has another checksum",
    spoil_end: "is damaged, or no zip archive",
    spoil_start: "is no zip archive of weights",
    spoil_all: "is no zip archive of weights",
    spoil_comment: "has a comment",
    spoil_overlap: "lies within another|is damaged",
}


@pytest.mark.parametrize(("spoil", "reason"), SPOILED.items(), ids=[spoil.__name__ for spoil in SPOILED])
def test_damaged_weights(tmp_path, spoil, reason):
    file = write(tmp_path / "model.pt", [(entry("a"), "WEIGHTS" * 50), (entry("b"), "x" * 400)])
    check_contents(file, CAPS)
    spoil(file)
    with pytest.raises(InputError, match=reason):
        check_contents(file, CAPS)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        check_contents(tmp_path / "none.pt", CAPS)
