"""binary_skeleton: known shapes, even thickness in 3D, and winding vessels whose path is known."""

import numpy as np
import pytest
from scipy import ndimage

from networks.layers.skeleton import binary_skeleton


def box(*sides):
    mask = np.zeros(tuple(side + 6 for side in sides), dtype=np.uint8)
    mask[tuple(slice(3, 3 + side) for side in sides)] = 1
    return mask


def parts(mask):
    return ndimage.label(mask, np.ones((3,) * mask.ndim))[1]


@pytest.mark.parametrize("sides", [(1, 9), (1, 1, 9)])
def test_a_line_is_its_own_skeleton(sides):
    assert np.array_equal(binary_skeleton(box(*sides)), box(*sides) > 0)


@pytest.mark.parametrize("sides", [(5, 40), (5, 5, 40)])
def test_the_middle_of_a_thick_bar(sides):
    slab = binary_skeleton(box(*sides))[..., 23]
    assert np.argwhere(slab).tolist() == [[5] * (len(sides) - 1)]


@pytest.mark.parametrize("sides", [(2, 2), (2, 9), (2, 2, 2), (1, 4, 5), (2, 4, 5), (2, 2, 10), (4, 4, 20), (3, 4, 9)])
def test_even_thickness_is_not_lost(sides):
    """scikit-image alone gives nothing for most of the 3D ones."""
    mask, skeleton = box(*sides), binary_skeleton(box(*sides))
    assert parts(skeleton) == 1
    assert not (skeleton & (mask == 0)).any()
    length = np.ptp(np.argwhere(skeleton)[:, -1]) + 1
    assert length >= sides[-1] - max(sides[:-1])


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("thickness", [1, 2, 3, 4])
def test_a_winding_vessel_is_followed_to_its_ends(dimensions, thickness):
    """No voxel of the path that was drawn is farther from the skeleton than the vessel is thick."""
    steps = ndimage.gaussian_filter1d(np.random.default_rng(1).standard_normal((150, dimensions)), 8, axis=0)
    path = np.cumsum(2.5 * steps, axis=0)
    path = np.round(path - path.min(0)).astype(int) + 2
    mask = np.zeros(path.max(0) + 8, dtype=bool)
    for place in path:
        mask[tuple(slice(start, start + thickness) for start in place)] = True
    skeleton = binary_skeleton(mask)
    away = ndimage.distance_transform_edt(~skeleton)
    assert parts(skeleton) == parts(mask)
    assert not (skeleton & ~mask).any()
    assert away[tuple(path.T)].max() <= thickness + 1


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 6)])
def test_empty_and_full(shape):
    assert not binary_skeleton(np.zeros(shape)).any()
    assert binary_skeleton(np.ones(shape)).any()


def test_refuses_other_dimensions():
    with pytest.raises(ValueError, match="two or three axes, got 4"):
        binary_skeleton(np.ones((2, 2, 2, 2)))
