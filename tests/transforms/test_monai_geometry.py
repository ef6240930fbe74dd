"""What Concord relies on in MONAI's own geometric transforms, and the three places where it does not use them.

Right as they are, and used: ``RandFlipd``, ``RandAxisFlipd`` and ``RandRotate90d`` (one draw for all keys, the affine
follows, the untouched scan stays reachable), ``Orientationd``, ``Spacingd``, ``CropForegroundd``, ``SpatialPadd`` and
``Invertd`` (world positions kept for any affine). Not used for patches: ``RandCropByPosNegLabeld`` and
``RandSpatialCropd``; ``RandForegroundPatchd`` takes scans without a label or smaller than the patch and refuses keys of
different shapes.
"""

import itertools

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    CropForegroundd,
    Invertd,
    Orientationd,
    RandAxisFlipd,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandRotate90d,
    RandSpatialCropd,
    Spacingd,
    SpatialPadd,
)

from transforms.signed_distance_map import SignedDistanceMap, SignedDistanceMapd

KEYS = ("image", "label", "sdf")


def turn(degrees, axis):
    """Rotation about a world axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = [k for k in range(3) if k != axis]
    matrix = np.eye(3)
    matrix[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return matrix


def affine(directions, spacing):
    matrix = np.eye(4)
    matrix[:3, :3] = directions @ np.diag(spacing)
    matrix[:3, 3] = 12.5, -40.0, 7.25
    return matrix


AFFINES = {
    "RAS": affine(np.eye(3), (1.0, 1.0, 1.0)),
    "LPS, anisotropic": affine(np.diag([-1.0, -1.0, 1.0]), (0.7, 0.7, 2.5)),
    "permuted axes": affine(np.eye(3)[[2, 0, 1]], (0.8, 1.5, 1.1)),
    "permuted and flipped": affine(np.eye(3)[[1, 2, 0]] @ np.diag([1.0, -1.0, -1.0]), (0.8, 1.5, 1.1)),
    "oblique": affine(turn(25, 0) @ turn(-15, 2), (0.9, 0.9, 2.0)),
    "oblique, flipped, permuted": affine(turn(40, 1) @ np.diag([-1.0, 1, 1]) @ np.eye(3)[[1, 0, 2]], (1.2, 0.6, 1.7)),
}


def case(matrix):
    """A lopsided body of two boxes, off the centre, and an image that numbers the voxels."""
    label = torch.zeros(1, 24, 20, 16)
    label[:, 4:12, 5:15, 3:8] = 1
    label[:, 10:18, 5:9, 6:12] = 1
    image = torch.arange(label.numel(), dtype=torch.float32).reshape(label.shape)
    return {"image": MetaTensor(image, affine=matrix), "label": MetaTensor(label, affine=matrix)}


def centroid(label):
    """Mean world position of the foreground voxels, in mm."""
    place = torch.nonzero(label[0].as_tensor() > 0.5).double().mean(dim=0)
    return (label.affine[:3, :3] @ place + label.affine[:3, 3]).numpy()


WITHOUT_RESAMPLING = {
    "orientation": lambda: Orientationd(("image", "label"), axcodes="RAS", labels=None),
    "flip": lambda: RandFlipd(("image", "label"), prob=1.0, spatial_axis=1),
    "quarter turn": lambda: RandRotate90d(("image", "label"), prob=1.0, spatial_axes=(0, 1)),
    "quarter turn of unequal sides": lambda: RandRotate90d(("image", "label"), prob=1.0, spatial_axes=(1, 2)),
    "foreground box": lambda: CropForegroundd(("image", "label"), source_key="label", margin=2, allow_smaller=True),
    "padding": lambda: SpatialPadd(("image", "label"), (29, 30, 21)),
}


@pytest.mark.parametrize("matrix", AFFINES.values(), ids=AFFINES.keys())
@pytest.mark.parametrize("step", WITHOUT_RESAMPLING.values(), ids=WITHOUT_RESAMPLING.keys())
def test_world_position_is_exact_without_resampling(step, matrix):
    given = case(matrix)
    steps = Compose([step()]).set_random_state(0)
    result = steps(given)
    assert torch.equal(result["image"].affine, result["label"].affine)
    np.testing.assert_allclose(centroid(result["label"]), centroid(given["label"]), atol=0.01)
    back = Invertd("label", steps, to_tensor=False)(dict(result))["label"]
    assert torch.equal(back.as_tensor(), given["label"].as_tensor())
    np.testing.assert_allclose(back.affine.numpy(), matrix, atol=1e-6)


@pytest.mark.parametrize("matrix", AFFINES.values(), ids=AFFINES.keys())
def test_resampling_to_isotropic_and_back(matrix):
    given = case(matrix)
    steps = Compose(
        [
            Orientationd(("image", "label"), axcodes="RAS", labels=None),
            Spacingd(("image", "label"), pixdim=(1.0, 1.0, 1.0), mode=("bilinear", "nearest")),
        ]
    )
    result = steps(given)
    voxel = max(1.0, float(given["label"].pixdim.max()))
    assert result["image"].shape == result["label"].shape
    np.testing.assert_allclose(result["label"].pixdim.numpy(), 1.0, atol=1e-6)
    assert np.linalg.norm(centroid(result["label"]) - centroid(given["label"])) < voxel
    back = Invertd("label", steps, nearest_interp=True, to_tensor=False)(dict(result))["label"]
    assert back.shape == given["label"].shape
    np.testing.assert_allclose(back.affine.numpy(), matrix, atol=1e-6)
    assert np.linalg.norm(centroid(back) - centroid(given["label"])) < voxel
    overlap = 2 * (back * given["label"]).sum() / (back.sum() + given["label"].sum())
    assert overlap > 0.85


def test_the_map_of_a_resampled_label_is_in_mm():
    """A box 10 mm thick along its thinnest axis is 5 mm deep, whatever the voxels are."""
    label = torch.zeros(1, 20, 30, 40)
    label[:, 5:15, 5:25, 5:35] = 1
    for spacing in ((1.0, 1.0, 1.0), (1.0, 0.7, 2.0)):
        depth = SignedDistanceMap()(MetaTensor(label, affine=affine(turn(30, 2), spacing))).min()
        assert depth == pytest.approx(-5.0)


def orientations(steps, draws=300):
    """All arrays that a numbered 3 x 3 x 2 block can turn into, and how often; label and map must follow the image."""
    label = torch.zeros(1, 3, 3, 2)
    label[0, 0, 0, 0] = label[0, 1, 0, 1] = 1
    image = torch.arange(18.0).reshape(1, 3, 3, 2)
    given = SignedDistanceMapd("label", spacing=1.0)({"image": image, "label": label})
    steps.set_random_state(0)
    found: dict[bytes, int] = {}
    for _ in range(draws):
        result = steps(dict(given))
        order = result["image"].long().flatten()
        assert torch.equal(result["label"].flatten(), label.flatten()[order])
        assert torch.equal(result["sdf"].as_tensor(), SignedDistanceMap(spacing=1.0)(result["label"]).as_tensor())
        key = np.asarray(result["image"]).tobytes()
        found[key] = found.get(key, 0) + 1
    return found, image.numpy()


def test_flips_and_quarter_turns_reach_all_and_the_untouched_scan():
    """prob 3/4 with three turns to choose from makes the four quarter turns alike; with one flip, all 8 symmetries."""
    steps = Compose([RandFlipd(KEYS, prob=0.5, spatial_axis=0), RandRotate90d(KEYS, prob=0.75, spatial_axes=(0, 1))])
    found, image = orientations(steps)
    square = {np.rot90(part, k, (1, 2)).tobytes() for part in (image, image[:, ::-1]) for k in range(4)}
    assert set(found) == square
    assert image.tobytes() in found
    assert all(15 < count < 65 for count in found.values())


def test_one_flip_per_axis_reaches_all_mirror_images():
    steps = Compose([RandFlipd(KEYS, prob=0.5, spatial_axis=axis) for axis in range(3)])
    found, image = orientations(steps)
    axes = itertools.chain.from_iterable(itertools.combinations((1, 2, 3), count) for count in range(4))
    assert set(found) == {np.flip(image, chosen).tobytes() for chosen in axes}


def test_axis_flip_reaches_the_untouched_scan_but_no_double_flip():
    found, image = orientations(Compose([RandAxisFlipd(KEYS, prob=0.5)]))
    assert set(found) == {image.tobytes(), *(np.flip(image, axis).tobytes() for axis in (1, 2, 3))}


def test_crop_by_label_needs_a_label_and_a_large_scan():
    given = case(AFFINES["RAS"])
    with pytest.raises(ValueError, match="label must be provided"):
        RandCropByPosNegLabeld("image", "label", 8)({"image": given["image"]})
    with pytest.raises(ValueError, match="ROI is larger than the image size"):
        RandCropByPosNegLabeld(("image", "label"), "label", (64, 8, 8))(given)
    given["label"].zero_()
    with pytest.warns(UserWarning, match="Num foregrounds 0"):
        RandCropByPosNegLabeld(("image", "label"), "label", 8)(given)


def test_spatial_crop_gives_small_scans_back_whole():
    patch = RandSpatialCropd("image", (64, 8, 8), random_size=False)({"image": torch.zeros(1, 24, 20, 16)})
    assert patch["image"].shape == (1, 24, 8, 8)


def test_spatial_crop_passes_keys_of_different_shapes():
    given = {"image": torch.zeros(1, 24, 20, 16), "label": torch.zeros(1, 24, 20, 6)}
    patch = RandSpatialCropd(("image", "label"), 8, random_size=False).set_random_state(0)(given)
    assert patch["label"].shape != patch["image"].shape
