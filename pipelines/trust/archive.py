"""A bundle given as one zip file: unpacked into a private folder that does not outlive its use."""

from __future__ import annotations

import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.trust.zip_checks import Caps, checked_members
from transforms.io.input_error import InputError, InputErrors

SUFFIX = ".zip"
BUNDLE_CAPS = Caps()
_CHUNK = 2**20


@contextmanager
def unpacked(source: Path, caps: Caps = BUNDLE_CAPS) -> Iterator[Path]:
    """Give the folder of a bundle: ``source`` itself, or what it unpacks to when it is a zip file.

    A zip file is unpacked as MONAI has them, with one folder at the top, or with the bundle's files there.

    Args:
        source: a folder or any file; one that ends in ``.zip`` is unpacked.
        caps: what a zip file may hold.

    Raises:
        InputError: when the zip file is damaged, or holds what :mod:`pipelines.trust.zip_checks` refuses.
    """
    if source.suffix.lower() != SUFFIX or not source.is_file():
        yield source
        return
    # Others may not look into it: mkdtemp gives the owner alone all rights.
    target = Path(tempfile.mkdtemp(prefix="concord-bundle-"))
    try:
        unpack(source, target, caps)
        inside = sorted(target.iterdir())
        yield inside[0] if len(inside) == 1 and inside[0].is_dir() and inside[0].name != "configs" else target
    except InputError as fault:
        # The folder is gone when the user reads this.
        raise _told_of(source, target, fault) from fault
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _told_of(source: Path, target: Path, fault: InputError) -> InputError:
    if isinstance(fault, InputErrors):
        return InputErrors(_told_of(source, target, one) for one in fault.faults)
    return InputError(fault.subject.replace(str(target), str(source)), fault.reason.replace(str(target), str(source)))


def unpack(source: Path, target: Path, caps: Caps = BUNDLE_CAPS) -> None:
    """Unpack a zip file into the empty folder ``target``; nothing is written outside of it.

    Raises:
        InputError: as :func:`unpacked`. What was written until then stays.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            left = caps.total_bytes
            for member in checked_members(archive, source, caps):
                left -= _unpack_one(archive, member, target / member.filename, left)
                if left < 0:
                    raise InputError(source, f"unpacks to more than {caps.total_bytes} bytes")
    except zipfile.BadZipFile as fault:
        raise InputError(source, f"is damaged, or no zip archive: {fault}") from fault
    except (zlib.error, EOFError, struct.error, NotImplementedError, RuntimeError) as fault:
        raise InputError(source, "is damaged") from fault
    except OSError as fault:
        raise InputError(source, f"cannot be unpacked: {fault.strerror}") from fault


def _unpack_one(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, left: int) -> int:
    """Write one member as a new file, up to ``left`` bytes and one chunk; give how many."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(member) as packed, target.open("xb") as plain:
        while (chunk := packed.read(_CHUNK)) and written <= left:
            written += plain.write(chunk)
    return written
