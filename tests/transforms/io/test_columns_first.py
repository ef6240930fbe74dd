"""Pictures read by our reader, brought to what MONAI's own gives, and back."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, Invertd, LoadImaged
from PIL import Image

from transforms.io.columns_first import ColumnsFirstd
from transforms.io.volume_reader import VolumeReader


def chain():
    load = LoadImaged("image", reader=VolumeReader, ensure_channel_first=True)
    return Compose([load, ColumnsFirstd("image")])


@pytest.mark.parametrize("colours", [1, 3])
def test_pictures_are_what_monai_reads(tmp_path, colours):
    shape = (5, 7, 3)[: 2 if colours == 1 else 3]
    pixels = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    ours = chain()({"image": str(path)})["image"]
    theirs = LoadImaged("image", reader="PILReader", ensure_channel_first=True)({"image": str(path)})["image"]
    assert ours.shape == (colours, 7, 5)
    torch.testing.assert_close(ours.as_tensor().float(), theirs.as_tensor().float())
    torch.testing.assert_close(ours.affine, theirs.affine)


@pytest.mark.parametrize("name", ["picture.png", "slice.nii.gz", "volume.nii.gz"])
def test_the_way_back(tmp_path, name):
    """A prediction, with channels of its own, comes back to the grid of the file; only pictures were turned."""
    path = tmp_path / name
    shape = (5, 7, 4) if name.startswith("volume") else (5, 7)
    pixels = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    if path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    else:
        nib.save(nib.Nifti1Image(pixels, np.diag([2.0, 3.0, 1.0, 1.0])), path)
    steps = chain()
    data = steps({"image": str(path)})
    assert data["image"].shape == ((1, 7, 5) if path.suffix == ".png" else (1, *shape))
    data["pred"] = torch.cat([data["image"], 2 * data["image"]])
    data = Invertd("pred", transform=steps, orig_keys="image", nearest_interp=False)(data)
    torch.testing.assert_close(data["pred"][0].float(), torch.as_tensor(pixels).float(), check_dtype=False)
    torch.testing.assert_close(data["pred"][1].float(), 2 * torch.as_tensor(pixels).float())
