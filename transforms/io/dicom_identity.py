"""Who made a result, from what, and the unique identifiers that follow from it: the same ones on every repeat."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from transforms.io.input_error import InputError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from transforms.io.dicom_series import DicomSeries

RESEARCH_USE = "Research use only, not for diagnosis."
MANUFACTURER = "Concord"
# Where archives list the results of a study: one series each, behind those of any scanner.
SERIES_NUMBERS = {"SEG": 9001, "LABELMAP": 9002, "SR": 9003, "SC": 9004}

LONGEST_UID = 64
LONGEST_TEXT = 64
# An own root must leave room for numbers that nobody draws twice: 10^24 is more than 2^79.
LONGEST_ROOT = LONGEST_UID - 25
_ROOT = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")


def derived_uid(*parts: str, root: str = "") -> str:
    """Give the unique identifier that belongs to ``parts``: the same for the same parts in the same order.

    Args:
        parts: texts; any change in any of them gives another identifier.
        root: the registered root of who runs this, as ``1.2.826.0.1.999``; by default 2.25, the arc of UUIDs, under
            which a UUID of version 8 (RFC 9562) is made from the parts' SHA-256.

    Returns:
        At most 64 characters.

    Raises:
        InputError: for a root that is no DICOM identifier or leaves too little room.
    """
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    number = int.from_bytes(digest[:16], "big")
    if not root:
        number = number & ~(0xF << 76) | 8 << 76
        return f"2.25.{number & ~(0x3 << 62) | 0x2 << 62}"
    if not _ROOT.fullmatch(root):
        raise InputError(f"UID root {root}", "is no DICOM identifier: numbers without leading zeros, joined by points")
    if len(root) > LONGEST_ROOT:
        raise InputError(f"UID root {root}", f"is longer than the {LONGEST_ROOT} characters that leave enough room")
    return f"{root}.{number % 10 ** (LONGEST_UID - len(root) - 1)}"


def dicom_text(text: str, limit: int = LONGEST_TEXT) -> str:
    """Make ``text`` fit a DICOM element: no control characters, no backslash, at most ``limit`` characters, never
    empty.
    """
    # A backslash would part the text into two values.
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text).replace("\\", "/").split())
    return plain[:limit].rstrip() or "unnamed"


@dataclass(frozen=True)
class ResultIdentity:
    """Which model made a result from which images, and the identifiers of what it made.

    Identifiers depend on the model, its settings and the source images alone, so that a repeated job makes the same
    ones and an archive sees one result, not two. Neither the moment nor anything of the patient enters them. They do
    not depend on the voxels: a caller whose results differ otherwise (another threshold, another form) says so in
    ``settings``.

    Attributes:
        model_name: as its metadata tell.
        model_version: of the model.
        model_hash: SHA-256 of its weights, in hexadecimal.
        source_series: SeriesInstanceUID of the images.
        source_instances: their SOPInstanceUIDs, in any order.
        moment: when the result was made, local time. Objects carry it as their dates; a caller that repeats a job and
            wants the objects equal byte for byte passes the moment of the first time.
        settings: what else changes the result.
        software: name and version of what ran the model.
        manufacturer: of the software.
        root: registered root for the identifiers, see ``derived_uid``.
    """

    model_name: str
    model_version: str
    model_hash: str
    source_series: str
    source_instances: tuple[str, ...]
    moment: datetime
    settings: str = ""
    software: str = MANUFACTURER
    manufacturer: str = MANUFACTURER
    root: str = ""

    def series_uid(self, kind: str) -> str:
        """Give the SeriesInstanceUID of results of ``kind``: a key of ``SERIES_NUMBERS``."""
        return self._uid("series", _known(kind))

    def instance_uid(self, kind: str, *parts: str) -> str:
        """Give the SOPInstanceUID of a result of ``kind``; ``parts`` tell several of one kind apart."""
        return self._uid("instance", _known(kind), *parts)

    def tracking_uid(self, label: int) -> str:
        """Give the identifier that ties the segment of ``label`` to its measurements."""
        return self._uid("tracking", str(label))

    def tracking_id(self, name: str) -> str:
        """Give the readable counterpart of ``tracking_uid`` for a segment called ``name``."""
        return dicom_text(f"{self.model_name}: {name}")

    @property
    def device_uid(self) -> str:
        """Identifier of the model as an observer: the same whatever the images."""
        return derived_uid("device", self.model_name, self.model_version, self.model_hash, root=self.root)

    def equipment(self) -> dict[str, Any]:
        """Give what highdicom wants to know of the maker of an object."""
        return {
            "manufacturer": dicom_text(self.manufacturer),
            "manufacturer_model_name": dicom_text(self.model_name),
            "software_versions": (dicom_text(self.software), dicom_text(f"{self.model_name} {self.model_version}")),
            "device_serial_number": dicom_text(self.model_hash),
        }

    def describe(self, what: str) -> str:
        """Say in at most 64 characters what an object is, ending with the statement of intended use."""
        room = LONGEST_TEXT - len(RESEARCH_USE) - len(" - ")
        return f"{dicom_text(what, room)} - {RESEARCH_USE}"

    def _uid(self, *parts: str) -> str:
        model = (self.model_name, self.model_version, self.model_hash, self.settings)
        return derived_uid(*parts, *model, self.source_series, *sorted(self.source_instances), root=self.root)


def identity_of(
    series: DicomSeries,
    *,
    model_name: str,
    model_version: str,
    model_hash: str,
    moment: datetime,
    settings: str = "",
    software: str = MANUFACTURER,
    root: str = "",
) -> ResultIdentity:
    """Give the identity of what a model makes of ``series``; the arguments are those of ``ResultIdentity``."""
    return ResultIdentity(
        model_name=model_name,
        model_version=model_version,
        model_hash=model_hash,
        source_series=str(series.headers[0].get("SeriesInstanceUID", "")),
        source_instances=tuple(str(header.get("SOPInstanceUID", "")) for header in series.headers),
        moment=moment,
        settings=settings,
        software=software,
        root=root,
    )


def stamp(result: Dataset, identity: ResultIdentity) -> None:
    """Replace in place what a library wrote of its own clock or drew at random, so that a repeat gives equal bytes."""
    date, time = identity.moment.strftime("%Y%m%d"), identity.moment.strftime("%H%M%S")
    result.InstanceCreationDate, result.InstanceCreationTime = date, time
    result.SeriesDate, result.SeriesTime = date, time
    result.ContentDate, result.ContentTime = date, time
    for item in result.get("ContributingEquipmentSequence", []):
        if item.get("Manufacturer", "").startswith("Highdicom"):
            item.ContributionDateTime = date + time
    dimensions: Sequence[Dataset] = [
        *result.get("DimensionOrganizationSequence", []),
        *result.get("DimensionIndexSequence", []),
    ]
    for item in dimensions:
        item.DimensionOrganizationUID = derived_uid("dimensions", result.SOPInstanceUID, root=identity.root)


def _known(kind: str) -> str:
    if kind not in SERIES_NUMBERS:
        raise ValueError(f"a result is one of {', '.join(SERIES_NUMBERS)}, not {kind!r}")
    return kind
