"""Masks of crops back on the raw volumes: exact, unmirrored, stacked, and only where they belong."""

import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from pipelines.data.crop_case import CropSettings
from pipelines.data.crop_plan import Centre, plan_samples
from pipelines.data.crop_records import cut_all
from pipelines.data.crop_restoring import cases_with_masks, restore_case, write_restored
from pipelines.data.crop_slices import SliceSettings
from pipelines.data.dataset import read_dataset
from tests.pipelines.data.crop_phantom import CASES, write, write_data_set
from transforms.io.input_error import InputError

SETTINGS = CropSettings((24, 24, 24), (0.5, 0.5, 0.5), flip_to="left")


@pytest.fixture
def raw(tmp_path):
    return write_data_set(tmp_path / "raw")


def cut(raw, output, settings):
    return list(cut_all(plan_samples(read_dataset(raw), None), settings, output, 1))


@pytest.mark.parametrize("slices", [None, *(SliceSettings(axis, 1) for axis in "HWD"), SliceSettings("W", 1, ".png")])
def test_labels_come_back_as_they_were(raw, tmp_path, slices):
    """The labels of the crops, taken for masks, are the labels of the raw files, bit for bit, on the same header.
    For slices those are shown that the raters mark, so the label comes back on these."""
    records = cut(raw, tmp_path / "out", replace(SETTINGS, slices=slices))
    assert [record["grid"]["flipped"] for record in records] == [False, True, True]
    folder = "labels" if slices is None else "raters"
    masks = tmp_path / "masks"
    masks.mkdir()
    for path in (tmp_path / "out" / folder).iterdir():
        if slices is None or "_r000" in path.name:
            shutil.copy(path, masks / path.name.replace("_r000", "").replace(".nii", "_seg.nii"))
    cases = cases_with_masks(records, masks)
    assert list(cases) == [case[0] for case in CASES][: 3 if slices is None else 2]
    for name, samples in cases.items():
        labels, grid = restore_case(samples, masks)
        truth = nib.load(raw / ("label" if slices is None else "rater0") / f"{name}.nii.gz")
        np.testing.assert_array_equal(labels, truth.get_fdata())
        for original in (raw / "image" / f"{name}.nii.gz", tmp_path / "gone.nii.gz"):
            write_restored(tmp_path / "back.nii.gz", labels, grid, original)
            back = nib.load(tmp_path / "back.nii.gz")
            np.testing.assert_allclose(back.affine, truth.affine, atol=1e-5)
            np.testing.assert_array_equal(back.get_fdata(), truth.get_fdata())


def test_several_crops_of_one_case_become_one_mask(raw, tmp_path):
    dataset = read_dataset(raw)
    (_, sample, _) = plan_samples(dataset, None)
    samples = [
        replace(sample, sample_id=f"right_b_c{number}", centre=Centre(place, "file"))
        for number, place in enumerate([(8.0, 4.0, 14.0), (8.0, 4.0, 21.0)], start=1)
    ]
    settings = replace(SETTINGS, size=(30, 40, 10))
    records = list(cut_all(samples, settings, tmp_path, 1))
    labels, _ = restore_case(records, tmp_path / "labels")
    truth = nib.load(raw / "label" / "right_b.nii.gz").get_fdata()
    parts = [restore_case([record], tmp_path / "labels")[0] for record in records]
    assert all(0 < np.count_nonzero(part) < np.count_nonzero(truth) for part in parts)
    np.testing.assert_array_equal(labels, np.maximum(*parts))


def test_refusals(raw, tmp_path):
    record = cut(raw, tmp_path / "out", SETTINGS)[0]
    masks = tmp_path / "masks"
    masks.mkdir()
    assert cases_with_masks([record], masks) == {}
    write(masks / "left_a.nii.gz", np.zeros((24, 24, 24), np.uint8))
    with pytest.raises(InputError, match=r"left_a\.nii\.gz: does not lie on the grid of the crop left_a"):
        restore_case([record], masks)
    image = nib.load(tmp_path / "out" / "images" / "left_a.nii.gz")
    nib.save(nib.Nifti1Image(image.get_fdata() + 0.5, image.affine), masks / "left_a.nii.gz")
    with pytest.raises(InputError, match="is no label map"):
        restore_case([record], masks)
    shutil.copy(masks / "left_a.nii.gz", masks / "left_a_seg.nii.gz")
    with pytest.raises(InputError, match="holds several masks for left_a"):
        cases_with_masks([record], masks)
    with pytest.raises(InputError, match=r"crops\.json: its sample left_a is damaged"):
        restore_case([record | {"grid": {}}], masks)
    sliced = cut(raw, tmp_path / "sliced", replace(SETTINGS, slices=SliceSettings("D")))[0]
    write(masks / f"left_a_s{sliced['slices'][0]:03d}.nii.gz", np.zeros((24, 23, 1), np.uint8))
    with pytest.raises(InputError, match="has shape 24x23x1, but its slice has 24x24"):
        restore_case([sliced], masks)
