"""The readers behind MONAI's loading transforms."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import NibabelReader
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Spacingd
from PIL import Image

from transforms.io.input_error import InputError
from transforms.io.volume_reader import VolumeReader

AFFINE = np.array([[-0.7, 0.02, 0, 12.5], [0.02, 0.7, 0, -30.25], [0, 0, 2.5, 4], [0, 0, 0, 1]])


def _nifti(path: Path, *, seed: int = 0, affine: np.ndarray = AFFINE) -> Path:
    array = np.random.default_rng(seed).normal(size=(9, 8, 7)).astype(np.float32)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


def test_gives_what_monai_gives_for_a_good_nifti(tmp_path: Path) -> None:
    path = str(_nifti(tmp_path / "scan.nii.gz"))
    ours = LoadImaged("image", reader=VolumeReader, ensure_channel_first=True)({"image": path})["image"]
    theirs = LoadImaged("image", reader=NibabelReader, ensure_channel_first=True)({"image": path})["image"]
    assert torch.equal(ours.as_tensor(), theirs.as_tensor())
    assert ours.dtype == theirs.dtype
    for name in ("affine", "original_affine", "spatial_shape"):
        np.testing.assert_array_equal(ours.meta[name], theirs.meta[name])
    for name in ("space", "filename_or_obj"):
        assert ours.meta[name] == theirs.meta[name]
    resampled = [Spacingd("image", (1, 1, 1))({"image": image})["image"] for image in (ours, theirs)]
    torch.testing.assert_close(resampled[0].as_tensor(), resampled[1].as_tensor(), rtol=0, atol=0)


def test_several_files_become_channels(tmp_path: Path) -> None:
    paths = [str(_nifti(tmp_path / f"{seed}.nii.gz", seed=seed)) for seed in (1, 2)]
    load = Compose([LoadImaged("image", reader=VolumeReader), EnsureChannelFirstd("image")])
    image = load({"image": paths})["image"]
    assert image.shape == (2, 9, 8, 7)
    np.testing.assert_array_equal(image[1].numpy(), nib.load(paths[1]).get_fdata(dtype=np.float32))


@pytest.mark.parametrize("colour", [False, True])
def test_pictures(tmp_path: Path, colour: bool) -> None:
    array = np.arange(36 if colour else 12, dtype=np.uint8).reshape((3, 4, 3) if colour else (3, 4))
    Image.fromarray(array).save(tmp_path / "p.png")
    image = LoadImaged("image", reader=VolumeReader, ensure_channel_first=True)({"image": str(tmp_path / "p.png")})[
        "image"
    ]
    assert image.shape == ((3, 3, 4) if colour else (1, 3, 4))
    np.testing.assert_array_equal(image[0].numpy(), array[..., 0] if colour else array)


def test_channels_on_different_grids_are_refused(tmp_path: Path) -> None:
    paths = [_nifti(tmp_path / "a.nii.gz"), _nifti(tmp_path / "b.nii.gz", affine=np.diag([1.0, 1.0, 1.0, 1.0]))]
    reader = VolumeReader()
    with pytest.raises(InputError, match="another grid than a.nii.gz"):
        reader.get_data(reader.read(paths))


def test_refusals_reach_the_caller(tmp_path: Path) -> None:
    path = _nifti(tmp_path / "scan.nii.gz")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match="truncated") as refusal:
        LoadImaged("image", reader=VolumeReader)({"image": str(path)})
    assert refusal.value.subject == str(path)


def test_suffixes(tmp_path: Path) -> None:
    reader = VolumeReader()
    assert reader.verify_suffix(["a.nii.gz", "b.mha"]) and reader.verify_suffix(str(tmp_path))
    assert not reader.verify_suffix("a.txt")
