"""Which preprocessing leaves slices alone, and which postprocessing decides voxel by voxel."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import (
    AsDiscreted,
    Compose,
    DeleteItemsd,
    DivisiblePadd,
    EnsureChannelFirstd,
    EnsureTyped,
    Flipd,
    Lambdad,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    Resized,
    ScaleIntensityRanged,
    Spacingd,
)

from pipelines.prediction.slice_steps import is_argmax, slab_ranges, split_steps
from transforms.io.columns_first import ColumnsFirstd

LOAD = LoadImaged("image")
KEPT = {
    "typed": EnsureTyped("image"),
    "fixed normalisation": NormalizeIntensityd("image", subtrahend=1.0, divisor=2.0),
    "fixed range": ScaleIntensityRanged("image", 0, 255, 0, 1),
    "resized within": Resized("image", (8, 9, -1)),
    "padded within": DivisiblePadd("image", (4, 4, 1)),
}
MIXED = {
    "normalised by the volume": NormalizeIntensityd("image", channel_wise=True),
    "resized along": Resized("image", (-1, 9, 4)),
    "resized by the longest side": Resized("image", 9, size_mode="longest"),
    "padded along": DivisiblePadd("image", 4),
    "resampled": Spacingd("image", (1, 1, 1)),
    "turned": Flipd("image", 2),
    "unknown": Lambdad("image", lambda image: image),
}


@pytest.mark.parametrize("step", KEPT.values(), ids=KEPT.keys())
def test_steps_that_leave_slices_alone(step):
    parts = split_steps(Compose([LOAD, EnsureChannelFirstd("image"), step]), 2)
    assert parts is not None
    assert [type(part) for part in parts.reading.transforms] == [LoadImaged, EnsureChannelFirstd]
    assert list(parts.rest.transforms) == [step]


@pytest.mark.parametrize("step", MIXED.values(), ids=MIXED.keys())
def test_steps_that_do_not(step):
    assert split_steps(Compose([LOAD, EnsureTyped("image"), step]), 2) is None


def test_axes_are_turned_as_soon_as_a_file_is_read():
    turning = Orientationd("image", axcodes="PLS", labels=None)
    before = [LOAD, ColumnsFirstd("image"), DeleteItemsd("path"), turning]
    parts = split_steps(Compose([*before, KEPT["typed"]]), 2)
    assert parts is not None
    assert list(parts.reading.transforms)[1:] == before[1:]
    assert list(parts.rest.transforms) == [KEPT["typed"]]
    assert split_steps(Compose([LOAD, KEPT["typed"], turning]), 2) is None


def test_the_axis_matters():
    assert split_steps(Compose([LOAD, KEPT["resized within"]]), 0) is None
    assert split_steps(Compose([LOAD, MIXED["resized along"]]), 0) is not None


@pytest.mark.parametrize("steps", [[KEPT["typed"]], [EnsureChannelFirstd("image"), LOAD, KEPT["typed"]]])
def test_nothing_to_read_with(steps):
    assert split_steps(Compose(steps), 2) is None


@pytest.mark.parametrize(
    ("stored", "kept"),
    [(np.uint8, torch.uint8), (np.int16, torch.int16), (np.float32, torch.float32), (np.float64, torch.float32)],
)
def test_a_volume_is_kept_in_the_smaller_type(tmp_path, stored, kept):
    """And read to the same values as by the whole preprocessing."""
    values = np.random.default_rng(0).integers(0, 255, (4, 5, 6)).astype(stored)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    load = LoadImaged("image", ensure_channel_first=True)
    parts = split_steps(Compose([load, KEPT["fixed normalisation"]]), 2)
    assert parts is not None
    whole = load({"image": tmp_path / "a.nii"})["image"]
    found = parts.kept(parts.reading({"image": tmp_path / "a.nii"})["image"].as_tensor())
    assert found.dtype == kept
    assert parts.dtype == whole.dtype == torch.float32  # the step that was given is left as it was
    assert torch.equal(found.to(parts.dtype), whole.as_tensor())


def test_the_most_probable_class():
    assert is_argmax(AsDiscreted("pred", argmax=True))
    for options in (
        {"argmax": False},
        {"argmax": True, "to_onehot": 3},
        {"argmax": True, "dim": 1},
        {"threshold": 0.5},
    ):
        assert not is_argmax(AsDiscreted("pred", **options))
    assert not is_argmax(EnsureTyped("pred"))


def test_ranges():
    assert list(slab_ranges(7, 3)) == [(0, 3), (3, 6), (6, 7)]
    assert list(slab_ranges(2, 16)) == [(0, 2)]
