"""What the labels of a mask are called where systems talk to each other: coded terms of SNOMED CT, or of our own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

# DICOM keeps designators that begin with 99 for private schemes (PS3.16, section 8.2).
PRIVATE_SCHEME = "99CONCORD"
LONGEST_MEANING = 64
LONGEST_VALUE = 16


@dataclass(frozen=True)
class Code:
    """A coded term.

    Attributes:
        value: code within its scheme, at most 16 characters.
        scheme: coding scheme designator, as ``SCT`` for SNOMED CT.
        meaning: the term, at most 64 characters.

    Raises:
        ValueError: for parts that are empty or longer than DICOM allows.
    """

    value: str
    scheme: str
    meaning: str

    def __post_init__(self) -> None:
        for name, limit in (("value", LONGEST_VALUE), ("scheme", 16), ("meaning", LONGEST_MEANING)):
            text = getattr(self, name)
            if not isinstance(text, str) or not 1 <= len(text) <= limit:
                raise ValueError(f"a code's {name} must be a text of 1 to {limit} characters, got {text!r}")


@dataclass(frozen=True)
class SegmentCode:
    """A label of a mask, its name and its codes.

    Attributes:
        label: value in the mask, from 1.
        name: as the data set calls it.
        category: kind of thing, as *Anatomical Structure*.
        type: the thing, as *Left atrium*.
        modifiers: of the type, as *Anterior*.
    """

    label: int
    name: str
    category: Code
    type: Code
    modifiers: tuple[Code, ...] = ()


TISSUE = Code("85756007", "SCT", "Tissue")


def segment_codes(class_names: Mapping[int, str], table: Mapping[str, Any]) -> list[SegmentCode]:
    """Look the classes up in a table of codes.

    The table goes by name, not by label, since a data set may give a label to anything: a class that it does not name
    gets a private code with that name, never somebody else's.

    Args:
        class_names: label to name, the background left out.
        table: class name to ``{"category": code, "type": code, "modifiers": [code, ...]}``, a code being
            ``{"value", "scheme", "meaning"}``; ``category`` (tissue) and ``modifiers`` (none) may be left out. Upper
            and lower case are the same.

    Raises:
        ValueError: when an entry of the table is no code; it names the entry.
    """
    known = {name.casefold().strip(): entry for name, entry in table.items()}
    found = []
    for label, name in sorted(class_names.items()):
        entry = known.get(name.casefold().strip())
        try:
            found.append(_coded(label, name, entry) if entry is not None else _private(label, name))
        except (KeyError, TypeError, ValueError) as fault:
            raise ValueError(f"label_codes of {name!r}: {fault}") from fault
    return found


def codes_as_json(codes: Sequence[SegmentCode]) -> dict[str, Any]:
    """Give the table that ``metadata.json`` of an exported bundle carries: label to name and codes."""
    return {
        str(code.label): {
            "name": code.name,
            "category": asdict(code.category),
            "type": asdict(code.type),
            "modifiers": [asdict(modifier) for modifier in code.modifiers],
        }
        for code in codes
    }


def codes_of_metadata(metadata: Mapping[str, Any]) -> list[SegmentCode]:
    """Give the codes that a bundle's ``metadata.json`` tells, and private ones for the labels that it does not.

    Raises:
        KeyError: when the metadata do not name the channels of the output.
        ValueError: when what they tell are no codes.
    """
    channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    names = {int(label): str(name) for label, name in channels.items() if int(label) > 0}
    table = metadata.get("label_codes", {})
    named = {names[int(label)]: entry for label, entry in table.items() if int(label) in names}
    return segment_codes(names, named)


def _coded(label: int, name: str, entry: Mapping[str, Any]) -> SegmentCode:
    category = Code(**entry["category"]) if "category" in entry else TISSUE
    modifiers = tuple(Code(**modifier) for modifier in entry.get("modifiers", ()))
    return SegmentCode(label, name, category, Code(**entry["type"]), modifiers)


def _private(label: int, name: str) -> SegmentCode:
    """Give a code whose value is the same wherever the name is the same."""
    value = hashlib.sha256(name.casefold().strip().encode()).hexdigest()[:LONGEST_VALUE].upper()
    return SegmentCode(label, name, TISSUE, Code(value, PRIVATE_SCHEME, name[:LONGEST_MEANING] or f"label {label}"))
