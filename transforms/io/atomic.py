"""Writing files so that a reader, or a killed process, never sees half of one."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(final: str | Path) -> Iterator[Path]:
    """Give a temporary path in the folder of ``final``; rename it to ``final`` when the block ends well.

    The temporary name keeps every suffix of ``final`` (``.nii.gz``), since many writers choose the format by it.
    The bytes are on disk before the name changes. When the block raises, ``final`` is as it was before and the
    temporary file is gone.

    Args:
        final: where the finished file shall be. Its folder is made when it is not there.
    """
    final = Path(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(final.suffixes[-2:])
    handle, name = tempfile.mkstemp(dir=final.parent, prefix=".part-", suffix=suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8 under ``path``, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json_atomic(path: str | Path, content: Any) -> None:
    """Write ``content`` as indented JSON under ``path``, whole or not at all. NaN and infinity are refused: JSON has
    neither.

    Raises:
        ValueError: when ``content`` holds NaN or infinity.
    """
    write_text_atomic(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
