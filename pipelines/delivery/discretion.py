"""Telling what is wrong with a patient's files without telling whose they are.

Hospitals name files and folders after patients. What ends in a log says which option, and which file counted in the
order of names, and nothing of the name itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from transforms.io.input_error import InputError


@contextmanager
def discreet(folder: Path, subject: str) -> Iterator[None]:
    """Let refusals that name ``folder`` or what is in it name ``subject`` instead.

    Args:
        folder: where the files of a patient are.
        subject: what to call it, as the option that gave it.

    Raises:
        InputError: in place of one that names the folder or a file in it; a file becomes "file 3 of 12".
    """
    try:
        yield
    except InputError as fault:
        told = _without_names(fault, folder, subject)
        if told is None:
            raise
        raise told from None


def _without_names(fault: InputError, folder: Path, subject: str) -> InputError | None:
    """Give the refusal with other words for the paths; None when it names nothing of ``folder``."""
    root = folder.resolve()
    place = Path(fault.subject).resolve()
    if place != root and root not in place.parents:
        return None
    reason = fault.reason
    for name in sorted(_names(root), key=len, reverse=True):
        reason = reason.replace(name, "another file")
    if place == root:
        return InputError(subject, reason)
    files = sorted(str(path) for path in place.parent.iterdir()) if place.parent.is_dir() else []
    number = f"file {files.index(str(place)) + 1} of {len(files)}" if str(place) in files else "a file"
    return InputError(subject, f"{number} in the order of names {reason}")


def _names(root: Path) -> Iterator[str]:
    """Give the names and paths of what lies in a folder."""
    yield str(root)
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            yield str(Path(folder, name))
            yield name
