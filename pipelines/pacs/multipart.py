"""The parts of a ``multipart/related`` message, as DICOMweb sends and takes instances (RFC 2046, section 5.1)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Sequence

_BOUNDARY = re.compile(r"boundary\s*=\s*(\"[^\"]+\"|[^\s;]+)", re.IGNORECASE)


class BrokenMessage(ValueError):  # noqa: N818  says what it is
    """A message that is malformed or ends before its last part has."""


def boundary_of(content_type: str) -> bytes | None:
    """Give the boundary that a ``Content-Type`` names; None when it is no multipart message or names none."""
    found = _BOUNDARY.search(content_type)
    if found is None or not content_type.strip().lower().startswith("multipart/"):
        return None
    return found[1].strip('"').encode("latin-1", "replace")


def iterate_parts(chunks: Iterable[bytes], boundary: bytes) -> Iterator[bytes]:
    """Give the content of each part as soon as it is whole; only one part is held at a time.

    Args:
        chunks: the message, cut anywhere.
        boundary: from ``boundary_of``.

    Raises:
        BrokenMessage: when a part has no end of its header, or the message has no end.
    """
    delimiter = b"\r\n--" + boundary
    # The first delimiter may stand at the very start, without the line end before it.
    data = bytearray(b"\r\n")
    searched, preamble = 0, True
    for chunk in chunks:
        data += chunk
        # Two bytes after the delimiter tell the end of the message from the start of a part.
        while 0 <= (at := data.find(delimiter, searched)) <= len(data) - len(delimiter) - 2:
            if not preamble:
                yield _content(bytes(data[:at]))
            preamble, searched = False, 0
            del data[: at + len(delimiter)]
            if data[:2] == b"--":
                return
        searched = max(0, len(data) - len(delimiter) - 2) if at < 0 else at
    raise BrokenMessage("ends before its last part has")


def _content(part: bytes) -> bytes:
    # Empty headers leave nothing before the empty line.
    _, separator, content = (b"\r\n" + part.partition(b"\r\n")[2]).partition(b"\r\n\r\n")
    if not separator:
        raise BrokenMessage("holds a part without the empty line after its header")
    return content


def encode_parts(parts: Sequence[bytes]) -> tuple[bytes, str]:
    """Make a message of DICOM instances.

    Returns:
        The message, and its ``Content-Type``.
    """
    boundary = secrets.token_hex(16)
    start = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    message = b"".join(start + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
    return message, f'multipart/related; type="application/dicom"; boundary={boundary}'
