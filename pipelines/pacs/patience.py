"""How long an archive is waited for, and how often it is asked again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from transforms.io.input_error import InputError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """Limits of time, each in seconds.

    Args:
        connect_s: for a connection to be made.
        answer_s: for the other side to say or take anything at all.
        total_s: for one whole call: a search, a fetch or a store, every try included.
        attempts: how often something is tried that failed for a reason that may pass.
        pause_s: before the second try; twice as long before each further one.

    Raises:
        InputError: for limits that are not positive and finite.
    """

    connect_s: float = 10.0
    answer_s: float = 60.0
    total_s: float = 1800.0
    attempts: int = 3
    pause_s: float = 0.5

    def __post_init__(self) -> None:
        for name in ("connect_s", "answer_s", "total_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(name, f"is {value}, but must be a positive number of seconds")
        if self.attempts < 1 or self.pause_s < 0:
            raise InputError("attempts", "there must be at least one try, and no negative pause before the next")


class PassingFault(InputError):  # noqa: N818  an InputError of one kind
    """A fault of the network or the archive that may be gone at the next try."""


class Deadline:
    """The moment at which one call must have ended.

    Args:
        subject: the archive's address, for the message.
        patience: the limits; time runs from now.
    """

    def __init__(self, subject: str, patience: Patience) -> None:
        self.subject = subject
        self._total_s = patience.total_s
        self._end = time.monotonic() + patience.total_s

    def left_s(self) -> float:
        """Give the seconds left, more than 0.

        Raises:
            InputError: when there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise InputError(self.subject, f"has not finished within {self._total_s:g} s")
        return left


def persist(action: Callable[[], Result], patience: Patience, deadline: Deadline) -> Result:
    """Do ``action``, again after a pause when it ends with a ``PassingFault``.

    Raises:
        InputError: of the last try, saying how many there were; or that the time is over.
    """
    for attempt in range(1, patience.attempts):
        try:
            return action()
        except PassingFault:
            time.sleep(min(patience.pause_s * 2 ** (attempt - 1), deadline.left_s()))
    try:
        return action()
    except PassingFault as fault:
        if patience.attempts == 1:
            raise
        raise PassingFault(fault.subject, f"{fault.reason} (tried {patience.attempts} times)") from None
