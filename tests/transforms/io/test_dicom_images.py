"""What is written as a series is read back as it was, wherever it lies."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from transforms.io.dicom_images import write_dicom_series
from transforms.io.dicom_series import read_dicom_series

RANDOM = np.random.default_rng(1)
ARRAY = RANDOM.integers(-1000, 3000, (7, 6, 5))


def oblique(*spacing: float) -> np.ndarray:
    turn = np.deg2rad(20)
    axes = np.array([[-np.cos(turn), np.sin(turn), 0], [-np.sin(turn), -np.cos(turn), 0], [0, 0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = (12.5, -31.25, 40.0)
    return affine


@pytest.mark.parametrize("modality", ["MR", "CT", "OPT"])
def test_it_comes_back_with_its_place(tmp_path, modality):
    affine = oblique(0.7, 0.9, 2.5)
    files = write_dicom_series(tmp_path, ARRAY, affine, name="phantom", modality=modality)
    volume = read_dicom_series(tmp_path)
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-6)
    assert [file.name for file in files] == [f"000{number}.dcm" for number in range(1, 6)]


def test_a_third_axis_against_the_normal_keeps_every_voxel_in_its_place(tmp_path):
    affine = oblique(0.7, 0.9, -2.5)
    write_dicom_series(tmp_path, ARRAY, affine, name="phantom")
    volume = read_dicom_series(tmp_path)
    np.testing.assert_array_equal(volume.array, ARRAY[..., ::-1])
    np.testing.assert_allclose(volume.affine @ [1, 2, 0, 1], affine @ [1, 2, 4, 1], atol=1e-6)


def test_the_same_call_writes_the_same_bytes(tmp_path):
    first, second = (write_dicom_series(tmp_path / place, ARRAY, np.eye(4), name="x") for place in ("a", "b"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


@pytest.mark.parametrize(
    ("array", "modality"), [(ARRAY, "US"), (ARRAY[0], "MR"), (ARRAY * 100, "MR"), (ARRAY + 0.5, "CT")]
)
def test_what_a_series_cannot_hold_is_refused(tmp_path, array, modality):
    with pytest.raises(ValueError, match="a series"):
        write_dicom_series(tmp_path, array, np.eye(4), name="x", modality=modality)


@pytest.mark.pacs
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools are not installed")
@pytest.mark.parametrize("modality", ["MR", "CT", "OPT"])
def test_an_independent_checker_finds_no_error(tmp_path, modality):
    file = write_dicom_series(tmp_path, ARRAY, oblique(0.7, 0.9, 2.5), name="phantom", modality=modality)[0]
    said = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False).stderr
    assert not [line for line in said.splitlines() if line.startswith("Error")], said
