from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import KeepLargestConnectedComponent

from transforms.keep_largest import KeepLargestComponent, KeepLargestComponentd

# One channel. Class 1: three voxels on the left, two that touch them at a corner only, one on its own; class 2: one and
# two voxels.
LABELS = np.array(
    [
        [1, 0, 0, 0, 0, 2],
        [1, 0, 0, 1, 0, 0],
        [1, 0, 0, 0, 0, 2],
        [0, 1, 1, 0, 0, 2],
    ]
)[None]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [[1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 2], [0, 1, 1, 0, 0, 2]]),
        ({"connectivity": "face"}, [[1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 2], [0, 0, 0, 0, 0, 2]]),
        ({"labels": [1]}, [[1, 0, 0, 0, 0, 2], [1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 2], [0, 1, 1, 0, 0, 2]]),
        ({"labels": [2, 9]}, [[1, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0], [1, 0, 0, 0, 0, 2], [0, 1, 1, 0, 0, 2]]),
    ],
)
def test_known_array(options, expected):
    before = LABELS.copy()
    assert KeepLargestComponent(**options)(LABELS)[0].tolist() == expected
    np.testing.assert_array_equal(LABELS, before)


@pytest.mark.parametrize("shape", [(1, 5, 6), (2, 5, 6, 7)])
@pytest.mark.parametrize("value", [0, 1])
def test_empty_and_full_stay_as_they_are(shape, value):
    img = np.full(shape, value, np.uint8)
    np.testing.assert_array_equal(KeepLargestComponent()(img), img)


def test_channels_are_treated_one_by_one():
    img = np.zeros((2, 3, 5), bool)
    img[0, 0, 0:2] = img[0, 2, 4] = True
    img[1, 2, 2:5] = img[1, 0, 0] = True
    kept = KeepLargestComponent()(img)
    assert kept.dtype == bool
    assert np.argwhere(kept).tolist() == [[0, 0, 0], [0, 0, 1], [1, 2, 2], [1, 2, 3], [1, 2, 4]]


def test_of_equal_pieces_the_first_is_kept():
    assert KeepLargestComponent()(np.array([[[0, 1, 0, 1, 0, 1]]])).tolist() == [[[0, 1, 0, 0, 0, 0]]]


@pytest.mark.parametrize(
    "img",
    [
        LABELS.astype(np.uint8),
        LABELS.astype(np.float32),
        torch.from_numpy(LABELS),
        MetaTensor(torch.from_numpy(LABELS).float(), affine=torch.diag(torch.tensor([2.0, 1, 1, 1]))),
    ],
    ids=["uint8", "float32", "tensor", "metatensor"],
)
def test_same_kind_and_dtype_back(img):
    kept = KeepLargestComponent()(img)
    assert type(kept) is type(img)
    assert kept.dtype == img.dtype
    np.testing.assert_array_equal(np.asarray(kept), KeepLargestComponent()(LABELS))
    if isinstance(img, MetaTensor):
        assert torch.equal(kept.affine, img.affine)


@pytest.mark.parametrize("shape", [(40, 50), (20, 24, 28)])
@pytest.mark.parametrize(("connectivity", "hops"), [("face", 1), ("full", None)])
def test_agrees_with_monai(shape, connectivity, hops):
    generator = np.random.default_rng(3)
    for density in (0.1, 0.25, 0.5):
        img = (generator.random((1, *shape)) < density).astype(np.uint8)
        img[0][(slice(0, 6),) * len(shape)] = 1  # so that the largest piece is the only one of its size
        theirs = KeepLargestConnectedComponent(applied_labels=[1], connectivity=hops)(img)
        np.testing.assert_array_equal(KeepLargestComponent(connectivity=connectivity)(img), np.asarray(theirs))


def test_flips_are_followed_exactly():
    img = (np.random.default_rng(0).random((1, 12, 13, 14)) < 0.2).astype(np.uint8)
    img[0, 2:6, 3:6, 1:5] = 1
    flipped = KeepLargestComponent()(np.flip(img, (1, 3)))
    np.testing.assert_array_equal(np.flip(flipped, (1, 3)), KeepLargestComponent()(img))


def test_dictionary_version():
    data = {"pred": LABELS, "case_id": "a"}
    kept = KeepLargestComponentd(keys=["pred", "other"], connectivity="face", allow_missing_keys=True)(data)
    np.testing.assert_array_equal(kept["pred"], KeepLargestComponent(connectivity="face")(LABELS))
    assert kept["case_id"] == "a"
    with pytest.raises(KeyError, match="other"):
        KeepLargestComponentd(keys="other")(data)


@pytest.mark.parametrize(
    ("options", "img", "message"),
    [
        ({"connectivity": 26}, LABELS, "connectivity must be 'face' or 'full', got 26"),
        ({"labels": [0, 1]}, LABELS, r"0 is the background .* got labels \(0, 1\)"),
        ({}, LABELS[0], r"img must have shape \(C, H, W\[, D\]\), got \(4, 6\)"),
        ({}, LABELS * 0.5, "img must hold whole numbers"),
        ({}, np.full((1, 2, 2), np.nan), "img must hold whole numbers"),
    ],
)
def test_bad_input(options, img, message):
    with pytest.raises(ValueError, match=message):
        KeepLargestComponent(**options)(img)
