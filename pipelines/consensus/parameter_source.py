"""Where data parameters come from: a training run, its table, or numbers on the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from pipelines.data.data_parameters_table import TABLE_FILE, read_data_parameters
from transforms.io.input_error import InputError


def parameter_file(given: Path) -> Path:
    """Give the table of a run folder, or the table itself.

    Raises:
        InputError: when there is none.
    """
    path = given / TABLE_FILE if given.is_dir() else given
    if not path.is_file():
        reason = f"has no {TABLE_FILE}; is it a training with data parameters?" if given.is_dir() else "does not exist"
        raise InputError(given, reason)
    return path


def rater_parameters(given: Sequence[str], raters: Sequence[Path]) -> tuple[float, ...]:
    """Give the parameter of each rater of one image.

    Args:
        given: a number per rater, or one run or table, whose ``rater`` a file of that path ends with.
        raters: label files.

    Raises:
        InputError: when there is not one finite number per rater, or the table names none or several for one.
    """
    numbers = [_number(text) for text in given]
    if None not in numbers and not (len(given) == 1 and Path(given[0]).exists()):
        if len(given) != len(raters):
            raise InputError("--parameters", f"has {len(given)} numbers for {len(raters)} raters")
        return tuple(number for number in numbers if number is not None)
    if len(given) != 1:
        raise InputError("--parameters", "must be one run or table, or a finite number for each rater")
    path = parameter_file(Path(given[0]))
    table = read_data_parameters(path)
    found = []
    for rater in raters:
        place = f"/{rater.resolve().as_posix()}"
        matches = [value for (_, name), value in table.items() if place.endswith(f"/{name}")]
        if len(matches) != 1:
            told = f"names {len(matches)} parameters" if matches else "has no parameter"
            raise InputError(path, f"{told} for rater {rater}")
        found.append(matches[0])
    return tuple(found)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
