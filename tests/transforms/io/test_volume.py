"""Every format through one door, and masks back through it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from PIL import Image

from transforms.io.input_error import InputError
from transforms.io.volume import format_of, read_geometry, read_volume, stem_of, write_mask

AFFINE = np.array([[-0.7, 0.02, 0, 12.5], [0.02, 0.7, 0, -30.25], [0, 0, 2.5, 4], [0, 0, 0, 1]])


def _sample(folder: Path, suffix: str) -> Path:
    path = folder / f"scan{suffix}"
    if format_of(path) == "raster":
        Image.fromarray(np.arange(42, dtype=np.uint8).reshape(7, 6)).save(path)
    elif format_of(path) == "itk":
        image = sitk.GetImageFromArray(np.arange(210, dtype=np.int16).reshape(5, 6, 7))
        image.SetSpacing((0.5, 0.6, 2.0))
        sitk.WriteImage(image, str(path))
    else:
        nib.save(nib.Nifti1Image(np.arange(210, dtype=np.int16).reshape(7, 6, 5), AFFINE), path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".png", ".tif", ".jpg", ".NII.GZ"])
def test_geometry_and_volume_agree(tmp_path: Path, suffix: str) -> None:
    path = _sample(tmp_path, suffix)
    geometry, volume = read_geometry(path), read_volume(str(path))
    assert geometry.shape == volume.geometry.shape == ((7, 6) if format_of(path) == "raster" else (7, 6, 5))
    np.testing.assert_array_equal(geometry.affine, volume.affine)
    assert geometry.spacing == volume.spacing


@pytest.mark.parametrize(
    ("name", "kind", "stem"),
    [
        ("a/b.c.nii.gz", "nifti", "b.c"),
        ("B.NII", "nifti", "B"),
        ("x.mhd", "itk", "x"),
        ("x.jpeg", "raster", "x"),
        ("1.2.840.10008", "", "1.2.840.10008"),
        ("notes.txt", "", "notes.txt"),
    ],
)
def test_names(name: str, kind: str, stem: str) -> None:
    assert (format_of(name), stem_of(name)) == (kind, stem)


def test_other_things_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "slice.dcm").write_bytes(b"x")
    (tmp_path / "loop.nii.gz").symlink_to(tmp_path / "loop.nii.gz")
    (tmp_path / "folder").mkdir()
    table = {
        "notes.txt": "no known image suffix",
        "slice.dcm": "folder that holds its series",
        "loop.nii.gz": "back to itself",
        "absent.nii.gz": "does not exist",
        "folder": "no DICOM images",
    }
    for name, reason in table.items():
        for read in (read_volume, read_geometry):
            with pytest.raises(InputError, match=reason) as refusal:
                read(tmp_path / name)
            assert str(refusal.value) == f"{tmp_path / name}: {refusal.value.reason}"


@pytest.mark.parametrize("source", [".nii.gz", ".mha", ".nrrd"])
@pytest.mark.parametrize("target", [".nii.gz", ".nii", ".mha", ".nrrd"])
@pytest.mark.parametrize(("high", "dtype"), [(2, np.uint8), (300, np.uint16), (70_000, np.int32)])
def test_masks_keep_the_grid_of_any_format(tmp_path: Path, source: str, target: str, high: int, dtype: type) -> None:
    like = _sample(tmp_path, source)
    mask = np.random.default_rng(0).integers(0, high, (7, 6, 5)).astype(np.float32)
    mask[0, 0, 0] = high
    path = tmp_path / "out" / f"mask{target}"
    write_mask(path, mask, like)
    written = read_volume(path)
    np.testing.assert_array_equal(written.array, mask)
    np.testing.assert_allclose(written.affine, read_geometry(like).affine, atol=2e-6)
    assert written.array.dtype == dtype
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("target", [".png", ".tif", ".nii.gz", ".nrrd"])
def test_masks_of_pictures(tmp_path: Path, target: str) -> None:
    like, mask = _sample(tmp_path, ".png"), np.tri(7, 6, dtype=bool)
    write_mask(tmp_path / f"mask{target}", mask, like)
    written = read_volume(tmp_path / f"mask{target}")
    np.testing.assert_array_equal(written.array, mask)
    np.testing.assert_array_equal(written.affine, np.eye(4))


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.zeros((7, 6, 4)), "shape"),
        (np.full((7, 6, 5), 0.5), "whole numbers"),
        (np.full((7, 6, 5), np.nan), "whole numbers"),
        (np.full((7, 6, 5), -1), "from -1"),
        (np.zeros((7, 6, 5), complex), "complex"),
    ],
)
def test_what_is_no_label_map_is_not_written(tmp_path: Path, mask: np.ndarray, reason: str) -> None:
    like = _sample(tmp_path, ".nii.gz")
    with pytest.raises(ValueError, match=reason):
        write_mask(tmp_path / "mask.nii.gz", mask, like)
    assert not (tmp_path / "mask.nii.gz").exists()


@pytest.mark.parametrize("name", ["mask.jpg", "mask.mhd", "mask.npy", "mask.png"])
def test_formats_that_cannot_hold_it_are_refused_and_leave_nothing(tmp_path: Path, name: str) -> None:
    like = _sample(tmp_path, ".nii.gz")
    with pytest.raises(InputError, match="cannot"):
        write_mask(tmp_path / name, np.zeros((7, 6, 5), np.uint8), like)
    assert [entry.name for entry in tmp_path.iterdir()] == ["scan.nii.gz"]
