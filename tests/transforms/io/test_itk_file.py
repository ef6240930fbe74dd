"""NRRD and MetaImage: good files as SimpleITK reads them, bad ones refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from transforms.io.geometry import LPS_TO_RAS
from transforms.io.input_error import InputError
from transforms.io.itk_file import read_itk, read_itk_geometry, voxel_file, write_itk_mask

TURN = np.deg2rad(20)
DIRECTION = np.array([[np.cos(TURN), -np.sin(TURN), 0], [np.sin(TURN), np.cos(TURN), 0], [0, 0, -1]])
SPACING, ORIGIN = (0.5, 0.75, 3.0), (-10.5, 20.25, 7.0)
SUFFIXES = [".nrrd", ".nhdr", ".mha", ".mhd"]


def _image(dtype: type = np.int16, dims: int = 3) -> sitk.Image:
    shape = (6, 5, 4)[-dims:]
    image = sitk.GetImageFromArray(np.random.default_rng(1).integers(0, 99, shape).astype(dtype))
    image.SetSpacing(SPACING[:dims])
    image.SetOrigin(ORIGIN[:dims])
    image.SetDirection(DIRECTION[:dims, :dims].ravel().tolist())
    return image


def _write(path: Path, image: sitk.Image, *, packed: bool = True) -> Path:
    sitk.WriteImage(image, str(path), packed)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_reads_what_simpleitk_reads(tmp_path: Path, suffix: str, packed: bool, dtype: type) -> None:
    path = _write(tmp_path / f"späce 肝{suffix}", _image(dtype), packed=packed)
    volume, expected = read_itk(path), sitk.ReadImage(str(path))
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(expected).T)
    assert volume.array.dtype == dtype
    np.testing.assert_allclose(volume.spacing, expected.GetSpacing(), rtol=1e-6)
    for index in ((0, 0, 0), (3, 1, 5), (0, 4, 2)):
        lps = [*expected.TransformIndexToPhysicalPoint(index), 1.0]
        np.testing.assert_allclose(volume.affine @ [*index, 1.0], LPS_TO_RAS @ lps, atol=1e-4)
    assert read_itk_geometry(path).shape == (4, 5, 6)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_2d_images(tmp_path: Path, suffix: str) -> None:
    image = _image(np.uint8, dims=2)
    volume = read_itk(_write(tmp_path / f"flat{suffix}", image))
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image).T)
    np.testing.assert_allclose(volume.spacing, SPACING[:2], rtol=1e-6)
    assert abs(np.linalg.det(volume.affine)) == pytest.approx(SPACING[0] * SPACING[1], rel=1e-5)


@pytest.mark.parametrize(("space", "signs"), [("left-posterior-superior", (-1, -1)), ("RAS", (1, 1)), ("LAS", (-1, 1))])
def test_nrrd_spaces(tmp_path: Path, space: str, signs: tuple[int, int]) -> None:
    image = _image()
    image.SetDirection(np.eye(3).ravel().tolist())
    path = _write(tmp_path / "a.nrrd", image, packed=False)
    path.write_bytes(path.read_bytes().replace(b"left-posterior-superior", space.encode()))
    affine = read_itk(path).affine
    assert (np.sign(affine[0, 0]), np.sign(affine[1, 1]), np.sign(affine[2, 2])) == (*signs, 1)
    assert affine[0, 3] == signs[0] * ORIGIN[0]


def _replace(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new, 1)

    return change


def _flip_last(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


BAD = [
    (".nrrd", True, lambda c: c[: len(c) // 2 + 100], "truncated"),
    (".nrrd", True, lambda c: c[:-1], "truncated"),
    (".nrrd", True, _flip_last, "checksum"),
    (".nrrd", False, lambda c: c[:-1], "truncated"),
    (".nrrd", False, lambda c: c + b"x", "more data"),
    (".nrrd", False, lambda c: c[:100], "within its header"),
    (".nrrd", False, lambda c: b"\x89PNG\r\n\x1a\n", "PNG"),
    (".nrrd", False, _replace(b"sizes: 4 5 6", b"sizes: 40000 50000 60000"), "voxels"),
    (".nrrd", False, _replace(b"sizes: 4 5 6", b"sizes: 4000 500 600"), "truncated"),
    (".nrrd", False, _replace(b"sizes: 4 5 6", b"sizes: 4 5 x"), "usable sizes"),
    (".nrrd", False, _replace(b"dimension: 3", b"dimension: 4"), "axes"),
    (".nrrd", False, _replace(b"encoding: raw", b"encoding: bzip2"), "bzip2"),
    (".nrrd", False, _replace(b"type: short", b"type: block"), "block"),
    (".nrrd", False, _replace(b"left-posterior-superior", b"scanner-xyz"), "no orientation"),
    (".nrrd", False, _replace(b"space origin", b"space nothing"), "space origin"),
    (".nrrd", False, _replace(b"space directions", b"space something"), "no space directions"),
    (".nrrd", False, _replace(b"(0,0,-3)", b"(0,0,0)"), "spacing"),
    (".nrrd", False, _replace(b"(0,0,-3)", b"(0,nan,3)"), "spacing|NaN"),
    (".nrrd", False, _replace(b"(0,0,-3)", b"(0,3)"), "vector of 2"),
    (".mha", True, lambda c: c[:-9], "truncated"),
    (".mha", True, _flip_last, "checksum"),
    (".mha", False, lambda c: c[:-1], "truncated"),
    (".mha", False, lambda c: c + b"x", "more data"),
    (".mha", False, lambda c: b"text", "holds text"),
    (".mha", False, lambda c: c[:60], "without end|within its header"),
    (".mha", False, _replace(b"DimSize = 4 5 6", b"DimSize = 4000 500 600"), "truncated"),
    (".mha", False, _replace(b"ElementSpacing", b"SomethingElse_"), "no ElementSpacing"),
    (".mha", False, _replace(b"TransformMatrix", b"SomethingUnsaid"), "no TransformMatrix"),
    (".mha", False, _replace(b"Offset", b"Offsat"), "no Offset"),
    (".mha", False, _replace(b"ElementSpacing = 0.5", b"ElementSpacing = 0"), "spacing"),
    (".mha", False, _replace(b"ElementSpacing = 0.5", b"ElementSpacing = nan"), "spacing"),
    (".mha", False, _replace(b"MET_SHORT", b"MET_OTHER"), "MET_OTHER"),
    (".mha", False, _replace(b"LOCAL", b"../secret.raw"), "same folder"),
    (".mha", False, _replace(b"LOCAL", b"LIST"), "same folder"),
    (".mha", False, _replace(b"LOCAL", b"absent.raw"), "does not exist"),
]


@pytest.mark.parametrize(("suffix", "packed", "damage", "reason"), BAD)
def test_bad_files_are_refused(tmp_path: Path, suffix: str, packed: bool, damage: Callable, reason: str) -> None:
    path = _write(tmp_path / f"bad{suffix}", _image(), packed=packed)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=reason) as refusal:
        read_itk(path)
    assert str(tmp_path) in refusal.value.subject


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_nan_and_colours_are_refused(tmp_path: Path, suffix: str) -> None:
    array = np.ones((3, 4, 5), np.float32)
    array[1, 1, 1] = np.nan
    path = _write(tmp_path / f"nan{suffix}", sitk.GetImageFromArray(array))
    with pytest.raises(InputError, match="NaN"):
        read_itk(path)
    colours = sitk.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True)
    with pytest.raises(InputError, match="channels|axes"):
        read_itk(_write(tmp_path / f"rgb{suffix}", colours))


def test_detached_voxels_are_found_and_verified(tmp_path: Path) -> None:
    path = _write(tmp_path / "scan.mhd", _image(), packed=False)
    raw = voxel_file(path)
    assert raw == tmp_path / "scan.raw"
    raw.write_bytes(raw.read_bytes()[:-2])
    with pytest.raises(InputError, match="truncated"):
        read_itk(path)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("dims", [2, 3])
def test_masks_return_on_the_same_grid(tmp_path: Path, suffix: str, dims: int) -> None:
    volume = read_itk(_write(tmp_path / f"scan{suffix}", _image(dims=dims)))
    mask = (volume.array > 40).astype(np.uint8)
    path = tmp_path / f"mask{suffix}"
    write_itk_mask(path, mask, volume.affine, volume.spacing)
    written = read_itk(path)
    np.testing.assert_array_equal(written.array, mask)
    np.testing.assert_allclose(written.affine, volume.affine, atol=1e-9)


def test_sheared_grids_are_not_written(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.5
    with pytest.raises(InputError, match="sheared"):
        write_itk_mask(tmp_path / "mask.mha", np.ones((3, 4, 5), np.uint8), affine, (1.0, np.hypot(1, 0.5), 1.0))
