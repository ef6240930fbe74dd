"""What every reader and command raises when the user's input, not our code, is at fault."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any


class InputError(ValueError):
    """One fault of the input or of the usage, told in one line.

    Args:
        subject: the file, folder or option that is at fault.
        reason: what is wrong with it, and what would be right, on one line.
    """

    def __init__(self, subject: str | Path, reason: str) -> None:
        self.subject = str(subject)
        self.reason = " ".join(reason.split())
        super().__init__(f"{self.subject}: {self.reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.subject, self.reason)


class InputErrors(InputError):  # noqa: N818  it is several of them
    """Several faults found in one pass.

    The first fault is the one that ``subject`` and ``reason`` tell; all of them are in ``faults``.

    Args:
        faults: at least one fault.

    Raises:
        ValueError: when there is no fault to tell.
    """

    def __init__(self, faults: Iterable[InputError]) -> None:
        self.faults = tuple(faults)
        if not self.faults:
            raise ValueError("InputErrors needs at least one fault.")
        first = self.faults[0]
        more = len(self.faults) - 1
        plural = "s" if more > 1 else ""
        super().__init__(first.subject, first.reason + (f" (and {more} more fault{plural})" if more else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.faults,)
