"""Resampling along parallel axes, against scipy and numbers that can be checked by eye."""

import numpy as np
import pytest
from scipy.ndimage import affine_transform

from transforms.axis_resample import parallel_axes, resample_labels, resample_linear, share_inside


def matrix(scale, order=(0, 1, 2), shift=(0, 0, 0)):
    """Target axis k runs along source axis order[k]."""
    result = np.eye(4)
    result[:3, :3] = 0
    result[list(order), range(3)] = scale
    result[:3, 3] = shift
    return result


MAPS = {
    "finer": matrix((0.5, 0.4, 0.3)),
    "turned": matrix((0.5, -0.7, 1.3), (2, 0, 1), (6.2, 0.4, -1.1)),
    "mirrored": matrix((-1, 1, -0.5), (1, 2, 0), (7, 5, 0)),
}


@pytest.mark.parametrize("to_source", MAPS.values(), ids=MAPS.keys())
def test_linear_equals_scipy(to_source):
    array = np.random.default_rng(0).normal(size=(8, 7, 9))
    expected = affine_transform(
        array, to_source[:3, :3], to_source[:3, 3], (12, 11, 10), order=1, mode="constant", cval=-5
    )
    np.testing.assert_allclose(resample_linear(array, to_source, (12, 11, 10), -5.0), expected, atol=1e-5)


@pytest.mark.parametrize("to_source", MAPS.values(), ids=MAPS.keys())
def test_share_inside_is_that_of_what_is_not_filled(to_source):
    filled = resample_linear(np.ones((8, 7, 9)), to_source, (12, 11, 10), 0)
    assert share_inside((8, 7, 9), to_source, (12, 11, 10)) == pytest.approx(np.mean(filled > 0), rel=1e-12)


def test_nothing_in_common():
    far = matrix((1, 1, 1), shift=(0, 50, 0))
    assert (resample_linear(np.ones((3, 3, 3)), far, (4, 4, 4), -2) == -2).all()
    assert not resample_labels(np.ones((3, 3, 3), int), far, (4, 4, 4)).any()
    assert share_inside((3, 3, 3), far, (4, 4, 4)) == 0


def test_exact_where_voxels_coincide_although_the_header_is_not():
    array = np.random.default_rng(0).integers(0, 4000, (5, 6, 7)).astype(np.int16)
    nearly = matrix((1 + 1e-6, 1 - 1e-6, 1), shift=(1e-5, -1e-5, 0))
    np.testing.assert_array_equal(resample_linear(array, nearly, array.shape, -1), array)


def test_labels_by_hand():
    """At half a voxel: between the two classes either has a half, between a class and the background it is 0.5."""
    row = np.array([0, 1, 1, 2, 2, 0], np.int16).reshape(6, 1, 1)
    expected = [0, 0, 1, 1, 1, 1, 2, 2, 2, 0, 0]
    found = resample_labels(row, matrix((0.5, 1, 1)), (11, 1, 1))
    assert found.ravel().tolist() == expected
    assert found.dtype == np.uint8


def test_labels_of_one_class_are_the_mask_above_one_half():
    mask = (np.random.default_rng(1).random((6, 7, 8)) > 0.5).astype(np.uint8) * 3
    to_source = MAPS["turned"]
    expected = resample_linear(mask > 0, to_source, (9, 9, 9), 0) > 0.5 + 1e-3
    np.testing.assert_array_equal(resample_labels(mask, to_source, (9, 9, 9)), expected * np.uint8(3))


@pytest.mark.parametrize("error", [-1e-5, 0, 1e-5])
def test_rounding_does_not_decide_between_halves(error):
    row = np.array([0, 1, 2, 0], np.uint8).reshape(4, 1, 1)
    found = resample_labels(row, matrix((0.5, 1, 1), shift=(error, 0, 0)), (7, 1, 1))
    assert found.ravel().tolist() == [0, 0, 1, 1, 2, 0, 0]


def test_empty_and_large_labels():
    assert not resample_labels(np.zeros((2, 2, 2), np.uint8), np.eye(4), (3, 3, 3)).any()
    large = np.full((2, 2, 2), 70000)
    np.testing.assert_array_equal(resample_labels(large, np.eye(4), (2, 2, 2)), large)


@pytest.mark.parametrize(
    "to_source", [np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), matrix(1, (0, 0, 1))]
)
def test_axes_that_are_not_parallel(to_source):
    with pytest.raises(ValueError, match="not parallel"):
        parallel_axes(to_source)
