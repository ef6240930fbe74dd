"""Files of synthetic images: axes, values, and bytes that depend on the array alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.data.phantom_files import nifti_bytes, png_bytes, write_array
from transforms.io.volume import read_volume

AFFINE = np.diag([-2.0, -3.0, 1.0, 1.0])


def test_a_label_is_kept_with_x_to_the_right(tmp_path: Path) -> None:
    label = np.arange(12, dtype=np.uint8).reshape(4, 3)
    write_array(tmp_path / "label.png", label, AFFINE)
    assert np.array_equal(read_volume(tmp_path / "label.png").array, label.T)


def test_grey_values_are_stretched(tmp_path: Path) -> None:
    write_array(tmp_path / "image.png", np.array([[-100, 0], [100, 300]], np.int16), AFFINE)
    assert read_volume(tmp_path / "image.png").array.tolist() == [[0, 128], [64, 255]]
    assert np.array_equal(png_bytes(np.full((2, 2), 7, np.int16)), png_bytes(np.zeros((2, 2), np.uint8)))


def test_colours_are_kept(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 4, 3)).astype(np.uint8)
    write_array(tmp_path / "image.png", image, AFFINE)
    assert np.array_equal(read_volume(tmp_path / "image.png").array, image.T)


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_nifti_keeps_values_and_place(tmp_path: Path, name: str) -> None:
    image = np.random.default_rng(0).integers(-500, 500, (5, 4, 3)).astype(np.int16)
    write_array(tmp_path / name, image, AFFINE)
    volume = read_volume(tmp_path / name)
    assert np.array_equal(volume.array, image)
    assert np.array_equal(volume.affine, AFFINE)
    assert volume.spacing == (2.0, 3.0, 1.0)


def test_the_same_array_gives_the_same_bytes(tmp_path: Path) -> None:
    image = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    for folder in ("one", "two"):
        write_array(tmp_path / folder / "a.nii.gz", image, AFFINE)
    assert (tmp_path / "one/a.nii.gz").read_bytes() == (tmp_path / "two/a.nii.gz").read_bytes()
    assert nifti_bytes(image, AFFINE) == nifti_bytes(image.copy(), AFFINE.copy())
