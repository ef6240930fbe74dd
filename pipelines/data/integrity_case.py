"""Whether the files of one case belong together: the channels on one grid, the label on the grid of the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipelines.data.integrity_record import FileRecord
from transforms.io.input_error import InputError

ORIGIN_MM = 1e-3
SPACING_MM = 1e-3
DIRECTION = 1e-4
_SIDES = {"L": "x", "R": "x", "P": "y", "A": "y", "I": "z", "S": "z"}


def geometry_differences(other: FileRecord, image: FileRecord, name: str = "its image") -> list[str]:
    """Say in words how the grid of ``other`` differs from that of ``image``, called ``name``; an empty list when it
    does not.

    Origins may differ by 1e-3 mm, spacings by 1e-3 mm, and unit direction vectors by 1e-4.
    """
    told = []
    if other.shape != image.shape:
        told.append(f"has shape {_times(other.shape)}, but {name} has {_times(image.shape)}")
    if len(other.shape) != len(image.shape):
        return told
    dims = len(image.shape)
    theirs, ours = np.array(other.affine), np.array(image.affine)
    if other.orientation != image.orientation:
        told.append(_orientation_difference(other.orientation, image.orientation, name))
    elif np.abs(np.subtract(other.spacing, image.spacing)).max() > SPACING_MM:
        told.append(f"has spacing {_times(other.spacing)} mm, but {name} has {_times(image.spacing)} mm")
    else:
        turn = theirs[:3, :dims] / other.spacing - ours[:3, :dims] / image.spacing
        if np.abs(turn).max() > DIRECTION:
            degrees = np.degrees(np.linalg.norm(turn, axis=0).max())
            told.append(f"is oriented differently from {name}, by {degrees:.2g} degrees")
    shift = float(np.linalg.norm(theirs[:3, 3] - ours[:3, 3]))
    if other.orientation == image.orientation and np.abs(theirs[:3, 3] - ours[:3, 3]).max() > ORIGIN_MM:
        told.append(f"has its origin {shift:.4g} mm away from that of {name}")
    return told


def _orientation_difference(other: str, image: str, name: str) -> str:
    if [_SIDES[side] for side in other] != [_SIDES[side] for side in image]:
        return f"has its axes in another order than {name} ({other}, not {image})"
    flipped = [_SIDES[side] for side, wanted in zip(other, image, strict=True) if side != wanted]
    return f"is flipped in {' and '.join(flipped)} against {name} ({other}, not {image})"


def label_faults(path: Path, record: FileRecord, labels: Mapping[int, str]) -> list[InputError]:
    """Find values in a label file that no class was declared for."""
    faults = []
    if record.channels:
        faults.append(InputError(path, "is a colour picture; a label has one value per pixel"))
    if record.fraction is not None:
        faults.append(InputError(path, f"holds labels that are not whole numbers, such as {record.fraction:g}"))
    negative = [value for value in record.counts if value < 0]
    if negative:
        faults.append(InputError(path, f"holds negative labels: {_listed(negative)}"))
    undeclared = [value for value in record.counts if value >= 0 and value not in labels]
    if undeclared:
        more = record.distinct - len(record.counts)
        values = _listed(undeclared) + (f" and {more} more values" if more > 0 else "")
        hint = "; should 255 be 1?" if set(record.counts) <= {0, 255} else ""
        reason = f"holds labels that the data set does not declare: {values} (declared: 0 to {max(labels)}){hint}"
        faults.append(InputError(path, reason))
    return faults


def fov_faults(path: Path, record: FileRecord) -> list[InputError]:
    """Find what keeps a file from being the mask of a field of view: 0 outside, one other whole number inside."""
    if record.channels:
        return [InputError(path, "is a colour picture; a field of view has one value per pixel")]
    if record.fraction is not None or len(record.counts) > 2 or not set(record.counts) <= {0, 1, 255}:
        found = [f"{record.fraction:g}"] if record.fraction is not None else []
        told = ", ".join(found + [str(value) for value in list(record.counts)[:5]])
        return [InputError(path, f"is no field of view: it holds {told}; 0 is outside, 1 (or 255) inside")]
    if set(record.counts) == {0}:
        return [InputError(path, "is an empty field of view: nothing of the image would count")]
    return []


def pair_faults(images: Sequence[tuple[Path, FileRecord]], label: tuple[Path, FileRecord] | None) -> list[InputError]:
    """Find differences of grid between the channels of a case, and between its label and its image.

    Args:
        images: the channels that could be read.
        label: the label, when it could be read.
    """
    faults = []
    for path, record in images[1:]:
        faults += [InputError(path, told) for told in geometry_differences(record, images[0][1], "its first channel")]
    if label is not None and images:
        path, record = label
        faults += [InputError(path, told) for told in geometry_differences(record, images[0][1])]
    return faults


def case_warnings(images: Sequence[tuple[Path, FileRecord]], label: tuple[Path, FileRecord] | None) -> list[str]:
    """Find what is allowed but rarely meant: constant images, labels without foreground or without background."""
    told = [
        f"{path}: every voxel has the value {record.intensity['min']:g}"
        for path, record in images
        if record.intensity["min"] == record.intensity["max"]
    ]
    if label is not None and label[1].fraction is None:
        path, record = label
        if set(record.counts) == {0}:
            told.append(f"{path}: the label is empty (background only)")
        elif 0 not in record.counts:
            told.append(f"{path}: the label is full (no background)")
    return told


def _times(values: Sequence[float]) -> str:
    return "x".join(f"{value:g}" for value in values)


def _listed(values: Sequence[int]) -> str:
    return ", ".join(str(value) for value in values[:5]) + (", ..." if len(values) > 5 else "")
