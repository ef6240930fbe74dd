"""Certificates for 127.0.0.1 that a test makes for itself."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Certificate:
    """One that signed itself: its PEM file and its key's."""

    certificate: Path
    key: Path

    def server_context(self, client: Path | None = None) -> ssl.SSLContext:
        """Make what a server's socket is wrapped with; with ``client``, callers must show that certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if client is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client)
        return context


def make_certificate(folder: Path, name: str = "server", password: str = "") -> Certificate:
    """Make a certificate, its key encrypted when there is a password; skip the test without the ``openssl`` command."""
    if shutil.which("openssl") is None:
        pytest.skip("not installed: openssl, which makes the certificates")
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    protection = ["-passout", f"pass:{password}"] if password else ["-nodes"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *protection]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made
