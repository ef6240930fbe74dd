"""Masks are found by the names of their cases, and lie on the grids of their images."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from pipelines.prediction.stored_masks import StoredMasks
from transforms.io.input_error import InputError, InputErrors

SHAPE, AFFINE = (6, 5, 4), np.diag([-1.0, -2.0, 3.0, 1.0])
CLASSES = {1: "one", 2: "two"}


@pytest.fixture
def entries(tmp_path):
    (tmp_path / "images").mkdir()
    found = []
    for case_id, name in (("a", "a_0000.nii.gz"), ("b", "scan.b.nii")):
        save(tmp_path / "images" / name, np.zeros(SHAPE, np.float32))
        found.append({"image": str(tmp_path / "images" / name), "case_id": case_id})
    return found


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "masks").mkdir()
    return tmp_path / "masks"


def save(path, array, affine=AFFINE):
    nib.save(nib.Nifti1Image(array, affine), path)


def labels(value=2):
    array = np.zeros(SHAPE, np.uint8)
    array[1:3, 2:4, 1:2] = value
    return array


@pytest.mark.parametrize("a", ["a.nii.gz", "a_seg.nii.gz", "a_pred.nii", "a_0000.nii.gz", "a_0000_seg.nii.gz"])
@pytest.mark.parametrize("b", ["b.nii", "scan.b_seg.nii.gz"])
def test_names_that_are_found(entries, folder, a, b):
    save(folder / a, labels(1))
    save(folder / b, labels(2).astype(np.float32))
    masks = StoredMasks(folder, entries, CLASSES)
    for entry, expected in zip(entries, (labels(1), labels(2)), strict=True):
        found = masks.predict(entry)
        np.testing.assert_array_equal(found.labels, expected)
        assert found.labels.dtype == np.uint8
        assert found.seconds == 0
        assert masks.predict_level_set(entry) is None


def test_other_formats(entries, folder):
    image = sitk.GetImageFromArray(labels().transpose(2, 1, 0))
    image.SetSpacing((1.0, 2.0, 3.0))
    sitk.WriteImage(image, folder / "a.mha")
    found = StoredMasks(folder, entries[:1], CLASSES).predict(entries[0])
    np.testing.assert_array_equal(found.labels, labels())


def test_every_case_without_a_mask_is_named(entries, folder):
    save(folder / "c.nii.gz", labels())
    with pytest.raises(InputErrors) as refusal:
        StoredMasks(folder, entries, CLASSES)
    told = [fault.reason for fault in refusal.value.faults]
    assert [reason.split(" (")[0] for reason in told] == ["holds no mask for case a", "holds no mask for case b"]


def spoil_twice(folder):
    save(folder / "a.nii.gz", labels())
    save(folder / "a_seg.nii.gz", labels())


def spoil_shape(folder):
    save(folder / "a.nii.gz", labels()[:-1])


def spoil_place(folder):
    save(folder / "a.nii.gz", labels(), np.diag([1.0, 2.0, 3.0, 1.0]))


SPOILED = {
    spoil_twice: r"holds several masks for case a \(a.nii.gz, a_seg.nii.gz\)",
    spoil_shape: r"a.nii.gz: has shape \(5, 5, 4\), but the image a_0000.nii.gz has \(6, 5, 4\)",
    spoil_place: "a.nii.gz: does not lie on the grid of the image a_0000.nii.gz",
}


@pytest.mark.parametrize(("spoil", "message"), SPOILED.items(), ids=[spoil.__name__ for spoil in SPOILED])
def test_masks_that_do_not_fit(entries, folder, spoil, message):
    spoil(folder)
    with pytest.raises(InputError, match=message):
        StoredMasks(folder, entries[:1], CLASSES)


@pytest.mark.parametrize("value", [3, 0.5, -1])
def test_values_that_are_no_labels(entries, folder, value):
    save(folder / "a.nii.gz", labels().astype(np.float32) * value / 2)
    masks = StoredMasks(folder, entries[:1], CLASSES)
    with pytest.raises(InputError, match=f"a.nii.gz: holds the values {value}; its labels are 0 to 2"):
        masks.predict(entries[0])


def test_no_folder(entries, tmp_path):
    with pytest.raises(InputError, match="nowhere: is no folder of masks"):
        StoredMasks(tmp_path / "nowhere", entries, CLASSES)
