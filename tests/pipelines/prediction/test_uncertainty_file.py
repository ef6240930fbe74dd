"""Maps of uncertainty as files: names, values, and the grid of the image."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from pipelines.prediction.uncertainty_file import uncertainty_file, write_uncertainty
from transforms.io.volume import read_volume

OBLIQUE = np.array([[0.0, -1.9, 0.2, 10], [1.8, 0.0, -0.4, -5], [0.3, 0.1, 2.1, 3], [0, 0, 0, 1]])
MAP = np.linspace(0, 1, 4 * 5 * 3, dtype=np.float64).reshape(4, 5, 3)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [("a/x_seg.nii.gz", "a/x_uncertainty.nii.gz"), ("x.1_seg.png", "x.1_uncertainty.png")],
)
def test_names(mask, expected):
    assert uncertainty_file(Path(mask)) == Path(expected)


def test_nifti(tmp_path):
    image, file = tmp_path / "image.nii.gz", tmp_path / "x_uncertainty.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 3), np.int16), OBLIQUE), image)
    write_uncertainty(file, MAP, image)
    written = nib.load(file)
    assert written.get_data_dtype() == np.float32
    np.testing.assert_array_equal(written.get_fdata(dtype=np.float32), MAP.astype(np.float32))
    np.testing.assert_array_equal(written.affine, nib.load(image).affine)


def test_a_grid_without_a_nifti_header(tmp_path):
    import SimpleITK as sitk  # noqa: N813

    image, file = tmp_path / "image.mha", tmp_path / "x_uncertainty.nii.gz"
    stored = sitk.GetImageFromArray(np.zeros((3, 5, 4), np.int16))
    stored.SetSpacing((0.5, 2.0, 3.0))
    sitk.WriteImage(stored, str(image))
    write_uncertainty(file, MAP, image)
    np.testing.assert_allclose(nib.load(file).affine, read_volume(image).affine)


def test_picture(tmp_path):
    image, file = tmp_path / "image.png", tmp_path / "x_uncertainty.png"
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(image)
    write_uncertainty(file, MAP[..., 0], image)
    np.testing.assert_array_equal(np.asarray(Image.open(file)), np.rint(255 * MAP[..., 0]))


@pytest.mark.parametrize("suffix", [".nii.gz", ".png"])
def test_another_shape(tmp_path, suffix):
    image = tmp_path / f"image{suffix}"
    if suffix == ".png":
        Image.fromarray(np.zeros((4, 5), np.uint8)).save(image)
    else:
        nib.save(nib.Nifti1Image(np.zeros((4, 5), np.int16), np.eye(4)), image)
    with pytest.raises(ValueError, match=r"shape \(5, 4\)"):
        write_uncertainty(tmp_path / f"x_uncertainty{suffix}", MAP[..., 0].T, image)
