"""Remembering what files held, so that checking a data set again costs only a look at what has changed."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from pipelines.data.integrity_record import FileRecord, measure_file, record_kind
from pipelines.trust.fingerprint import file_sha256
from transforms.io.atomic import write_text_atomic
from transforms.io.input_error import InputError
from transforms.io.verified_bytes import is_folder, require_readable

# To be raised whenever the same bytes would give another record.
VERSION = 2
# A file that changes twice within a tick of the clock looks unchanged: what is younger is hashed again next time.
SETTLED_AFTER_S = 2.0

Signature = list[list[Any]]


def default_cache(root: Path) -> Path | None:
    """Give the place where the records of the data set in ``root`` are kept; None when the user has no home folder."""
    try:
        base = os.environ.get("XDG_CACHE_HOME")
        folder = Path(base) if base else Path.home() / ".cache"
    except RuntimeError:
        return None
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:24]
    return folder / "concord" / "checks" / f"{name}.json"


class IntegrityCache:
    """Records of files by the hash of their content, and hashes of files by path, size and times of last change.

    A cache that cannot be read, is damaged or of another version counts as empty; one that cannot be written is not
    written.

    Args:
        path: the JSON file to keep it in; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._old = _load(path)
        self._new: dict[str, dict[str, Any]] = {"hashes": {}, "records": {}}

    def sha256(self, path: Path) -> str:
        """Give the SHA-256 of a file's content; of a folder, that of its files' names and contents.

        Raises:
            InputError: when it cannot be read.
        """
        parts = _parts(path)
        signature = _signature(parts)
        seen, known = self._old["hashes"].get(str(path), (None, ""))
        digest = str(known) if seen == signature else _digest(path, parts)
        if time.time_ns() - max(max(part[2], part[3]) for part in signature) > SETTLED_AFTER_S * 1e9:
            self._new["hashes"][str(path)] = [signature, digest]
        return digest

    def record(self, path: Path, sha256: str, *, as_label: bool) -> FileRecord:
        """Give the record of a file whose content has the hash ``sha256``, reading the file only when that is new."""
        key = f"{record_kind(path, as_label=as_label)}-{sha256}"
        known = self._new["records"].get(key, self._old["records"].get(key))
        record = FileRecord.from_json(known) if known is not None else measure_file(path, as_label=as_label)
        # The reason of a fault may lie outside the file: a decoder installed later, a disk that recovers.
        if not record.fault:
            self._new["records"][key] = known if known is not None else record.to_json()
        return record

    def save(self) -> None:
        """Keep what this run has used and forget the rest."""
        if self.path is None or self._new == self._old:
            return
        payload = json.dumps({"version": VERSION, **self._new})
        checksum = hashlib.sha256(payload.encode()).hexdigest()
        try:
            write_text_atomic(self.path, f"{checksum}\n{payload}\n")
        except OSError:
            return


def _load(path: Path | None) -> dict[str, dict[str, Any]]:
    empty: dict[str, dict[str, Any]] = {"hashes": {}, "records": {}}
    if path is None:
        return empty
    try:
        checksum, _, payload = path.read_text(encoding="utf-8").partition("\n")
        payload = payload.rstrip("\n")
        if hashlib.sha256(payload.encode()).hexdigest() != checksum:
            return empty
        content = json.loads(payload)
    except (OSError, ValueError):
        return empty
    if content.pop("version", None) != VERSION:
        return empty
    return content


def _parts(path: Path) -> list[Path]:
    """Every file that the image at ``path`` is read from."""
    if is_folder(path):
        try:
            return sorted(entry for entry in path.iterdir() if entry.is_file())
        except OSError as fault:
            raise InputError(path, f"cannot be read: {fault.strerror}") from fault
    require_readable(path)
    if path.suffix.lower() in (".mhd", ".nhdr"):
        from transforms.io.itk_file import voxel_file

        try:
            return sorted({path, voxel_file(path)})
        except InputError:
            return [path]
    return [path]


def _signature(parts: list[Path]) -> Signature:
    signature = []
    for part in parts:
        try:
            status = part.stat()
        except OSError as fault:
            raise InputError(part, f"cannot be read: {fault.strerror}") from fault
        # The time of the last change of the inode cannot be set back, as that of the content can.
        signature.append([str(part), status.st_size, status.st_mtime_ns, status.st_ctime_ns])
    return signature or [["", 0, 0, 0]]


def _digest(path: Path, parts: list[Path]) -> str:
    if parts == [path]:
        return file_sha256(path)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part.name}\0{file_sha256(part)}\n".encode())
    return digest.hexdigest()
