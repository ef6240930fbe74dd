"""SignedDistanceToMask: the mask that went into a map comes out of it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from monai.data import MetaTensor

from transforms.signed_distance_map import SignedDistanceMap
from transforms.signed_distance_to_mask import SignedDistanceToMask, SignedDistanceToMaskd

HAND = [
    (1.0, [-2.0, 0.0, 2.0], [0.8807971, 0.5, 0.1192029]),
    (1500.0, [-1.0, -0.001, 0.0, 0.001, 1.0], [1.0, 0.8175745, 0.5, 0.1824255, 0.0]),
]


@pytest.mark.parametrize(("k", "distances", "expected"), HAND)
def test_by_hand(k, distances, expected):
    mask = SignedDistanceToMask(k)(np.array([[distances]], np.float32))
    np.testing.assert_allclose(mask, [[expected]], atol=1e-6)


KINDS = [
    (np.zeros((2, 4, 4), np.float32), np.float32),
    (np.zeros((2, 4, 4), np.float16), np.float32),
    (np.zeros((2, 4, 4), np.float64), np.float64),
    (torch.zeros(2, 4, 4, 3), torch.float32),
    (torch.zeros(2, 4, 4, 3).half(), torch.float32),
    (MetaTensor(torch.zeros(1, 4, 4, 3), affine=np.diag([1.0, 2, 3, 1])), torch.float32),
]


@pytest.mark.parametrize(("distances", "dtype"), KINDS)
def test_same_kind_out(distances, dtype):
    mask = SignedDistanceToMask()(distances)
    assert type(mask) is type(distances)
    assert mask.dtype == dtype
    assert mask.shape == distances.shape
    if isinstance(distances, MetaTensor):
        assert torch.equal(mask.affine, distances.affine)


# Random voxels: most of their structures are one voxel thick, and empty and full masks occur.
voxels = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=3, max_side=8), elements=st.integers(0, 2))


@settings(deadline=None, max_examples=80)
@given(label=voxels, spacing=st.floats(0.05, 10), normalize=st.booleans())
def test_map_and_back_is_the_identity(label, spacing, normalize):
    to_map = SignedDistanceMap(2, spacing=spacing, max_distance=50.0 if normalize else None, normalize=normalize)
    back = SignedDistanceToMask()(to_map(label[None])) > 0.5
    np.testing.assert_array_equal(back, np.stack([label == 1, label == 2]))


THIN = {
    "one voxel": np.s_[4, 4, 4],
    "line": np.s_[4, 4, :],
    "plane": np.s_[4],
    "two voxels wide": np.s_[4:6, 4:6, :],
}


@pytest.mark.parametrize("place", THIN.values(), ids=THIN.keys())
def test_thin_structures_survive_metric_but_not_dtc(place):
    label = np.zeros((1, 9, 9, 9), np.uint8)
    label[0][place] = 1
    back = {mode: SignedDistanceToMask()(SignedDistanceMap(mode=mode)(label)) > 0.5 for mode in ("metric", "dtc")}
    np.testing.assert_array_equal(back["metric"], label == 1)
    assert back["dtc"].sum() == 0


def test_dictionary():
    distances = np.array([[[-1.0, 1.0]]], np.float32)
    replaced = SignedDistanceToMaskd("sdf")({"sdf": distances, "case_id": "a"})
    np.testing.assert_array_equal(replaced["sdf"], [[[1.0, 0.0]]])
    beside = SignedDistanceToMaskd("sdf", k=1.0, output_keys="pred")({"sdf": distances})
    assert beside["sdf"] is distances
    np.testing.assert_array_equal(beside["pred"], SignedDistanceToMask(1.0)(distances))
    assert SignedDistanceToMaskd("sdf", allow_missing_keys=True)({"case_id": "a"}) == {"case_id": "a"}


def test_refuses():
    with pytest.raises(ValueError, match="k must be positive"):
        SignedDistanceToMask(0.0)
    with pytest.raises(ValueError, match="2 names, one per key, got 1"):
        SignedDistanceToMaskd(("a", "b"), output_keys="c")
