"""Handing results over: stored once, shown by a query to be there, and kept on disk when they are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.pacs.archive import Archive
from pipelines.pacs.instances import encode
from transforms.io.atomic import atomic_path
from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

PICTURE_FILE = "overlay.png"


@dataclass(frozen=True)
class Delivery:
    """What became of the objects.

    Attributes:
        stored: SOPInstanceUIDs that were stored now.
        already: those that the archive had from an earlier try.
        missing: those that it does not have.
        fault: why; None when nothing is missing.
    """

    stored: tuple[str, ...] = ()
    already: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    fault: InputError | None = None


def send(archive: Archive, objects: Mapping[str, Dataset]) -> Delivery:
    """Store objects that the archive does not have yet, and ask it whether they are there now.

    A repeated job makes objects of the same identifiers. Those that the archive has are not sent again, so that
    repeating a job that was cut off completes it and repeating one that was not changes nothing. What an archive
    refuses, and an archive that cannot be reached, are told in the result, not raised: the objects still exist.
    """
    uids = {str(made.SOPInstanceUID): made for made in objects.values()}
    missing = tuple(uids)
    already: tuple[str, ...] = ()
    try:
        missing = tuple(archive.missing(list(uids.values())))
        already = tuple(uid for uid in uids if uid not in missing)
        if not missing:
            return Delivery(already=already)
        archive.store([uids[uid] for uid in missing])
    except InputError as fault:
        return _after_fault(archive, uids, already, missing, fault)
    try:
        left = tuple(archive.missing(list(uids.values())))
    except InputError as fault:
        return Delivery((), already, missing, fault)
    stored = tuple(uid for uid in missing if uid not in left)
    if left:
        told = f"says that it took them, but has {len(left)} of {len(uids)} results not"
        return Delivery(stored, already, left, InputError("--output", told))
    return Delivery(stored, already)


def _after_fault(
    archive: Archive,
    uids: Mapping[str, Dataset],
    already: tuple[str, ...],
    missing: tuple[str, ...],
    fault: InputError,
) -> Delivery:
    """Find out what arrived before a store failed, if the archive still answers."""
    try:
        left = tuple(archive.missing(list(uids.values())))
    except InputError:
        return Delivery((), already, missing, fault)
    return Delivery(tuple(uid for uid in missing if uid not in left), already, left, fault if left else None)


def write_results(folder: Path, objects: Mapping[str, Dataset], picture: bytes) -> list[Path]:
    """Write ``segmentation.dcm``, ``report.dcm``, ``overlay.dcm`` and ``overlay.png``, each whole or not at all.

    Raises:
        InputError: when the folder cannot be written to.
    """
    files = {folder / f"{kind}.dcm": encode(made) for kind, made in objects.items()}
    files[folder / PICTURE_FILE] = picture
    for file, content in files.items():
        try:
            with atomic_path(file) as temporary:
                temporary.write_bytes(content)
        except OSError as fault:
            raise InputError(file, f"cannot be written: {fault.strerror}") from fault
    return list(files)
