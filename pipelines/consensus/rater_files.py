"""The raters' label files of one image: on one grid, with known labels, and read one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.consensus.scores import count_labels, dice_per_label
from pipelines.data.integrity_case import geometry_differences
from pipelines.data.integrity_record import FileRecord
from transforms.io.input_error import InputError, InputErrors
from transforms.io.volume import read_geometry, read_volume

MAX_LABEL = 65_535


def check_grids(raters: Sequence[Path], reference: Path | None = None) -> None:
    """Refuse raters that are not on the grid of the first one; only headers are read.

    Args:
        raters: label files of one image.
        reference: the expert's label, if there is one.

    Raises:
        InputError: (``InputErrors`` when there are several) for a missing or damaged file, a colour picture, and for
            another shape, spacing, orientation or origin.
    """
    faults: list[InputError] = []
    first: FileRecord | None = None
    for path in (*raters, *(() if reference is None else (reference,))):
        try:
            record = _grid(path)
        except InputError as fault:
            faults.append(fault)
            continue
        first = record if first is None else first
        faults += [InputError(path, told) for told in geometry_differences(record, first, "the first rater")]
    if faults:
        raise InputErrors(faults)


def _grid(path: Path) -> FileRecord:
    geometry = read_geometry(path)
    if geometry.channels:
        raise InputError(path, "is a colour picture; a label has one value per pixel")
    return FileRecord(
        shape=geometry.shape,
        affine=tuple(tuple(float(value) for value in row) for row in geometry.affine),
        spacing=geometry.spacing,
        orientation=geometry.orientation,
    )


def read_labels(path: Path, declared: Sequence[int] | None = None) -> NDArray[np.unsignedinteger[Any]]:
    """Read one label map.

    Args:
        path: the file.
        declared: labels that may occur; any from 0 to 65535 when not given.

    Returns:
        ``(H, W[, D])``, uint8 or uint16.

    Raises:
        InputError: when the file cannot be read or holds anything but such labels.
    """
    values: NDArray[Any] = read_volume(path).array
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise InputError(path, f"must hold whole numbers, found {values[values != np.rint(values)][0]:g}")
    low, high = values.min(), values.max()
    if low < 0 or high > MAX_LABEL:
        raise InputError(path, f"holds values from {low:g} to {high:g}; labels are 0 to {MAX_LABEL}")
    labels: NDArray[Any] = values.astype(np.uint8 if high < 256 else np.uint16, copy=False)
    if declared is not None:
        found = np.flatnonzero(count_labels(labels))
        undeclared = [int(label) for label in found if label not in declared]
        if undeclared:
            told = ", ".join(map(str, undeclared[:5])) + (", ..." if len(undeclared) > 5 else "")
            hint = "; should 255 be 1?" if undeclared == [255] else ""
            known = ", ".join(map(str, sorted(declared)))
            raise InputError(path, f"holds labels that are not declared: {told} (declared: {known}){hint}")
    return labels


def stream_labels(
    raters: Sequence[Path],
    declared: Sequence[int] | None = None,
    reference: NDArray[Any] | None = None,
    scores: list[Mapping[int, float]] | None = None,
) -> Iterator[NDArray[np.unsignedinteger[Any]]]:
    """Read raters one after the other, so that one is in memory at a time.

    Args:
        raters: label files that ``check_grids`` has passed.
        declared: as ``read_labels`` has it.
        reference: the expert's label map.
        scores: takes each rater's Dice of each label against ``reference``.

    Raises:
        InputError: as ``read_labels`` says.
    """
    for path in raters:
        labels = read_labels(path, declared)
        if reference is not None and scores is not None:
            scores.append(dice_per_label(labels, reference))
        yield labels
