"""Credentials come from a file or the environment and are never shown; certificates are checked."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from pipelines.pacs.credentials import Credentials, Tls, read_credentials
from tests.pipelines.pacs.certificates import make_certificate
from transforms.io.input_error import InputError

PAIR = {"CONCORD_PACS_USER": "ann", "CONCORD_PACS_PASSWORD": "hunter2"}


def _file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "credentials"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_they_are_read_from_the_environment(monkeypatch):
    assert read_credentials(environment={}) is None
    assert read_credentials(environment={"CONCORD_PACS_USER": "", "CONCORD_PACS_PASSWORD": ""}) is None
    assert read_credentials(environment=PAIR) == Credentials(user="ann", password="hunter2")
    assert read_credentials(environment={"X_TOKEN": "abc"}, variables="X") == Credentials(token="abc")
    monkeypatch.setenv("CONCORD_PACS_TOKEN", "from outside")
    assert read_credentials() == Credentials(token="from outside")


def test_a_file_goes_before_the_environment(tmp_path):
    path = _file(tmp_path, "# mine\n\nuser = bob\npassword = a = b \n")
    assert read_credentials(path, PAIR) == Credentials(user="bob", password="a = b")


def test_nothing_shows_them():
    found = read_credentials(environment=PAIR)
    assert found is not None
    assert "hunter2" not in f"{found!r} {found} {[found]}"
    assert "ann" not in repr(found)


@pytest.mark.parametrize(
    "environment",
    [
        {"CONCORD_PACS_USER": "hunter2"},
        {"CONCORD_PACS_PASSWORD": "hunter2"},
        {"CONCORD_PACS_TOKEN": "hunter2", "CONCORD_PACS_USER": "ann"},
        {"CONCORD_PACS_TOKEN": "hunter2\r\nX-Header: 1"},
        {"CONCORD_PACS_USER": "a:hunter2", "CONCORD_PACS_PASSWORD": "x"},
    ],
)
def test_halves_mixtures_and_line_ends_are_refused(environment):
    with pytest.raises(InputError) as refusal:
        read_credentials(environment=environment)
    assert "hunter2" not in str(refusal.value)
    assert "CONCORD_PACS" in str(refusal.value)


@pytest.mark.parametrize("text", ["", "hunter2", "pass = hunter2", "user = a\nuser = hunter2", "token =", "user = a"])
def test_malformed_files_are_refused(tmp_path, text):
    path = _file(tmp_path, text)
    with pytest.raises(InputError) as refusal:
        read_credentials(path)
    assert "hunter2" not in str(refusal.value)
    assert refusal.value.subject == str(path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_files_that_others_can_touch_are_refused(tmp_path, mode):
    with pytest.raises(InputError, match="chmod 600"):
        read_credentials(_file(tmp_path, "token = x", mode))


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_credentials(tmp_path / "absent")
    with pytest.raises(InputError, match="no plain file"):
        read_credentials(tmp_path)
    path = tmp_path / "binary"
    path.write_bytes(b"token = \xff")
    path.chmod(0o600)
    with pytest.raises(InputError, match="UTF-8"):
        read_credentials(path)


def test_certificates_are_always_checked():
    context = Tls().context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_own_certificates_are_loaded_or_refused(tmp_path):
    mine, other = make_certificate(tmp_path, "mine"), make_certificate(tmp_path, "other")
    context = Tls(mine.certificate, mine.certificate, mine.key).context()
    assert [dict(pair[0] for pair in each["subject"])["commonName"] for each in context.get_ca_certs()] == ["mine"]
    locked = make_certificate(tmp_path, "locked", password="hunter2")
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    faults = {
        Tls(authority=tmp_path / "absent"): "does not exist",
        Tls(authority=junk): "no certificates",
        Tls(certificate=mine.certificate, key=other.key): "does not fit",
        Tls(certificate=mine.certificate): "private key is missing",
        Tls(certificate=locked.certificate, key=locked.key): "encrypted",
        Tls(key=mine.key): "key of no certificate",
    }
    for tls, reason in faults.items():
        with pytest.raises(InputError, match=reason):
            tls.context()
