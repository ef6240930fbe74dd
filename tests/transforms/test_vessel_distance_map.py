"""VesselDistanceMap: numbers by hand, scipy as an independent implementation, kinds, units and what is not there."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Flip, RandFlipd, RandRotate90d
from scipy import ndimage

import transforms.vessel_distance_map as module
from transforms.euclidean_distance import unsigned_distance
from transforms.vessel_distance_map import VesselDistanceMap, VesselDistanceMapd

ROOT2, ROOT5 = 2**0.5, 5**0.5

KINDS = {
    "numpy": lambda label: label,
    "numpy float32": lambda label: label.astype(np.float32),
    "torch": torch.from_numpy,
    "torch int64": lambda label: torch.from_numpy(label).long(),
    "MetaTensor": lambda label: MetaTensor(torch.from_numpy(label), affine=np.eye(4)),
}


def vessels(spatial_dims=2, classes=1, seed=0):
    """Lines one voxel wide, of random direction."""
    rng = np.random.default_rng(seed)
    label = np.zeros((1, 13, 17, 9)[: spatial_dims + 1], np.uint8)
    for value in range(1, classes + 1):
        start, end = (rng.integers(0, label.shape[1:]) for _ in range(2))
        for t in np.linspace(0, 1, 40):
            label[0][tuple(np.rint(start + t * (end - start)).astype(int))] = value
    return label


def test_by_hand():
    """One vessel pixel in a corner."""
    label = np.zeros((1, 3, 3), np.uint8)
    label[0, 0, 0] = 1
    expected = [[[0, 1, 2], [1, ROOT2, ROOT5], [2, ROOT5, 2 * ROOT2]]]
    np.testing.assert_allclose(VesselDistanceMap()(label), expected, rtol=1e-6)


def test_by_hand_in_mm():
    """A vertical vessel: columns are 3 mm apart, and nothing depends on the 0.5 mm between rows."""
    label = np.zeros((1, 2, 4), np.uint8)
    label[0, :, 1] = 1
    np.testing.assert_allclose(VesselDistanceMap(spacing=(0.5, 3.0))(label), [[[3, 0, 3, 6]] * 2])


NORMALIZED = {
    "none": ({}, [0, 1, 2, 3, 4]),
    "none, cut": ({"max_distance": 2.5}, [0, 1, 2, 2.5, 2.5]),
    "clip": ({"max_distance": 2.5, "normalize": "clip"}, [0, 0.4, 0.8, 1, 1]),
    "clip, wide": ({"max_distance": 8, "normalize": "clip"}, [0, 0.125, 0.25, 0.375, 0.5]),
    "max": ({"normalize": "max"}, [0, 0.25, 0.5, 0.75, 1]),
    "published form": ({"max_distance": 255, "normalize": "clip"}, np.arange(5) / 255),
}


@pytest.mark.parametrize(("options", "expected"), NORMALIZED.values(), ids=NORMALIZED.keys())
def test_normalised_by_hand(options, expected):
    label = np.zeros((1, 1, 5), np.uint8)
    label[0, 0, 0] = 1
    np.testing.assert_allclose(VesselDistanceMap(**options)(label)[0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("spacing", [None, 0.4, "anisotropic"])
@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_equals_scipy(seed, spatial_dims, spacing):
    label = vessels(spatial_dims, classes=2, seed=seed)
    steps = (0.5, 2.0, 1.25)[:spatial_dims] if spacing == "anisotropic" else spacing
    found = VesselDistanceMap(2, spacing=steps)(label)
    for value in (1, 2):
        expected = ndimage.distance_transform_edt(label[0] != value, sampling=steps)
        np.testing.assert_allclose(found[value - 1], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("kind", KINDS.keys())
def test_same_kind_out(kind, spatial_dims):
    label = vessels(spatial_dims, classes=2)
    given = KINDS[kind](label)
    distances = VesselDistanceMap(num_classes=2)(given)
    assert type(distances) is type(given)
    assert distances.dtype in (np.float32, torch.float32)
    assert tuple(distances.shape) == (2, *label.shape[1:])
    np.testing.assert_array_equal(np.asarray(distances), unsigned_distance(label[0], 2))


EMPTY = {
    "none": ({}, 5.0),  # the diagonal of 3 x 4 voxels
    "none, in mm": ({"spacing": 2.0}, 10.0),
    "none, cut": ({"max_distance": 3.0}, 3.0),
    "clip": ({"max_distance": 3.0, "normalize": "clip"}, 1.0),
    "max": ({"normalize": "max"}, 1.0),
}


@pytest.mark.parametrize(("options", "far"), EMPTY.values(), ids=EMPTY.keys())
def test_a_class_that_is_not_there_is_far_and_one_that_is_everywhere_is_near(options, far):
    empty = np.zeros((1, 3, 4), np.uint8)
    np.testing.assert_array_equal(VesselDistanceMap(**options)(empty), np.full((1, 3, 4), far, np.float32))
    np.testing.assert_array_equal(VesselDistanceMap(**options)(empty + 1), np.zeros((1, 3, 4), np.float32))


def test_spacing_from_the_affine_and_given():
    affine = np.array([[0.0, -1.5, 0, 10], [2.0, 0, 0, -5], [0, 0, 0.5, 3], [0, 0, 0, 1]])
    label = MetaTensor(torch.from_numpy(vessels(3)), affine=affine)
    for options, spacing in (({}, (2.0, 1.5, 0.5)), ({"spacing": (1.0, 2.0, 3.0)}, (1.0, 2.0, 3.0))):
        distances = VesselDistanceMap(**options)(label)
        np.testing.assert_array_equal(distances.numpy(), unsigned_distance(vessels(3)[0], spacing=spacing))
        np.testing.assert_array_equal(distances.affine.numpy(), affine)


def test_spacing_scales_the_map():
    label = vessels()
    np.testing.assert_allclose(
        VesselDistanceMap(spacing=(0.6, 1.5))(label), 3 * VesselDistanceMap(spacing=(0.2, 0.5))(label), rtol=1e-6
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_flips_commute(axis):
    label = vessels()
    convert, flip = VesselDistanceMap(normalize="max"), Flip(axis)
    np.testing.assert_allclose(convert(flip(label)), flip(convert(label)), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1"),
        ({"normalize": "mean"}, "normalize must be one of none, max, clip, got 'mean'"),
        ({"normalize": "clip"}, "max_distance, which is not given"),
        ({"normalize": "max", "max_distance": 3.0}, "does not apply"),
        ({"max_distance": -1.0}, "positive and finite"),
        ({"max_distance": float("nan")}, "positive and finite"),
    ],
)
def test_refuses_settings(options, told):
    with pytest.raises(ValueError, match=told):
        VesselDistanceMap(**options)


@pytest.mark.parametrize("shape", [(4, 4), (2, 4, 4), (1, 4, 4, 4, 4)])
def test_refuses_shapes(shape):
    with pytest.raises(ValueError, match="must have shape"):
        VesselDistanceMap()(np.zeros(shape))


def test_refuses_labels_and_spacing():
    with pytest.raises(ValueError, match="found 2"):
        VesselDistanceMap()(np.full((1, 2, 2), 2))
    with pytest.raises(ValueError, match="positive and finite"):
        VesselDistanceMap(spacing=0.0)(vessels())


def test_dictionary_equals_array():
    label = vessels()
    given = {"image": label, "label": label, "case_id": "a"}
    result = VesselDistanceMapd("label", spacing=2.0, max_distance=4.0, normalize="clip")(given)
    expected = VesselDistanceMap(spacing=2.0, max_distance=4.0, normalize="clip")(label)
    np.testing.assert_array_equal(result["distance"], expected)
    assert set(result) == {"image", "label", "case_id", "distance"}
    assert set(given) == {"image", "label", "case_id"}


def test_several_keys_and_missing_ones():
    both = VesselDistanceMapd(("a", "b"), ("to_a", "to_b"), allow_missing_keys=True)
    assert set(both({"b": vessels()})) == {"b", "to_b"}
    with pytest.raises(KeyError):
        VesselDistanceMapd("label")({"image": vessels()})
    with pytest.raises(ValueError, match="2 names, one per key, got 1"):
        VesselDistanceMapd(("label", "other"), "distance")


def test_later_steps_keep_map_and_label_together():
    steps = Compose(
        [
            VesselDistanceMapd("label"),
            RandFlipd(("label", "distance"), prob=1.0, spatial_axis=1),
            RandRotate90d(("label", "distance"), prob=1.0),
        ]
    ).set_random_state(0)
    result = steps({"label": MetaTensor(torch.from_numpy(vessels()), affine=np.eye(4))})
    assert torch.equal(result["distance"] == 0, result["label"] == 1)
    np.testing.assert_array_equal(result["distance"].numpy(), VesselDistanceMap()(result["label"]).numpy())


def test_one_thread_inside_a_worker(monkeypatch):
    used = []
    monkeypatch.setattr(module, "unsigned_distance", lambda *args: used.append(args[-1]) or unsigned_distance(*args))
    VesselDistanceMap()(vessels())
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: object())
    VesselDistanceMap()(vessels())
    VesselDistanceMap(threads=3)(vessels())
    assert used == [0, 1, 3]
