"""One hash for all that a bundle is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from transforms.io.input_error import InputError

RUN_PARTS = ("config.yaml", "run.json", "checkpoints")
_CHUNK = 2**20


def file_sha256(file: Path) -> str:
    """Give the SHA-256 of a file's content, in hexadecimal digits.

    Raises:
        InputError: when it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except OSError as fault:
        raise InputError(file, f"cannot be read: {fault.strerror}") from fault
    return digest.hexdigest()


def bundle_sha256(folder: Path) -> str:
    """Give one SHA-256 over the names and contents of all files below ``folder``, in hexadecimal digits.

    The name of the folder itself, times, rights and the order in which a file system lists do not count. Of a run
    folder, whose reports come and go, only what is read to infer counts: its configuration, record and checkpoints.

    Raises:
        InputError: when there is no file, or one cannot be read.
    """
    digest = hashlib.sha256()
    names = sorted(file.relative_to(folder).as_posix() for file in _files(folder))
    if not names:
        raise InputError(folder, "holds no file")
    for name in names:
        encoded = name.encode("utf-8", "surrogateescape")
        digest.update(len(encoded).to_bytes(8, "big") + encoded + bytes.fromhex(file_sha256(folder / name)))
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    is_run = (folder / RUN_PARTS[0]).is_file()
    for top in [folder / name for name in RUN_PARTS] if is_run else [folder]:
        if top.is_file():
            yield top
        else:
            yield from (path for path in top.rglob("*") if not path.is_dir())
