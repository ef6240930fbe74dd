"""Stacks of neighbouring slices, against numpy's own padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Flip

from transforms.slice_stack import SliceStack, SliceStackd

VOLUME = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5)).astype(np.uint8)
AFFINE = np.array([[0, 0, 2.0, 1], [3, 0, 0, 2], [0, 4, 0, 3], [0, 0, 0, 1]])


def test_by_hand() -> None:
    """Two channels, three slices of one pixel: slice-major, the edges repeated."""
    volume = np.array([[1, 2, 3], [10, 20, 30]]).reshape(2, 1, 1, 3)
    stacks = [SliceStack(1)(volume, index).ravel().tolist() for index in range(3)]
    assert stacks == [[1, 10, 1, 10, 2, 20], [1, 10, 2, 20, 3, 30], [2, 20, 3, 30, 3, 30]]
    assert SliceStack(0)(volume, 1).ravel().tolist() == [2, 20]


@pytest.mark.parametrize("neighbours", [0, 1, 2, 7])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_is_numpys_edge_padding(neighbours: int, axis: int) -> None:
    slices = np.moveaxis(VOLUME, axis % 3 + 1, 0)
    padded = np.pad(slices, [(neighbours, neighbours), (0, 0), (0, 0), (0, 0)], "edge")
    for index in range(len(slices)):
        wanted = np.concatenate(list(padded[index : index + 2 * neighbours + 1]))
        found = SliceStack(neighbours, axis)(VOLUME, index)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, wanted)


def test_a_single_slice_is_its_own_neighbour() -> None:
    np.testing.assert_array_equal(SliceStack(2)(VOLUME[..., 0], 0), np.concatenate([VOLUME[..., 0]] * 5))


@pytest.mark.parametrize("kind", [torch.as_tensor, MetaTensor])
def test_torch_in_torch_out(kind) -> None:
    stack = SliceStack(1, 0)(kind(torch.from_numpy(VOLUME)), 2)
    assert type(stack) is type(kind(torch.zeros(1)))
    assert stack.dtype == torch.uint8
    np.testing.assert_array_equal(np.asarray(stack), SliceStack(1, 0)(VOLUME, 2))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_stack_lies_where_its_slice_was(axis: int) -> None:
    image = MetaTensor(torch.from_numpy(VOLUME), affine=torch.from_numpy(AFFINE), meta={"filename_or_obj": "a.nii"})
    stack = SliceStack(1, axis)(image, 2)
    assert stack.meta["filename_or_obj"] == "a.nii"
    assert stack.meta["spatial_shape"].tolist() == list(stack.shape[1:])
    voxel = np.insert(np.array([1, 3] if axis == 0 else [1, 2]), axis, 2)
    pixel = np.delete(voxel, axis)
    np.testing.assert_allclose(stack.affine.numpy() @ [*pixel, 0, 1], AFFINE @ [*voxel, 1])
    np.testing.assert_array_equal(image.affine, AFFINE)


def test_the_record_of_the_volume_stays_with_the_volume() -> None:
    image = Flip(0)(MetaTensor(torch.from_numpy(VOLUME)))
    stack = SliceStack(1)(image, 0)
    assert len(image.applied_operations) == 1
    assert stack.applied_operations == []
    Flip(0)(stack)
    assert len(image.applied_operations) == 1


def test_dictionary() -> None:
    data = {"image": VOLUME, "label": VOLUME[:1], "slice_index": torch.tensor(4)}
    stacked = SliceStackd(("image", "label", "fov"), (2, 0, 0), allow_missing_keys=True)(data)
    np.testing.assert_array_equal(stacked["image"], SliceStack(2)(VOLUME, 4))
    np.testing.assert_array_equal(stacked["label"], VOLUME[:1, ..., 4])
    assert data["image"] is VOLUME
    assert SliceStackd("image", slice_axis=0, index_key="at")({"image": VOLUME, "at": 0})["image"].shape == (6, 4, 5)


@pytest.mark.parametrize("index", [-1, 5])
def test_no_such_slice(index: int) -> None:
    with pytest.raises(ValueError, match=f"slice from 0 to 4, got {index}"):
        SliceStack()(VOLUME, index)
    with pytest.raises(ValueError, match="slice from 0 to 0"):
        SliceStack()(VOLUME[0], 1)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="neighbours"):
        SliceStack(-1)
    with pytest.raises(ValueError, match="slice_axis"):
        SliceStack(1, 3)
    with pytest.raises(ValueError, match="shape"):
        SliceStack()(VOLUME[0, 0], 0)
