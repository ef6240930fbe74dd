"""RandForegroundPatch: where the patches lie, from which scans they can be cut, and the way back."""

from collections import Counter

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd

from transforms.foreground_patches import RandForegroundPatch, RandForegroundPatchd

OBLIQUE = np.array([[0.0, -1.5, 0.0, 10], [2.0, 0.0, 0.0, -5], [0.0, 0.0, 0.5, 3], [0, 0, 0, 1]])


def numbered(shape):
    """Every voxel holds its own number plus one, so a patch tells where it came from and padding is 0."""
    return np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(1, *shape)


def corner(patch, shape):
    return tuple(int(i) for i in np.unravel_index(int(np.asarray(patch).flat[0]) - 1, shape))


def test_uniform_places_reach_every_offset_alike():
    """6 x 5 with a 4 x 4 patch has 3 x 2 places, the last ones too."""
    image, patch = numbered((6, 5)), RandForegroundPatch((4, 4), 0.0).set_random_state(0)
    places = Counter(corner(patch(image), (6, 5)) for _ in range(1200))
    assert sorted(places) == [(i, j) for i in range(3) for j in range(2)]
    assert all(150 < count < 250 for count in places.values())


def test_foreground_centres_are_uniform_over_the_foreground():
    """Three foreground voxels in two slices: each is the centre in a third of the patches."""
    shape = (11, 12, 13)
    image, label = numbered(shape), np.zeros((1, *shape), np.uint8)
    voxels = [(2, 3, 4), (2, 9, 9), (7, 5, 5)]
    for voxel in voxels:
        label[0][voxel] = 2
    patch = RandForegroundPatch(3, 1.0).set_random_state(0)
    centres = Counter(tuple(i + 1 for i in corner(patch(image, label), shape)) for _ in range(900))
    assert sorted(centres) == voxels
    assert all(240 < count < 360 for count in centres.values())


def test_patch_is_moved_inside():
    image, label = numbered((6, 6)), np.zeros((1, 6, 6))
    label[0, 0, 5] = 1
    patch = RandForegroundPatch(4, 1.0).set_random_state(0)(image, label)
    np.testing.assert_array_equal(patch, image[:, :4, 2:])


@pytest.mark.parametrize(("probability", "low", "high"), [(0.0, 0, 10), (0.5, 160, 240), (1.0, 400, 400)])
def test_foreground_probability(probability, low, high):
    """By chance a voxel in the corner is in one of 19 x 19 patches only."""
    label = np.zeros((1, 20, 20), np.uint8)
    label[0, 0, 0] = 1
    patch = RandForegroundPatch(2, probability).set_random_state(1)
    assert low <= sum(int(patch(label, label).sum()) for _ in range(400)) <= high


WITHOUT_FOREGROUND = {"no label": None, "empty label": np.zeros((1, 6, 5))}


@pytest.mark.parametrize("label", WITHOUT_FOREGROUND.values(), ids=WITHOUT_FOREGROUND.keys())
def test_without_foreground_places_are_uniform(label):
    image, patch = numbered((6, 5)), RandForegroundPatch(4, 1.0).set_random_state(0)
    assert len({corner(patch(image, label), (6, 5)) for _ in range(100)}) == 6


def test_full_label():
    image, patch = numbered((6, 5)), RandForegroundPatch(4, 1.0).set_random_state(0)
    assert len({corner(patch(image, np.ones((1, 6, 5))), (6, 5)) for _ in range(100)}) == 6


SIZES = [
    ((5, 5), (8, 8), (8, 8)),
    ((5, 20), (8, 8), (8, 8)),
    ((5, 20), (8, -1), (8, 20)),
    ((5, 6, 7), 4, (4, 4, 4)),
    ((5, 6, 7), 9, (9, 9, 9)),
    ((8, 8), (8, 8), (8, 8)),
]


@pytest.mark.parametrize(("shape", "patch_size", "expected"), SIZES)
def test_shape_is_always_the_patch(shape, patch_size, expected):
    patch = RandForegroundPatch(patch_size).set_random_state(0)(numbered(shape), np.ones((1, *shape)))
    assert patch.shape == (1, *expected)


def test_small_scans_are_padded_evenly_with_zeros():
    patch = RandForegroundPatch((4, 6)).set_random_state(0)(np.ones((2, 3, 3), np.float32))
    expected = np.zeros((2, 4, 6))
    expected[:, :3, 1:4] = 1
    np.testing.assert_array_equal(patch, expected)


