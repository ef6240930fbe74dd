"""CropGrid: where crops lie in space, and that what is cut out comes back, mirrored or not, from any orientation."""

import json
from itertools import permutations, product

import numpy as np
import pytest
from monai.data import MetaTensor
from monai.transforms import Orientation, Spacing

from transforms.crop_grid import CropGrid, crop_around, right_of_middle
from transforms.io.geometry import Geometry, orientation_of, spacing_of

SHAPE = (14, 11, 9)


def geometry(order=(0, 1, 2), signs=(1, 1, 1), spacing=(1.0, 1.0, 2.0), tilt=0.0, shape=SHAPE):
    """An image whose array axis k runs along world axis order[k], turned about z by ``tilt``."""
    directions = np.zeros((3, 3))
    directions[list(order), range(3)] = signs
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ directions * spacing
    affine[:3, 3] = (-20, 13, 5)
    return Geometry(shape, affine, spacing_of(affine, 3))


def world(affine, index):
    return (np.asarray(affine) @ [*index, 1.0])[:3]


ORIENTATIONS = [*product(permutations(range(3)), product((1, -1), repeat=3))]


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS[::5])
@pytest.mark.parametrize("flip", [False, True])
def test_round_trip_is_exact(order, signs, flip):
    """1 x 1 x 2 mm to 0.5 mm: every voxel centre of the image is one of the crop, so all labels in it come back."""
    source = geometry(order, signs, tilt=0.2)
    labels = np.random.default_rng(0).integers(0, 4, SHAPE).astype(np.uint8)
    inside = np.zeros(SHAPE, bool)
    inside[4:10, 3:8, 2:7] = True
    labels[~inside] = 0
    grid = crop_around(source, world(source.affine, (6.5, 5, 4)), (24, 24, 24), (0.5, 0.5, 0.5), flip)
    np.testing.assert_array_equal(grid.put_back(grid.labels(labels)), labels)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS[::7])
def test_crop_lies_on_the_image(order, signs):
    """An image that tells its own coordinates: in the crop each voxel tells where the crop's affine says it lies."""
    source = geometry(order, signs, tilt=0.3)
    indices = np.stack(np.meshgrid(*(np.arange(size) for size in SHAPE), indexing="ij"), axis=-1)
    places = indices @ source.affine[:3, :3].T + source.affine[:3, 3]
    grid = crop_around(source, world(source.affine, (7, 5, 4)), (6, 5, 7), (0.7, 0.7, 0.7))
    assert orientation_of(grid.affine, 3) == "RAS"
    np.testing.assert_allclose(spacing_of(grid.affine, 3), 0.7)
    for index in product(range(0, 6, 2), range(0, 5, 2), range(0, 7, 3)):
        found = [grid.image(places[..., axis], 0.0)[index] for axis in range(3)]
        np.testing.assert_allclose(found, world(grid.affine, index), atol=1e-4)


def test_flip_mirrors_about_the_middle_of_the_image():
    source = geometry((1, 0, 2), (-1, 1, 1))
    array = np.random.default_rng(0).normal(size=SHAPE)
    right = world(source.affine, (6, 9, 4))
    assert right_of_middle(source, right) == pytest.approx(4.0)
    plain = crop_around(source, right, (6, 8, 5), (0.5, 0.5, 0.5))
    mirrored = crop_around(source, right, (6, 8, 5), (0.5, 0.5, 0.5), flip=True)
    np.testing.assert_array_equal(mirrored.image(array, 0), plain.image(array, 0)[::-1])
    assert orientation_of(mirrored.affine, 3) == "RAS"
    middle = world(source.affine, ((SHAPE[0] - 1) / 2, (SHAPE[1] - 1) / 2, 4))[0]
    for index in ((0, 0, 0), (3, 2, 4)):
        here, there = world(plain.affine, index), world(mirrored.affine, (5 - index[0], *index[1:]))
        np.testing.assert_allclose(there, [2 * middle - here[0], *here[1:]])
    # The whole image mirrored, then cropped without a flip around the mirrored centre, is the same crop.
    left = [2 * middle - right[0], *right[1:]]
    other = crop_around(source, left, (6, 8, 5), (0.5, 0.5, 0.5))
    np.testing.assert_allclose(other.affine[:, :3], mirrored.affine[:, :3])
    assert np.abs(other.affine - mirrored.affine).max() <= 0.5
    assert right_of_middle(source, left) == pytest.approx(-4.0)


def test_crop_is_a_part_of_what_monai_resamples():
    source = geometry((0, 1, 2), (-1, -1, 1), spacing=(1.0, 0.8, 2.0))
    array = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    image = Orientation("RAS", labels=None)(MetaTensor(array[None], affine=source.affine))
    whole = Spacing((0.5, 0.5, 0.5), mode="bilinear", padding_mode="zeros", align_corners=True)(image)
    centre = world(source.affine, (6, 5, 4))
    grid = crop_around(source, centre, (8, 8, 8), (0.5, 0.5, 0.5))
    start = np.rint(np.linalg.inv(whole.affine.numpy()) @ grid.affine[:, 3])[:3].astype(int)
    np.testing.assert_allclose(world(whole.affine.numpy(), start), grid.affine[:3, 3], atol=1e-6)
    part = whole[0][tuple(slice(first, first + 8) for first in start)]
    np.testing.assert_allclose(grid.image(array, 0), part.numpy(), atol=1e-4)
    assert np.abs(world(grid.affine, (4, 4, 4)) - centre).max() <= 0.25 + 1e-9


def test_outside_is_filled():
    source = geometry(spacing=(1.0, 1.0, 1.0))
    grid = crop_around(source, world(source.affine, (0, 5, 4)), (4, 4, 4), (1, 1, 1))
    image = grid.image(np.ones(SHAPE), -7.0)
    assert (image[:2] == -7).all()
    assert (image[2:] == 1).all()
    assert grid.outside() == 0.5
    far = crop_around(source, (500, 0, 0), (4, 4, 4), (1, 1, 1))
    assert far.outside() == 1
    assert not far.put_back(np.ones((4, 4, 4), np.uint8)).any()


def test_json_and_refusals():
    grid = crop_around(geometry(), (-15, 15, 10), (4, 5, 6), (0.5, 0.5, 0.5), flip=True)
    again = CropGrid.from_json(json.loads(json.dumps(grid.to_json())))
    assert again.to_json() == grid.to_json()
    with pytest.raises(ValueError, match="has shape"):
        grid.put_back(np.zeros((4, 5, 7)))
    for change in ({"shape": [1, 2]}, {"affine": [[1]]}, {"flipped": None, "to_source": None}):
        with pytest.raises(ValueError, match="crop|homogeneous|inhomogeneous|4x4"):
            CropGrid.from_json({**grid.to_json(), **change})
    with pytest.raises(ValueError, match="no grid of a crop"):
        CropGrid.from_json({})
