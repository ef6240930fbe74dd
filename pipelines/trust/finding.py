"""What is wrong with a bundle, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from transforms.io.input_error import InputError

LONGEST_SHOWN = 120


@dataclass(frozen=True)
class Finding:
    """One reason not to use a bundle.

    Attributes:
        file: the file that it is in.
        id: the place in a configuration, in MONAI's ``a::0::b`` form; empty for the file as a whole.
        reason: what is wrong, on one line.
    """

    file: Path
    id: str
    reason: str

    def refusal(self) -> InputError:
        """Give the error that tells it in one line."""
        return InputError(self.file, f"{self.id}: {self.reason}" if self.id else self.reason)


def shown(text: str) -> str:
    """Give a stranger's text as one short printable line, so that it can play no tricks on a terminal."""
    line = ascii(text)
    return line if len(line) <= LONGEST_SHOWN else line[: LONGEST_SHOWN - 4] + "...'"
