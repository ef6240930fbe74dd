"""Signed distances of label maps: numbers by hand, an independent implementation, and what holds for any mask."""

import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import find_boundaries

from transforms.euclidean_distance import available_threads, check_spacing, signed_distance

ROOT2, ROOT5 = 2**0.5, 5**0.5


def published_dtc(mask):
    """What the authors of dual-task consistency define, with scipy and skimage in float64."""
    if not mask.any():
        return np.zeros(mask.shape)
    outer, inner = ndimage.distance_transform_edt(~mask), ndimage.distance_transform_edt(mask)
    z = (outer - outer.min()) / np.ptp(outer) - (inner - inner.min()) / np.ptp(inner)
    z[find_boundaries(mask, mode="inner")] = 0
    return z


def metric_reference(mask, spacing):
    outer = ndimage.distance_transform_edt(~mask, sampling=spacing)
    return outer - ndimage.distance_transform_edt(mask, sampling=spacing)


def box(shape=(9, 8, 7)):
    mask = np.zeros(shape, bool)
    mask[2:7, 2:6, 2:5] = True
    return mask


def seven_masks():
    empty = np.zeros((9, 8, 7), bool)
    one, plane, faces, two = empty.copy(), empty.copy(), empty.copy(), empty.copy()
    one[4, 4, 3] = True
    plane[4] = True
    faces[:3, :, :4] = True
    two[1:3, 1:3, 1:3] = two[5:8, 5:7, 4:6] = True
    return {
        "empty": empty,
        "full": ~empty,
        "one": one,
        "plane": plane,
        "box": box(),
        "faces": faces,
        "two": two,
    }


def random_mask(seed, spatial_dims):
    """A blob-like mask of random size that is neither empty nor full; axes of length 1 occur."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.random(rng.integers(1, 14, spatial_dims)), rng.uniform(0, 1.5))
    mask = field > np.quantile(field, rng.uniform(0.05, 0.95))
    mask.flat[0], mask.flat[-1] = True, False
    return mask


HAND = {
    "one voxel, in voxels": (
        [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        {},
        [[ROOT2, 1, ROOT2], [1, -1, 1], [ROOT2, 1, ROOT2]],
    ),
    "one voxel, 2 mm rows, 1 mm columns": (
        [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        {"spacing": (2.0, 1.0)},
        [[ROOT5, 2, ROOT5], [1, -1, 1], [ROOT5, 2, ROOT5]],
    ),
    "the faces of the map are no border": (
        [[1, 1, 1, 0], [1, 1, 1, 0]],
        {},
        [[-3, -2, -1, 1], [-3, -2, -1, 1]],
    ),
    "clipped": ([[1, 1, 1, 0, 0, 0]] * 2, {"max_distance": 2.0}, [[-2, -2, -1, 1, 2, 2]] * 2),
    "normalized": (
        [[1, 1, 1, 0, 0, 0]] * 2,
        {"max_distance": 2.0, "normalize": True},
        [[-1, -1, -0.5, 0.5, 1, 1]] * 2,
    ),
    "dtc: each side by its own maximum, 0 on the inner boundary": (
        [[1, 1, 1, 1, 0, 0]] * 2,
        {"mode": "dtc"},
        [[-1, -0.75, -0.5, 0, 0.5, 1]] * 2,
    ),
    "dtc: diagonal neighbours are no boundary": (
        [[1, 1, 1], [1, 1, 1], [1, 1, 0]],
        {"mode": "dtc"},
        [[-1, -ROOT5 / (2 * ROOT2), -2 / (2 * ROOT2)], [-ROOT5 / (2 * ROOT2), -0.5, 0], [-2 / (2 * ROOT2), 0, 1]],
    ),
}


@pytest.mark.parametrize(("label", "options", "expected"), HAND.values(), ids=HAND.keys())
def test_by_hand(label, options, expected):
    distances = signed_distance(np.array(label), **options)
    assert distances.dtype == np.float32
    np.testing.assert_allclose(distances, np.array(expected, float)[None], atol=1e-6)


def test_classes_by_hand():
    distances = signed_distance(np.array([[0, 1, 2, 2]] * 2), num_classes=2, spacing=2.0)
    np.testing.assert_array_equal(distances, [[[2, -2, 2, 4]] * 2, [[4, 2, -2, -4]] * 2])


EXTENT = (9**2 + 8**2 + 7**2) ** 0.5
DEFINED = [
    ("empty", {}, EXTENT),
    ("full", {}, -EXTENT),
    ("empty", {"spacing": 3.0}, 3 * EXTENT),
    ("empty", {"max_distance": 5.0}, 5.0),
    ("full", {"max_distance": 5.0}, -5.0),
    ("empty", {"max_distance": 5.0, "normalize": True}, 1.0),
    ("full", {"max_distance": 5.0, "normalize": True}, -1.0),
    ("empty", {"mode": "dtc"}, 0.0),
    ("full", {"mode": "dtc"}, -1.0),
]


@pytest.mark.parametrize(("name", "options", "value"), DEFINED)
def test_empty_and_full_are_defined(name, options, value):
    distances = signed_distance(seven_masks()[name], **options)
    np.testing.assert_allclose(distances, np.full((1, 9, 8, 7), value), rtol=1e-6)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 1.3, 3.0)])
@pytest.mark.parametrize("name", seven_masks().keys())
def test_seven_masks(name, spacing):
    """Finite, the right sign everywhere, never 0, and outside the same as SimpleITK's Maurer distance."""
    mask = seven_masks()[name]
    distances = signed_distance(mask, spacing=spacing)[0]
    assert np.isfinite(distances).all()
    np.testing.assert_array_equal(distances < 0, mask)
    assert np.abs(distances).min() >= min(spacing) * (1 - 1e-6)
    if name in ("empty", "full"):
        return
    np.testing.assert_allclose(distances, metric_reference(mask, spacing), rtol=1e-5)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing[::-1])
    maurer = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True))
    # Inside, Maurer's map measures to the mask's own border voxels (they are 0), ours to the nearest voxel outside.
    np.testing.assert_allclose(distances[~mask], maurer[~mask], rtol=1e-3)


