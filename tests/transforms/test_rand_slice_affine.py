"""Moved slices: as MONAI moves them, and what is padded never carries a lesion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import RandAffined

from transforms.rand_slice_affine import RandSliceAffined

SHAPE = (24, 31)
RNG = np.random.default_rng(0)
IMAGE = RNG.random((2, *SHAPE)).astype(np.float32)
LABEL = RNG.integers(0, 4, (1, *SHAPE)).astype(np.uint8)
RANGES: dict[str, Any] = {"prob": 1.0, "rotate_range": 0.7, "scale_range": 0.4, "translate_range": [7.0, 9.0]}


def moved(seed: int, data: dict[str, Any], **settings: Any) -> dict[str, Any]:
    step = RandSliceAffined(tuple(data), **{**RANGES, **settings})
    return step.set_random_state(seed)(data)


def by_monai(seed: int, array: np.ndarray, mode: str, padding_mode: str) -> np.ndarray:
    step = RandAffined("image", mode=mode, padding_mode=padding_mode, **RANGES)
    return np.asarray(step.set_random_state(seed)({"image": array})["image"])


@pytest.mark.parametrize("seed", range(8))
def test_no_padded_pixel_carries_a_lesion(seed: int) -> None:
    """Lesions everywhere: what MONAI fills with zeros must be 255, and all else the lesion still."""
    found = np.asarray(moved(seed, {"label": np.ones((1, *SHAPE), np.uint8)})["label"])
    outside = by_monai(seed, np.ones((1, *SHAPE), np.float32), "nearest", "zeros") == 0
    assert np.all(found[outside] == 255)
    assert np.all(found[~outside] == 1)
    assert outside.sum() > 20


@pytest.mark.parametrize("seed", range(4))
def test_images_and_labels_move_alike(seed: int) -> None:
    found = moved(seed, {"image": IMAGE, "label": LABEL})
    np.testing.assert_allclose(found["image"], by_monai(seed, IMAGE, "bilinear", "border"), atol=1e-6)
    labels = np.asarray(found["label"])
    inside = labels != 255
    np.testing.assert_array_equal(labels[inside], by_monai(seed, LABEL, "nearest", "zeros")[inside])
    assert set(np.unique(labels)) <= {0, 1, 2, 3, 255}
    assert inside.mean() > 0.2


def test_by_hand() -> None:
    """A shift by whole pixels: rows are gone at one side and unknown at the other."""
    found = np.asarray(
        moved(0, {"label": LABEL}, rotate_range=0, scale_range=0, translate_range=[[3, 3], [0, 0]])["label"]
    )
    np.testing.assert_array_equal(found[0, :-3], LABEL[0, 3:])
    assert np.all(found[0, -3:] == 255)


@pytest.mark.parametrize("prob", [0.0, 1.0])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_type_and_metadata_stay(prob: float, dtype: torch.dtype) -> None:
    label = MetaTensor(torch.from_numpy(LABEL).to(dtype), meta={"filename_or_obj": "a"})
    found = moved(1, {"label": label}, prob=prob)["label"]
    assert isinstance(found, MetaTensor)
    assert (found.dtype, found.meta["filename_or_obj"]) == (dtype, "a")
    assert torch.equal(found.as_tensor(), label.as_tensor()) == (prob == 0)
    assert torch.equal(label.as_tensor(), torch.from_numpy(LABEL).to(dtype))


def test_seeds_and_missing_keys() -> None:
    one, again, other = (np.asarray(moved(seed, {"image": IMAGE})["image"]) for seed in (3, 3, 4))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    step = RandSliceAffined(("image", "label"), allow_missing_keys=True, **RANGES)
    assert set(step({"image": IMAGE})) == {"image"}
