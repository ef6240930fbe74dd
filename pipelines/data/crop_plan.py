"""Which crops to make of a data set, and where their centres come from."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.data.dataset import Case, DataSet
from pipelines.data.raters import rater_labels
from transforms.io.geometry import Geometry
from transforms.io.input_error import InputError, InputErrors
from transforms.io.volume import read_geometry

SAME_PLACE_MM = 1e-3
SIDES = ("left", "right")
_COLUMNS = ("case_id", "x", "y", "z")


@dataclass(frozen=True)
class Centre:
    """The middle of a crop.

    Attributes:
        place_mm: R, A, S as the image's affine has it.
        source: who says so: ``label``, ``raters``, ``file`` or ``model``.
        side: of the patient, ``left`` or ``right``, when the source says that too; else empty.
    """

    place_mm: tuple[float, float, float]
    source: str
    side: str = ""


@dataclass(frozen=True)
class Sample:
    """One crop to make.

    Attributes:
        sample_id: the case's id; with ``_c1``, ``_c2``, ... behind it when the case gives several crops.
        split: of the case.
        case: where it is cut from.
        centre: None when the label, or else the raters, will tell.
    """

    sample_id: str
    split: str
    case: Case
    centre: Centre | None


def check_headers(dataset: DataSet) -> None:
    """Look at the header of every file of a data set.

    Raises:
        InputErrors: naming images that are not 3D, labels and raters that do not lie on the grid of their image, and
            files that cannot be read.
    """
    faults: list[InputError] = []
    for _, case in dataset.cases:
        try:
            faults += _grid_faults(case)
        except InputError as fault:
            faults.append(fault)
    if faults:
        raise InputErrors(faults)


def plan_samples(dataset: DataSet, centres: Mapping[str, Sequence[Centre]] | None) -> list[Sample]:
    """List the crops of a data set.

    Args:
        dataset: the raw volumes.
        centres: of each case, by case id; several give several crops. None when labels, or else raters, tell.

    Raises:
        InputErrors: naming every case that has no centre, or nothing to take one from.
    """
    samples = []
    faults: list[InputError] = []
    for split, case in dataset.cases:
        if centres is None:
            if case.label is None and not rater_labels(case):
                reason = "has no label to centre a crop on; pass --centres or --locate-with"
                faults.append(InputError(case.images[0], reason))
            samples.append(Sample(case.case_id, split, case, None))
        elif case.case_id not in centres:
            faults.append(InputError(case.images[0], f"its case {case.case_id} has no centre in the file of --centres"))
        else:
            found = centres[case.case_id]
            for number, centre in enumerate(found, start=1):
                name = f"{case.case_id}_c{number}" if len(found) > 1 else case.case_id
                samples.append(Sample(name, split, case, centre))
    if faults:
        raise InputErrors(faults)
    return samples


def read_centres(path: Path, dataset: DataSet) -> dict[str, list[Centre]]:
    """Read where the structure lies in each case.

    Args:
        path: ``.csv`` with the columns case_id, x, y, z and perhaps side (left or right), in any order, one row or more
            per case; or ``.json``: {case_id: [x, y, z]}, or {case_id: [{"centre_mm": [x, y, z], "side": "left"}, ...]}.
            Millimetres, R, A, S.
        dataset: whose cases these are; a file for more cases than it has is fine.

    Raises:
        InputError: when the file cannot be read or holds anything else, or none of the cases.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise InputError(path, f"cannot be read: {fault.strerror}") from fault
    except UnicodeDecodeError as fault:
        raise InputError(path, "is not UTF-8 text") from fault
    if path.suffix.lower() not in (".csv", ".json"):
        raise InputError(path, "must be a .csv or .json file")
    rows = _json_rows(path, text) if path.suffix.lower() == ".json" else _csv_rows(path, text)
    centres: dict[str, list[Centre]] = {}
    for case_id, place, side in rows:
        centres.setdefault(case_id, []).append(_centre(path, case_id, place, side))
    known = {case.case_id for _, case in dataset.cases}
    if not known & centres.keys():
        told = next(iter(centres), "none")
        raise InputError(path, f"names no case of the data set (its first is {told}, the data set's {min(known)})")
    return centres


def _csv_rows(path: Path, text: str) -> list[tuple[str, list[Any], str]]:
    table = csv.DictReader(text.splitlines())
    missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
    if missing:
        raise InputError(path, f"has no column {missing[0]}; it needs {', '.join(_COLUMNS)}, and may have side")
    return [(row["case_id"] or "", [row[name] for name in _COLUMNS[1:]], row.get("side") or "") for row in table]


def _json_rows(path: Path, text: str) -> list[tuple[str, list[Any], str]]:
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as fault:
        raise InputError(path, "is not valid JSON") from fault
    if not isinstance(content, dict):
        raise InputError(path, "must map each case id to its centre, [x, y, z] in mm")
    rows: list[tuple[str, list[Any], str]] = []
    for case_id, given in content.items():
        several = isinstance(given, list) and all(isinstance(one, dict) for one in given)
        for one in given if several else [{"centre_mm": given}]:
            place = one.get("centre_mm")
            rows.append((case_id, place if isinstance(place, list) else [], str(one.get("side", ""))))
    return rows


def _centre(path: Path, case_id: str, place: Sequence[Any], side: str) -> Centre:
    try:
        values = [float(value) for value in place]
    except (TypeError, ValueError):
        values = []
    if len(values) != 3 or not all(math.isfinite(value) for value in values):
        raise InputError(path, f"the centre of {case_id} must be three numbers of mm, got {list(place)}")
    if side not in ("", *SIDES):
        raise InputError(path, f"the side of {case_id} must be left or right, got {side}")
    return Centre((values[0], values[1], values[2]), "file", side)


def _grid_faults(case: Case) -> list[InputError]:
    image = read_geometry(case.images[0])
    if len(image.shape) != 3:
        return [InputError(case.images[0], f"is {len(image.shape)}D; crops are cut out of 3D images")]
    others = [*case.images[1:], *([] if case.label is None else [case.label]), *rater_labels(case)]
    return [InputError(path, told) for path in others if (told := _difference(read_geometry(path), image))]


def _difference(other: Geometry, image: Geometry) -> str:
    if other.shape != image.shape:
        sizes = ["x".join(map(str, grid.shape)) for grid in (other, image)]
        return f"has shape {sizes[0]}, but its image has {sizes[1]}"
    if abs(other.affine - image.affine).max() > SAME_PLACE_MM:
        return "does not lie on the grid of its image: their affines differ"
    return ""
