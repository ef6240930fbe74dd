"""Whether the files of one case belong together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.data.integrity_case import (
    case_warnings,
    fov_faults,
    geometry_differences,
    label_faults,
    pair_faults,
)
from pipelines.data.integrity_record import FileRecord
from transforms.io.geometry import orientation_of, spacing_of

PATH = Path("/data/label.nii.gz")
AFFINE = np.array([[-0.7, 0.0, 0, 12.5], [0.0, 0.7, 0, -30.25], [0, 0, 2.5, 4], [0, 0, 0, 1]])


def _record(affine: np.ndarray = AFFINE, shape: tuple[int, ...] = (8, 9, 7), **more: Any) -> FileRecord:
    rows = tuple(tuple(float(value) for value in row) for row in affine)
    dims = len(shape)
    return FileRecord(
        shape=shape, affine=rows, spacing=spacing_of(affine, dims), orientation=orientation_of(affine, dims), **more
    )


def _moved(x: float) -> np.ndarray:
    return AFFINE + np.array([[0, 0, 0, x], [0] * 4, [0] * 4, [0] * 4])


def _turned(degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ AFFINE


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (_record(), []),
        (_record(_moved(5e-4)), []),
        (_record(_moved(5e-3)), ["origin 0.005 mm away"]),
        (_record(shape=(8, 9, 6)), ["has shape 8x9x6, but its image has 8x9x7"]),
        (_record(shape=(8, 9)), ["has shape 8x9, but its image has 8x9x7"]),
        (_record(AFFINE * [-1, 1, 1, 1]), ["flipped in x against its image (RAS, not LAS)"]),
        (_record(AFFINE * [-1, 1, -1, 1]), ["flipped in x and z"]),
        (_record(AFFINE[:, [1, 0, 2, 3]]), ["axes in another order"]),
        (_record(AFFINE * [2, 1, 1, 1]), ["spacing 1.4x0.7x2.5 mm, but its image has 0.7x0.7x2.5"]),
        (_record(AFFINE * [2, 1, 1, 1] + np.eye(4)[:, [1, 2, 3, 0]] * 0, (4, 9, 7)), ["shape", "spacing"]),
        (_record(_turned(0.003)), ["origin"]),
        (_record(_turned(3)), ["oriented differently from its image, by 3 degrees", "origin"]),
    ],
)
def test_differences_are_told_in_words(other: FileRecord, expected: list[str]) -> None:
    told = geometry_differences(other, _record())
    assert len(told) == len(expected)
    for line, part in zip(told, expected, strict=True):
        assert part in line


@pytest.mark.parametrize(
    ("facts", "reasons"),
    [
        ({"counts": {0: 5, 1: 5, 2: 1}, "distinct": 3}, []),
        ({"counts": {0: 5, 5: 1}, "distinct": 2}, ["does not declare: 5 (declared: 0 to 2)"]),
        ({"counts": {-1: 5, 0: 1}, "distinct": 2}, ["negative labels: -1"]),
        ({"counts": {0: 5, 255: 1}, "distinct": 2}, ["should 255 be 1?"]),
        ({"counts": {0: 5}, "distinct": 1, "fraction": 0.5}, ["not whole numbers, such as 0.5"]),
        ({"counts": {-3: 1, 7: 1}, "distinct": 2, "fraction": 0.5}, ["not whole", "negative", "declare"]),
        ({"counts": dict.fromkeys(range(64), 1), "distinct": 900}, ["3, 4, 5, 6, 7, ... and 836 more values"]),
        ({"counts": {0: 5}, "distinct": 1, "channels": 3}, ["colour picture"]),
    ],
)
def test_values_of_labels(facts: dict[str, Any], reasons: list[str]) -> None:
    faults = label_faults(PATH, _record(**facts), {0: "background", 1: "a", 2: "b"})
    assert len(faults) == len(reasons)
    for fault, reason in zip(faults, reasons, strict=True):
        assert fault.subject == str(PATH)
        assert reason in fault.reason


def test_channels_and_label_are_held_against_the_first_channel() -> None:
    images = [(Path("c0"), _record()), (Path("c1"), _record(shape=(8, 9, 6)))]
    faults = pair_faults(images, (PATH, _record(_moved(3))))
    assert [fault.subject for fault in faults] == ["c1", str(PATH)]
    assert "its first channel has 8x9x7" in faults[0].reason
    assert pair_faults(images[:1], None) == []
    assert pair_faults([], (PATH, _record())) == []


@pytest.mark.parametrize(
    ("counts", "low", "expected"),
    [
        ({0: 4, 1: 4}, 0.0, []),
        ({0: 8}, 0.0, ["empty"]),
        ({1: 4, 2: 4}, 0.0, ["full"]),
        ({0: 4, 1: 4}, 9.0, ["every voxel has the value 9"]),
    ],
)
def test_warnings(counts: dict[int, int], low: float, expected: list[str]) -> None:
    image = _record(intensity={"min": low, "max": 9.0})
    told = case_warnings([(Path("image"), image)], (PATH, _record(counts=counts)))
    assert [part in line for line, part in zip(told, expected, strict=True)] == [True] * len(expected)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"counts": {0: 4, 1: 500}}, []),
        ({"counts": {0: 4, 255: 500}}, []),
        ({"counts": {1: 504}}, []),
        ({"counts": {0: 504}}, ["empty field of view"]),
        ({"counts": {0: 4, 1: 5, 255: 495}}, ["holds 0, 1, 255"]),
        ({"counts": {0: 4, 7: 500}}, ["holds 0, 7"]),
        ({"counts": {-1: 4, 1: 500}}, ["holds -1, 1"]),
        ({"counts": {0: 4, 1: 499}, "fraction": 0.5}, ["holds 0.5, 0, 1"]),
        ({"channels": 3}, ["colour picture"]),
    ],
)
def test_a_field_of_view_is_a_mask(facts: dict[str, Any], told: list[str]) -> None:
    faults = fov_faults(PATH, _record(**facts))
    assert len(faults) == len(told)
    for fault, part in zip(faults, told, strict=True):
        assert part in fault.reason
        assert fault.subject == str(PATH)
