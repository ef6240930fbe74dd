"""Grids: orientation names, and what no image may claim."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from transforms.io.geometry import (
    Volume,
    check_affine,
    check_finite,
    check_shape,
    check_spacing,
    complete_plane,
    orientation_of,
    spacing_of,
)
from transforms.io.input_error import InputError

PATH = Path("scan.nii.gz")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (np.eye(3), "RAS"),
        (np.diag([-1.0, -1.0, 1.0]), "LPS"),
        ([[0, 0, 1], [1, 0, 0], [0, -1, 0]], "AIR"),
        ([[0.9, 0.3, 0], [-0.3, 0.9, 0], [0, 0, -2]], "RAI"),
    ],
)
def test_orientation_agrees_with_nibabel(columns: object, expected: str) -> None:
    affine = np.eye(4)
    affine[:3, :3] = columns
    assert orientation_of(affine, 3) == expected
    assert "".join(nib.aff2axcodes(affine)) == expected


def test_spacing_is_the_length_of_the_columns() -> None:
    affine = np.diag([-0.5, 3.0, 4.0, 1.0])
    assert spacing_of(affine, 2) == (0.5, 3.0)


def test_the_plane_of_a_2d_image_gets_its_normal() -> None:
    affine = np.diag([-2.0, 2.0, 0.0, 1.0])
    np.testing.assert_array_equal(complete_plane(affine)[:3, 2], [0, 0, -1])


@pytest.mark.parametrize(
    ("array", "spacing", "shape", "channels"),
    [
        (np.zeros((3, 4)), (1.0, 1.0), (3, 4), 0),
        (np.zeros((3, 4, 5)), (1.0, 1.0, 1.0), (3, 4, 5), 0),
        (np.zeros((3, 4, 5)), (1.0, 1.0), (4, 5), 3),
    ],
)
def test_volume_knows_its_grid(array: np.ndarray, spacing: tuple, shape: tuple, channels: int) -> None:
    geometry = Volume(array, np.eye(4), spacing).geometry
    assert (geometry.shape, geometry.channels, geometry.orientation) == (shape, channels, "RAS"[: len(shape)])


@pytest.mark.parametrize(
    ("check", "value", "reason"),
    [
        (check_shape, (10, 0, 3), "impossible shape 10x0x3"),
        (check_shape, (30000, 30000, 300), "more than"),
        (check_spacing, (1.0, 0.0), "positive"),
        (check_spacing, (1.0, -1.0), "positive"),
        (check_spacing, (1.0, float("nan")), "positive"),
        (check_spacing, (1.0, 1000.0), "beyond 100 mm"),
        (check_affine, np.diag([1.0, 1.0, 0.0, 1.0]), "singular"),
        (check_affine, np.full((4, 4), np.nan), "NaN"),
        (check_finite, np.array([1.0, np.inf, np.nan]), "2 of 3 voxels"),
    ],
)
def test_refusals_name_the_file(check: object, value: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as refusal:
        check(PATH, value)  # type: ignore[operator]
    assert refusal.value.subject == str(PATH)


def test_good_values_pass() -> None:
    check_shape(PATH, (512, 512, 300))
    check_spacing(PATH, (0.3, 0.3, 5.0))
    check_affine(PATH, np.diag([-0.3, 0.3, 5.0, 1.0]))
    check_finite(PATH, np.arange(3))
    assert orientation_of(np.diag([-0.3, 0.3, 5.0, 1.0]), 3) == "LAS"
