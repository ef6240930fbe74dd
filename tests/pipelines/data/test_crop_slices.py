"""Slices: which ones, how they are written, and that they stack to the volume they came from."""

import json

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from pipelines.data.crop_slices import AXES, SliceSettings, chosen_slices, stack_slices, write_slices
from pipelines.data.dataset import read_dataset
from pipelines.data.integrity import check_dataset
from transforms.crop_grid import crop_around
from transforms.io.geometry import Geometry
from transforms.io.volume import read_volume

SHAPE = (6, 7, 8)


def arrays(raters=True):
    rng = np.random.default_rng(0)
    image = rng.normal(size=SHAPE).astype(np.float32)
    image[0] = image[:, 0] = image[:, :, 0] = 3.0  # outside the scan
    label = np.zeros(SHAPE, np.uint8)
    label[2:5, 2:5, 3:6] = 1
    label[4, 2, 5] = 2
    moved = [np.roll(label, 1, axis) for axis in range(3)] if raters else []
    return {"image": [image], "label": label, "raters": moved}


def test_chosen_by_hand():
    """Label in 2, 3, 4; the first rater's moved to 3, 4, 5. A slice of it has 9 voxels; slice 0 is constant."""
    given = arrays(raters=False)
    assert chosen_slices(given, 0, 1) == [2, 3, 4]
    assert chosen_slices(given, 0, 9) == [2, 3, 4]
    assert chosen_slices(given, 0, 10) == []
    assert chosen_slices(given, 0, 0) == [1, 2, 3, 4, 5]
    assert chosen_slices(given, 2, 1) == [3, 4, 5]
    # With raters, theirs count and the expert's label does not: two of them agree with it along this axis.
    rater = {**given, "raters": [arrays()["raters"][0]]}
    assert chosen_slices(rater, 0, 1) == [3, 4, 5]
    assert chosen_slices({"image": given["image"], "raters": []}, 0, 5) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_stacked_slices_are_the_volume(axis):
    volume = np.random.default_rng(0).integers(0, 4, SHAPE)
    masks = {index: np.take(volume, index, axis) for index in range(1, SHAPE[axis])}
    expected = volume.copy()
    np.moveaxis(expected, axis, 0)[0] = 0
    stacked = stack_slices(masks, SHAPE, axis)
    assert stacked.dtype == np.uint8
    np.testing.assert_array_equal(stacked, expected)
    assert not stack_slices({}, SHAPE, axis).any()


def test_stack_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="There is no slice 6; there are 6"):
        stack_slices({6: np.zeros((7, 8), int)}, SHAPE, 0)
    with pytest.raises(ValueError, match=r"Slice 1 has shape \(8, 7\), but slices have \(7, 8\)"):
        stack_slices({1: np.zeros((8, 7), int)}, SHAPE, 0)


@pytest.mark.parametrize("ending", [".nii.gz", ".png"])
@pytest.mark.parametrize("axis", AXES)
def test_written_slices_are_a_sound_data_set(tmp_path, axis, ending):
    source = Geometry((20, 20, 20), np.diag([-1.0, 1, 2, 1]), (1.0, 1.0, 2.0))
    grid = crop_around(source, (-10, 10, 20), SHAPE, (0.5, 0.6, 0.7))
    given, settings = arrays(), SliceSettings(axis, 1, ending)
    told = write_slices(given, grid, "case", "training", settings, tmp_path, {"atlas": ["x", "y", "z"], "patient": "p"})
    held = write_slices(given, grid, "held", "test", settings, tmp_path, {"patient": "q"})
    held["entries"] = held["entries"][:1]
    content = {"name": "x", "modality": {"0": "MR"}, "labels": {"0": "b", "1": "o", "2": "p"}}
    (tmp_path / "dataset.json").write_text(json.dumps(content | {"training": told["entries"], "test": []}))
    dataset = read_dataset(tmp_path)
    assert not check_dataset(dataset).faults
    assert len(held["slices"]) == SHAPE[AXES[axis]] - 1, "all but the constant slice"
    assert [case.case_id for case in dataset.training] == [f"case_s{index:03d}" for index in told["slices"]]
    assert {case.patient for case in dataset.training} == {"p"}
    case, index = dataset.training[1], told["slices"][1]
    np.testing.assert_array_equal(read_volume(case.label).array, np.take(given["label"], index, AXES[axis]))
    rater = read_volume(tmp_path / case.extras["raters"][2])
    np.testing.assert_array_equal(rater.array, np.take(given["raters"][2], index, AXES[axis]))
    image = read_volume(case.images[0])
    pixels = np.take(given["image"][0], index, AXES[axis])
    if ending == ".nii.gz":
        np.testing.assert_array_equal(image.array, pixels)
        kept = [step for number, step in enumerate((0.5, 0.6, 0.7)) if number != AXES[axis]]
        np.testing.assert_allclose(image.spacing, kept, atol=1e-6)
        # The reorientation that every training begins with leaves a slice as it is.
        turned = Orientation("RA", labels=None)(MetaTensor(image.array[None], affine=image.affine))
        torch.testing.assert_close(turned.as_tensor(), torch.as_tensor(image.array[None]))
    else:
        low, high = told["png_range"][0]
        np.testing.assert_allclose(image.array / 65535 * (high - low) + low, pixels, atol=(high - low) / 65535)


def test_no_slice(tmp_path):
    grid = crop_around(Geometry((9, 9, 9), np.eye(4), (1.0, 1.0, 1.0)), (4, 4, 4), SHAPE, (1, 1, 1))
    told = write_slices(arrays(), grid, "case", "training", SliceSettings("D", 50), tmp_path, {})
    assert told == {"left_out": "no slice has 50 foreground voxels"}
    assert not list(tmp_path.iterdir())