@pytest.mark.parametrize(
    "image",
    [np.ones((2, 3, 9), np.int16), torch.ones(2, 3, 9, dtype=torch.uint8), MetaTensor(torch.ones(2, 3, 9).double())],
)
def test_same_kind_out(image):
    patch = RandForegroundPatch(4)(image)
    assert type(patch) is type(image)
    assert patch.dtype == image.dtype


def test_seeded():
    label = (numbered((15, 15)) % 7 == 0).astype(np.uint8)

    def draw(seed):
        patch = RandForegroundPatchd("label", "label", 4).set_random_state(seed)
        return np.stack([patch({"label": label})["label"] for _ in range(5)])

    np.testing.assert_array_equal(draw(3), draw(3))
    assert not np.array_equal(draw(3), draw(4))


def case(shape=(9, 10, 7)):
    image = MetaTensor(torch.from_numpy(numbered(shape)), affine=OBLIQUE)
    label = MetaTensor((image.as_tensor() % 5 == 0).to(torch.uint8), affine=OBLIQUE)
    return {"image": image, "label": label, "case_id": "a"}


@pytest.mark.parametrize("size", [4, 12])
def test_dictionary_cuts_all_keys_in_one_place_and_keeps_the_geometry(size):
    given = case()
    patch = RandForegroundPatchd(("image", "label"), "label", size).set_random_state(0)(given)
    image = patch["image"]
    assert image.shape == patch["label"].shape == (1, size, size, size)
    inside = image > 0
    assert torch.equal((image % 5 == 0) & inside, (patch["label"] == 1) & inside)
    # The world place of every patch voxel is that of the voxel it came from.
    place = torch.nonzero(inside[0].as_tensor()).double()
    origin = np.stack(np.unravel_index(image.as_tensor()[inside.as_tensor()].long().numpy() - 1, (9, 10, 7)), axis=1)
    world = place.numpy() @ image.affine[:3, :3].numpy().T + image.affine[:3, 3].numpy()
    np.testing.assert_allclose(world, origin @ OBLIQUE[:3, :3].T + OBLIQUE[:3, 3], atol=1e-9)
    assert [step["class"] for step in image.applied_operations] == ["SpatialPad", "Crop"]
    assert len(given["image"].applied_operations) == 0


def test_padding_per_key():
    """Zeros would be a contour in a distance map, so its edge is repeated."""
    given = {"label": np.zeros((1, 2, 2)), "sdf": np.full((1, 2, 2), 7.0)}
    patch = RandForegroundPatchd(("label", "sdf"), "label", 4, mode=("constant", "edge"))(given)
    assert (patch["label"] == 0).all()
    assert (patch["sdf"] == 7).all()


@pytest.mark.parametrize("size", [4, 12])
def test_inverse_puts_the_patch_back(size):
    steps = Compose([RandForegroundPatchd(("image", "label"), "label", size)]).set_random_state(5)
    patch = steps(case())
    back = Invertd("image", steps, nearest_interp=False, to_tensor=False)(dict(patch))["image"]
    original = case()["image"]
    assert back.shape == original.shape
    np.testing.assert_allclose(back.affine.numpy(), OBLIQUE, atol=1e-9)
    kept = back > 0
    assert int(kept.sum()) == int((patch["image"] > 0).sum())
    assert torch.equal(back[kept].as_tensor(), original[kept].as_tensor())


def test_unlabelled_scans_and_missing_keys():
    image = numbered((6, 5))
    patch = RandForegroundPatchd(("image", "label"), "label", 4, allow_missing_keys=True)
    assert set(patch({"image": image})) == {"image"}
    assert patch({"case_id": "a"}) == {"case_id": "a"}
    with pytest.raises(KeyError):
        RandForegroundPatchd(("image", "label"), "label", 4)({"image": image})


def test_refuses():
    with pytest.raises(ValueError, match="between 0 and 1"):
        RandForegroundPatch(4, 1.5)
    with pytest.raises(ValueError, match="patch_size must be positive"):
        RandForegroundPatch((4, 0))
    with pytest.raises(ValueError, match=r"must have shape \(1, 6, 5\)"):
        RandForegroundPatch(4)(numbered((6, 5)), np.zeros((1, 5, 6)))
    with pytest.raises(ValueError, match="share one spatial shape"):
        RandForegroundPatchd("image", "label", 4)({"image": numbered((6, 5)), "label": np.zeros((1, 5, 6))})
