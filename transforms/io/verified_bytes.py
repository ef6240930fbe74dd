"""Bytes from disk that are known to be whole: readable files, checked streams, and what a file really holds."""

from __future__ import annotations

import errno
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from transforms.io.input_error import InputError

CHUNK = 1 << 20
GZIP, ZLIB = 31, 15
# Deflate cannot shrink data further than this, so a larger promise is a lie that needs no decompression to see.
MAX_DEFLATE_RATIO = 1032

_MAGICS = (
    (b"\x1f\x8b", "gzip data"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"II*\x00", "a TIFF picture"),
    (b"MM\x00*", "a TIFF picture"),
    (b"NRRD000", "an NRRD image"),
    (b"ObjectType", "a MetaImage header"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "HDF5 data"),
    (b"%PDF", "a PDF"),
    (b"\x5c\x01\x00\x00", "a NIfTI or Analyze header"),
    (b"\x00\x00\x01\x5c", "a NIfTI or Analyze header"),
)


def describe_content(head: bytes) -> str:
    """Say in words what a file that begins with ``head`` (at least 132 bytes when it has them) holds."""
    if head[128:132] == b"DICM":
        return "a DICOM object"
    for magic, words in _MAGICS:
        if head.startswith(magic):
            return words
    if head and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head[:64]):
        return "text"
    return "unknown data"


def require_readable(path: Path) -> int:
    """Make sure that ``path`` is a regular file with content that we may read.

    Returns:
        Its size in bytes.

    Raises:
        InputError: when it is missing, a broken or circular link, no regular file, empty, or not ours to read.
    """
    status = _stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise InputError(path, "is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(path, "is not a regular file")
    if status.st_size == 0:
        raise InputError(path, "is empty (zero bytes)")
    try:
        with path.open("rb"):
            pass
    except OSError as fault:
        raise InputError(path, f"cannot be read: {fault.strerror}") from fault
    return status.st_size


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as fault:
        if fault.errno == errno.ELOOP:
            raise InputError(path, "is a symbolic link that leads back to itself") from fault
        if isinstance(fault, FileNotFoundError):
            reason = "is a link to a file that does not exist" if path.is_symlink() else "does not exist"
            raise InputError(path, reason) from fault
        raise InputError(path, f"cannot be read: {fault.strerror}") from fault


def is_folder(path: Path) -> bool:
    """Say whether ``path`` is a folder, and refuse what is neither file nor folder as ``require_readable`` does.

    Raises:
        InputError: when it does not exist or is a circular link.
    """
    return stat.S_ISDIR(_stat(path).st_mode)


def plain_chunks(source: BinaryIO) -> Iterator[bytes]:
    """Yield what is left of ``source``, a megabyte at a time."""
    while chunk := source.read(CHUNK):
        yield chunk


def inflated_chunks(source: BinaryIO, path: Path, wbits: int = GZIP) -> Iterator[bytes]:
    """Decompress what is left of ``source`` to its very end, so that every checksum and length in it is verified.

    Args:
        source: a file opened for reading bytes.
        path: its name, for refusals.
        wbits: ``GZIP`` (one member or several) or ``ZLIB`` (one stream).

    Yields:
        At most a megabyte at a time.

    Raises:
        InputError: when the data is damaged, truncated, or followed by other bytes.
    """
    stream = zlib.decompressobj(wbits)
    pending, members = source.read(CHUNK), 0
    while True:
        try:
            chunk = stream.decompress(pending, CHUNK)
        except zlib.error as fault:
            raise InputError(path, _damage(str(fault), members)) from fault
        if chunk:
            yield chunk
        if stream.eof:
            members += 1
            pending = stream.unused_data or source.read(CHUNK)
            if not pending:
                return
            if wbits == ZLIB:
                raise InputError(path, "has stray bytes after the end of its compressed data")
            stream = zlib.decompressobj(wbits)
            continue
        pending = stream.unconsumed_tail or source.read(CHUNK)
        if not pending and not chunk:
            raise InputError(path, "is truncated: its compressed data ends too early")


def _damage(message: str, members: int) -> str:
    if "header check" in message:
        return "has stray bytes after the end of its compressed data" if members else "does not hold compressed data"
    if "data check" in message or "length check" in message:
        return "is corrupt: the checksum of its compressed data does not match"
    return "is corrupt: its compressed data cannot be decoded"


def collect(chunks: Iterator[bytes], size: int, path: Path) -> bytearray:
    """Gather exactly ``size`` bytes; memory is touched only as data really arrives.

    Args:
        chunks: consumed to the end, so that checksums at the end are verified.
        size: bytes that the header promises. The caller has made sure that it is plausible.
        path: the file's name, for refusals.

    Raises:
        InputError: when there are fewer or more bytes.
    """
    content, filled = bytearray(size), 0
    for chunk in chunks:
        if filled + len(chunk) > size:
            raise InputError(path, f"holds more data than the {size} bytes its header promises")
        content[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    if filled < size:
        raise InputError(path, f"is truncated: its header promises {size} bytes, it holds {filled}")
    return content
