"""``data_parameters.csv``: how far a training came to trust each noisy label."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transforms.io.atomic import write_text_atomic
from transforms.io.input_error import InputError

TABLE_FILE = "data_parameters.csv"
COLUMNS = (
    "case_id",
    "rater",
    "atlas",
    "instance_index",
    "parameter",
    "weight",
    "foreground_voxels",
    "true_dice",
    "disturbed",
)


@dataclass(frozen=True)
class ParameterRow:
    """One noisy label.

    Args:
        case_id: whose label it is.
        rater: its file, relative to the data set.
        atlas: where it comes from, "" when that is not known.
        instance_index: its number in the training.
        parameter: its data parameter; the higher, the more it is trusted. None for a training without such parameters.
        foreground_voxels: of the label as it was trained on; None when not known.
        true_dice: of the label against the expert's, mean over the classes; None when there is no expert's label.
        disturbed: whether it was spoilt on purpose; None when not known.
    """

    case_id: str
    rater: str
    atlas: str = ""
    instance_index: int = 0
    parameter: float | None = None
    foreground_voxels: int | None = None
    true_dice: float | None = None
    disturbed: bool | None = None

    @property
    def weight(self) -> float | None:
        """The sigmoid of the parameter, in (0, 1)."""
        return None if self.parameter is None else 0.5 * (1.0 + math.tanh(0.5 * self.parameter))

    def cells(self) -> dict[str, str]:
        """Give the row as text; what is not known is empty."""
        return {
            "case_id": self.case_id,
            "rater": self.rater,
            "atlas": self.atlas,
            "instance_index": str(self.instance_index),
            "parameter": _told(self.parameter),
            "weight": _told(self.weight),
            "foreground_voxels": "" if self.foreground_voxels is None else str(self.foreground_voxels),
            "true_dice": _told(self.true_dice),
            "disturbed": "" if self.disturbed is None else str(int(self.disturbed)),
        }


def write_data_parameters(path: Path, rows: Sequence[ParameterRow]) -> None:
    """Write the table, whole or not at all.

    Raises:
        InputError: when it cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.cells() for row in rows)
    try:
        write_text_atomic(path, text.getvalue())
    except OSError as fault:
        raise InputError(path, f"cannot be written: {fault.strerror}") from fault


def read_data_parameters(path: Path) -> dict[tuple[str, str], float]:
    """Read the parameter of each noisy label, by (case_id, rater).

    Raises:
        InputError: when the file cannot be read, has other columns, names one label twice, or holds a parameter that is
            no finite number or none at all.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"case_id", "rater", "parameter"} - set(reader.fieldnames or ())
            if missing:
                raise InputError(path, f"has no column {', '.join(sorted(missing))}; it is no {TABLE_FILE}")
            rows = list(reader)
    except OSError as fault:
        raise InputError(path, f"cannot be read: {fault.strerror}") from fault
    except (UnicodeDecodeError, csv.Error) as fault:
        raise InputError(path, "is no CSV file in UTF-8") from fault
    parameters: dict[tuple[str, str], float] = {}
    for number, row in enumerate(rows, start=2):
        key = (str(row["case_id"]), str(row["rater"]))
        if key in parameters:
            raise InputError(path, f"line {number} gives a second parameter to {key[1]} of {key[0]}")
        parameters[key] = _number(path, number, row["parameter"])
    if not parameters:
        raise InputError(path, "holds no parameter")
    return parameters


def _number(path: Path, line: int, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError as fault:
        raise InputError(path, f"line {line} has {text!r} where a parameter belongs") from fault
    if not math.isfinite(value):
        raise InputError(path, f"line {line} has the parameter {text}, which is no finite number")
    return value


def _told(value: float | None) -> str:
    # Nine digits give a float32 back exactly.
    return "" if value is None else f"{value:.9g}"
