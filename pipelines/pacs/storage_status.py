"""What an archive means by the number with which it answers a store (PS3.4 B.2.3, PS3.7 annex C, PS3.18 I.2)."""

from __future__ import annotations

_EXACT = {
    0x0000: "stored",
    0x0105: "no such attribute",
    0x0106: "invalid attribute value",
    0x0110: "processing failure",
    0x0111: "duplicate instance",
    0x0112: "no such instance",
    0x0117: "invalid instance",
    0x0118: "no such SOP class",
    0x0119: "class and instance conflict",
    0x0120: "missing attribute",
    0x0121: "missing attribute value",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0x0210: "duplicate invocation",
    0x0211: "unrecognised operation",
    0x0212: "mistyped argument",
    0x0213: "resource limitation",
    0xA801: "move destination unknown",
    0xFE00: "cancelled",
}
_RANGES = (
    (0xA700, 0xA7FF, "out of resources"),
    (0xA800, 0xA8FF, "SOP class not supported"),
    (0xA900, 0xA9FF, "data set does not match the SOP class"),
    (0xC000, 0xCFFF, "cannot understand or process it"),
)
# Stored, but elements were changed or left out.
_STORED_WITH_A_WARNING = (0x0001, 0x0107, 0x0116)


def is_stored(status: int) -> bool:
    """Say whether an instance with this status is in the archive: success, and success with a warning (0xBxxx)."""
    return status == 0 or status in _STORED_WITH_A_WARNING or 0xB000 <= status <= 0xBFFF


def is_passing(status: int) -> bool:
    """Say whether it may be gone at the next try: out of resources."""
    return status == 0x0213 or 0xA700 <= status <= 0xA7FF


def status_meaning(status: int) -> str:
    """Give the meaning and the number, ``out of resources (0xA700)``."""
    meaning = _EXACT.get(status) or next((text for low, high, text in _RANGES if low <= status <= high), "")
    return f"{meaning or 'an unknown reason'} (0x{status:04X})"
