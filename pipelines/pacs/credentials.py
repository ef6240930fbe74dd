"""Who we are to an archive, and whom we believe: passwords, tokens and certificates, none of which is ever shown."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from transforms.io.input_error import InputError

VARIABLES = "CONCORD_PACS"
_KEYS = ("user", "password", "token")


@dataclass(frozen=True)
class Credentials:
    """Either a user and a password, or a bearer token. Its ``repr`` shows none of them."""

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


def read_credentials(
    file: Path | None = None, environment: Mapping[str, str] | None = None, variables: str = VARIABLES
) -> Credentials | None:
    """Read credentials from a file, else from the environment.

    Args:
        file: lines ``user = NAME`` and ``password = WORD``, or ``token = TOKEN``; empty lines and those that start with
            ``#`` are passed over. Nobody but its owner may be able to read it.
        environment: ``os.environ`` when it is None; looked at when there is no file: ``CONCORD_PACS_USER`` and
            ``CONCORD_PACS_PASSWORD``, or ``CONCORD_PACS_TOKEN``.
        variables: what the names of the variables start with.

    Returns:
        None when neither gives any.

    Raises:
        InputError: when the file cannot be read, others may read it, or it is malformed, and for half of a pair or
            both kinds at once. No message holds a value.
    """
    if file is not None:
        found = _read_file(file)
        subject, names = str(file), {key: key for key in _KEYS}
        if not found:
            raise InputError(subject, "holds no credentials; write lines `user = ...` and `password = ...`, or `token`")
    else:
        names = {key: f"{variables}_{key.upper()}" for key in _KEYS}
        values = os.environ if environment is None else environment
        found = {key: values[name] for key, name in names.items() if values.get(name)}
        subject = f"{variables}_..."
    if not found:
        return None
    if "token" in found and len(found) > 1:
        raise InputError(
            subject,
            f"gives both a password and a token; give {names['user']} and {names['password']}, or {names['token']}",
        )
    if "token" not in found and len(found) < 2:
        raise InputError(subject, f"{names['user']} and {names['password']} belong together; one of them is missing")
    if any(not value.isprintable() for value in found.values()) or ":" in found.get("user", ""):
        raise InputError(subject, "a user holds no colon, and no value holds line ends or control characters")
    return Credentials(**found)


def _read_file(file: Path) -> dict[str, str]:
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(file, "is no plain file")
        if status.st_mode & 0o077:
            raise InputError(file, f"others than its owner may read it or write to it; run chmod 600 {file.name}")
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(file, "is not UTF-8 text") from None
    except OSError as fault:
        raise InputError(file, f"cannot be read: {fault.strerror}") from fault
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, separator, value = (part.strip() for part in line.partition("="))
        if not separator or key not in _KEYS or key in found or not value:
            raise InputError(
                file, f"line {number} is not one of `user = ...`, `password = ...`, `token = ...`, each once"
            )
        found[key] = value
    return found


@dataclass(frozen=True)
class Tls:
    """Certificates. The other side's is always checked; to believe one that signed itself, give it as ``authority``.

    Args:
        authority: PEM file of the authorities to believe instead of those that the machine does.
        certificate: PEM file of our own certificate, when the archive asks for one.
        key: PEM file of its private key, without a password; None when ``certificate`` holds it.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Make what a client's socket is wrapped with: TLS 1.2 or later, certificate and host name checked.

        Raises:
            InputError: naming the file that is missing, unreadable, no PEM, or does not fit.
        """
        if self.key is not None and self.certificate is None:
            raise InputError(self.key, "is the key of no certificate; give the certificate too")
        for file in (self.authority, self.certificate, self.key):
            if file is not None and not os.access(file, os.R_OK):
                raise InputError(file, "cannot be read" if file.exists() else "does not exist")
        try:
            context = ssl.create_default_context(cafile=None if self.authority is None else str(self.authority))
        except (OSError, ssl.SSLError):
            raise InputError(str(self.authority), "holds no certificates in PEM form") from None
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is not None:
            try:
                # An encrypted key would make OpenSSL ask on the terminal; an empty password makes it fail instead.
                context.load_cert_chain(self.certificate, self.key, password=lambda: b"")
            except (OSError, ssl.SSLError):
                reason = "its private key is missing, is encrypted, or does not fit it"
                raise InputError(self.certificate, reason) from None
        return context
