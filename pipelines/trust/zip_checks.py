"""What a zip file must be before anything in it is read: capped, plain, and the same for every reader."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from pipelines.trust.finding import shown
from transforms.io.input_error import InputError

GIBI, MEBI = 2**30, 2**20
_SIGNATURE = b"PK\x03\x04"


@dataclass(frozen=True)
class Caps:
    """What a zip file may hold.

    Attributes:
        members: how many.
        total_bytes: unpacked, of all together.
        ratio: of unpacked to packed size, of members beyond a mebibyte.
    """

    members: int = 5000
    total_bytes: int = 16 * GIBI
    ratio: int = 200


def checked_members(archive: zipfile.ZipFile, file: Path, caps: Caps) -> list[zipfile.ZipInfo]:
    """Give the members of an archive that are files, after looking at all names and sizes.

    Raises:
        InputError: naming the first member that leads out of the target, is there twice, is a link or a device, is
            encrypted, or is too large for what it takes in the archive.
    """
    members = archive.infolist()
    if len(members) > caps.members:
        raise InputError(file, f"has {len(members)} members; more than {caps.members} are not unpacked")
    total = sum(member.file_size for member in members)
    if total > caps.total_bytes:
        raise InputError(file, f"unpacks to {total} bytes; more than {caps.total_bytes} are not unpacked")
    seen: set[str] = set()
    for member in members:
        fault = _fault_of(member, caps)
        # Names that one file system takes for the same are the same for all.
        folded = member.filename.rstrip("/").casefold()
        if fault is None and folded in seen:
            fault = "is there twice"
        seen.add(folded)
        if fault is not None:
            raise InputError(file, f"its member {shown(member.filename)} {fault}")
    return [member for member in members if not member.is_dir()]


def _fault_of(member: zipfile.ZipInfo, caps: Caps) -> str | None:
    name = member.filename
    parts = name.rstrip("/").split("/")
    # Python cuts names at a zero byte; other readers may not.
    if member.orig_filename != name or not name.isprintable() or re.search(r'[\\:*?"<>|]', name):
        return "has a name that is no plain path"
    if name.startswith("/") or any(part in ("", ".", "..") or len(part) > 200 for part in parts) or len(name) > 500:
        return "has a path that leads elsewhere"
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if member.flag_bits & 0x1:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed in an unusual way"
    if member.file_size > MEBI and member.file_size > caps.ratio * max(1, member.compress_size):
        return f"unpacks to more than {caps.ratio} times its size"
    return None


def check_contents(file: Path, caps: Caps) -> None:
    """Look through a zip file of weights and compare every member with its checksum; torch compares none.

    Raises:
        InputError: when it is no such file, not whole, or made so that readers could see different things in it.
    """
    try:
        with file.open("rb") as stream:
            if stream.read(4) != _SIGNATURE:
                raise InputError(file, "is no zip archive of weights, as torch has written them since 1.6")
        with zipfile.ZipFile(file) as archive:
            members = checked_members(archive, file, caps)
            if archive.comment:
                raise InputError(file, "has a comment, in which another archive could hide")
            _check_gaps(archive, file, members)
            broken = archive.testzip()
    except OSError as fault:
        raise InputError(file, f"cannot be read: {fault.strerror}") from fault
    except (zipfile.BadZipFile, NotImplementedError, EOFError, struct.error, ValueError, RuntimeError) as fault:
        if isinstance(fault, InputError):
            raise
        raise InputError(file, "is damaged, or no zip archive") from fault
    if broken is not None:
        raise InputError(file, f"is damaged: its member {shown(broken)} has another checksum")


def _check_gaps(archive: zipfile.ZipFile, file: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive whose members overlap: a small file that unpacks to a large one many times over."""
    end = 0
    for member in sorted(members, key=lambda one: one.header_offset):
        if member.header_offset < end:
            raise InputError(file, f"its member {shown(member.filename)} lies within another")
        end = member.header_offset + member.compress_size
    if end > archive.start_dir:
        raise InputError(file, "has members that lie within its list of members")