@pytest.mark.parametrize("name", seven_masks().keys())
def test_dtc_is_finite_and_in_range(name):
    distances = signed_distance(seven_masks()[name], mode="dtc")
    assert np.isfinite(distances).all()
    assert distances.min() >= -1
    assert distances.max() <= 1


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_dtc_equals_the_published_definition(spatial_dims):
    for seed in range(60):
        mask = random_mask(seed, spatial_dims) if seed else np.zeros((5,) * spatial_dims, bool)
        expected = published_dtc(mask)
        distances = signed_distance(mask, mode="dtc")[0]
        np.testing.assert_allclose(distances, expected, atol=1e-6, err_msg=f"seed {seed}")
        np.testing.assert_array_equal(distances == 0, expected == 0, err_msg=f"seed {seed}")


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_metric_equals_two_transforms(spatial_dims):
    for seed in range(60):
        mask = random_mask(seed, spatial_dims)
        if mask.all() or not mask.any():
            continue
        spacing = np.random.default_rng(seed).uniform(0.3, 5, spatial_dims)
        np.testing.assert_allclose(
            signed_distance(mask, spacing=spacing)[0],
            metric_reference(mask, spacing),
            rtol=1e-5,
            err_msg=f"seed {seed}",
        )


masks = st.builds(random_mask, st.integers(0, 10_000), st.sampled_from([2, 3]))


@settings(deadline=None, max_examples=40)
@given(mask=masks, factor=st.floats(0.05, 20))
def test_scales_with_the_spacing(mask, factor):
    spacing = np.linspace(0.5, 2, mask.ndim)
    one, scaled = signed_distance(mask, spacing=spacing), signed_distance(mask, spacing=factor * spacing)
    np.testing.assert_allclose(scaled, factor * one, rtol=1e-5)


@settings(deadline=None, max_examples=40)
@given(mask=masks, axis=st.integers(0, 1), turns=st.integers(0, 3), mode=st.sampled_from(["metric", "dtc"]))
def test_flips_and_quarter_turns_commute_exactly(mask, axis, turns, mode):
    def moved(array, offset=0):
        return np.rot90(np.flip(array, axis + offset), turns, axes=(offset, offset + 1))

    np.testing.assert_array_equal(moved(signed_distance(mask, mode=mode), 1), signed_distance(moved(mask), mode=mode))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.int64, np.float16, np.float32, np.float64])
def test_any_dtype_and_order(dtype, order):
    label = np.asarray(box().astype(dtype), order=order)
    distances = signed_distance(label, spacing=(1, 2, 3))
    np.testing.assert_array_equal(distances, signed_distance(box(), spacing=(1, 2, 3)))
    assert distances[0].flags.c_contiguous == (order == "C")
    np.testing.assert_array_equal(label, box())


def test_strided_views():
    big = np.random.default_rng(0).random((20, 18, 16)) < 0.3
    view = big[::2, ::-1, 1:].transpose(1, 2, 0)
    np.testing.assert_array_equal(signed_distance(view), signed_distance(np.ascontiguousarray(view)))


def test_threads_do_not_matter():
    mask = random_mask(3, 3)
    assert available_threads() >= 1
    np.testing.assert_array_equal(signed_distance(mask, threads=1), signed_distance(mask, threads=4))


@pytest.mark.parametrize("bad", [0.5, -1, 2, 256, 255, np.nan, np.inf])
def test_refuses_labels(bad):
    label = np.zeros((4, 4))
    label[1, 2], label[0, 0] = bad, 1
    with pytest.raises(ValueError, match=f"integers 0 to 1, found {bad}"):
        signed_distance(label)


REFUSED = [
    ({"spacing": 0.0}, "positive and finite"),
    ({"spacing": (1.0, -1.0)}, "positive and finite"),
    ({"spacing": (1.0, float("nan"))}, "positive and finite"),
    ({"spacing": float("inf")}, "positive and finite"),
    ({"spacing": (1.0, 1.0, 1.0)}, "2 values, one per axis, got 3"),
    ({"mode": "euclid"}, "metric, dtc, got 'euclid'"),
    ({"num_classes": 0}, "at least 1"),
    ({"max_distance": 0.0}, "max_distance must be positive"),
    ({"max_distance": float("nan")}, "max_distance must be positive"),
    ({"normalize": True}, "max_distance, which is not given"),
    ({"mode": "dtc", "spacing": 1.0}, "do not apply"),
    ({"mode": "dtc", "max_distance": 5.0}, "do not apply"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_refuses_settings(options, message):
    with pytest.raises(ValueError, match=message):
        signed_distance(np.eye(4), **options)


@pytest.mark.parametrize("shape", [(4,), (1, 4, 4, 4), (0, 4)])
def test_refuses_shapes(shape):
    with pytest.raises(ValueError, match="2 or 3 axes and at least one voxel"):
        signed_distance(np.zeros(shape))


def test_check_spacing():
    assert check_spacing(None, 3) == (1.0, 1.0, 1.0)
    assert check_spacing(2, 2) == (2.0, 2.0)
    assert check_spacing(np.array([1.0, 2.0]), 2) == (1.0, 2.0)


def test_needs_neither_torch_nor_skimage():
    code = "import sys, transforms.euclidean_distance; sys.exit(bool({'torch', 'monai', 'skimage'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
