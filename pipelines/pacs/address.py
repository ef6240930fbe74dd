"""Where an archive is: a folder, a DICOMweb server or a DICOM node, read from one line of text."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from transforms.io.input_error import InputError

CALLING_TITLE = "CONCORD"
FORMS = (
    "a folder, http(s)://HOST[:PORT]/PATH of a DICOMweb server, or dicom://[CALLING@]CALLED@HOST:PORT of a DICOM node "
    "(dicoms:// with TLS)"
)
# Up to 16 characters of the default repertoire, no backslash, not only spaces (PS3.5, value representation AE).
_TITLE = re.compile(r"(?=.*\S)[\x20-\x5b\x5d-\x7e]{1,16}")
_NODE_WITHOUT_SCHEME = re.compile(r"[^/\\]*@[^/\\@]+:\d+")


@dataclass(frozen=True)
class FolderAddress:
    """A folder of DICOM files."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class WebAddress:
    """The root of a DICOMweb server, without a slash at its end."""

    url: str
    host: str
    secure: bool

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class NodeAddress:
    """A DICOM node: application entity ``called`` at ``host`` and ``port``; we call ourselves ``calling``."""

    host: str
    port: int
    called: str
    calling: str = CALLING_TITLE
    secure: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'dicoms' if self.secure else 'dicom'}://{self.called}@{host}:{self.port}"


Address = FolderAddress | WebAddress | NodeAddress


def parse_address(text: str) -> Address:
    """Read an address.

    Args:
        text: a folder, ``http(s)://HOST[:PORT]/PATH``, or ``dicom(s)://[CALLING@]CALLED@HOST:PORT``. In a node's
            address, characters that an address cannot hold may be written as ``%XX``.

    Raises:
        InputError: for an empty, unknown or incomplete form, and for a user name, a password or a query in the
            address, which are not repeated in the message.
    """
    scheme, separator, rest = text.strip().partition("://")
    scheme = scheme.lower()
    if not text.strip():
        raise InputError("address", f"is empty; give {FORMS}")
    if not separator:
        if _NODE_WITHOUT_SCHEME.fullmatch(text.strip()):
            raise InputError("address", f"a DICOM node is written dicom://CALLED@HOST:PORT; give {FORMS}")
        return FolderAddress(Path(text))
    if scheme in ("http", "https"):
        return _web_address(scheme, rest)
    if scheme in ("dicom", "dicoms"):
        return _node_address(scheme, rest)
    # What follows an unknown scheme may hold a password.
    raise InputError(f"{scheme}://...", f"is no address of an archive; give {FORMS}")


def is_loopback(host: str) -> bool:
    """Say whether ``host`` is this machine, by its name or number alone: no name is looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _web_address(scheme: str, rest: str) -> WebAddress:
    subject = f"{scheme}://..."
    parts = _split(subject, f"{scheme}://{rest}")
    if "@" in parts[0]:
        raise InputError(
            subject, "holds a user or a password; give them in the environment or in a file, never in an address"
        )
    _, host, port, path, extra = parts
    if extra:
        raise InputError(
            subject, "has a query or a fragment (after ? or #); give the root of the DICOMweb server alone"
        )
    shown = f"[{host}]" if ":" in host else host
    url = f"{scheme}://{shown}{f':{port}' if port else ''}{path.rstrip('/')}"
    return WebAddress(url, host, scheme == "https")


def _node_address(scheme: str, rest: str) -> NodeAddress:
    subject = f"{scheme}://..."
    titles_text, _, place = rest.rpartition("@")
    _, host, port, path, extra = _split(subject, f"{scheme}://{place}")
    titles = [unquote(title) for title in titles_text.split("@")] if titles_text else []
    if not port or path.strip("/") or extra or not 1 <= len(titles) <= 2:
        raise InputError(subject, f"is not complete; give {FORMS}")
    if ":" in titles_text:
        raise InputError(subject, "holds a colon before the host; an address takes AE titles there, never a password")
    if not all(_TITLE.fullmatch(title) for title in titles):
        raise InputError(subject, "an AE title has 1 to 16 plain characters and no backslash")
    calling = titles[0] if len(titles) == 2 else CALLING_TITLE
    return NodeAddress(host, port, titles[-1].strip(), calling.strip(), scheme == "dicoms")


def _split(subject: str, url: str) -> tuple[str, str, int | None, str, str]:
    """Give the place (user, host and port), the host, the port, the path and what follows it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InputError(subject, f"has no valid host or port; give {FORMS}") from None
    if not host or port == 0 or re.search(r"[\s\\]", host):
        raise InputError(subject, f"has no valid host or port; give {FORMS}")
    return parts.netloc, host, port, parts.path, parts.query + parts.fragment
