"""RandAffineBSpline: the spline against ITK, the conventions of the grid, and that both parts compose."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from monai.data import MetaTensor
from scipy.ndimage import map_coordinates

from transforms.rand_affine_bspline import (
    RandAffineBSpline,
    RandAffineBSplined,
    bspline_field,
    centre_coordinates,
)

SHAPES = [(9, 12), (7, 9, 8)]


def smooth_scan(shape):
    """A scan that linear interpolation follows closely, in two channels."""
    places = np.meshgrid(*(np.linspace(0, 2.5, size) for size in shape), indexing="ij")
    wave = np.sin(sum(places)) + places[0]
    return np.stack([wave, 3 - wave]).astype(np.float32)


def itk_displacements(control, points):
    """Displace ``points`` (N, d) by ITK's transform with our coefficients; its first axis varies fastest."""
    dims = len(control)
    transform = sitk.BSplineTransform(dims, 3)
    transform.SetTransformDomainOrigin([-1.0] * dims)
    transform.SetTransformDomainPhysicalDimensions([2.0] * dims)
    transform.SetTransformDomainDirection(np.eye(dims).ravel())
    transform.SetTransformDomainMeshSize([count - 3 for count in control.shape[1:]])
    transform.SetParameters([float(value) for part in control for value in part.ravel(order="F")])
    return np.array([transform.TransformPoint([float(x) for x in point]) for point in points]) - points


@pytest.mark.parametrize(("shape", "counts"), [((9, 12), (6, 5)), ((7, 9, 8), (6, 4, 7))])
def test_spline_equals_that_of_itk(shape, counts):
    control = np.random.default_rng(0).normal(size=(len(shape), *counts))
    axes = [centre_coordinates(size) for size in shape]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(shape))
    expected = itk_displacements(control, points).T.reshape(len(shape), *shape)
    np.testing.assert_allclose(bspline_field(control, axes), expected, atol=1e-12)


def test_spline_by_hand():
    """One control point of 1 among six: 4/6 above it, 1/6 above its neighbours. Knots are 2/3 apart from -1 on, and
    control point 2 stands at the second of them."""
    control = np.zeros((1, 6))
    control[0, 2] = 1
    np.testing.assert_allclose(bspline_field(control, [np.array([-1, -1 / 3, 1 / 3, 1])])[0], [1 / 6, 4 / 6, 1 / 6, 0])


def test_equal_control_points_shift_everything():
    field = bspline_field(np.full((2, 4, 9), 0.25), [np.linspace(-1, 1, 11), np.linspace(-1, 1, 5)])
    np.testing.assert_allclose(field, 0.25)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_shift_of_exactly_one_voxel(shape, mode):
    """A displacement of 2 / size along one axis shows the next voxel along that axis and no other."""
    scan = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    for axis, size in enumerate(shape):
        warp = RandAffineBSpline(mode=mode)
        warp.control = np.zeros((len(shape), *[6] * len(shape)))
        warp.control[axis] = 2 / size
        shifted = warp(scan, randomize=False)
        expected = np.take(scan, [*range(1, size), size - 1], axis=axis + 1)
        np.testing.assert_allclose(shifted, expected, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_both_parts_compose(shape):
    """The sampled places are A (x + u(x)), and the values those of scipy at these places."""
    scan = smooth_scan(shape)
    warp = RandAffineBSpline(affine_prob=1, bspline_prob=1).set_random_state(3)
    result = warp(scan)
    axes = [centre_coordinates(size) for size in shape]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(shape))
    places = (x + itk_displacements(warp.control, x)) @ warp.matrix.T
    np.testing.assert_allclose(warp.sampled_places(shape).reshape(len(shape), -1).T, places, atol=1e-12)
    indices = ((places + 1) * shape - 1) / 2
    expected = [map_coordinates(part, indices.T, order=1, mode="nearest").reshape(shape) for part in scan]
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_composition_is_the_affine_map_followed_by_the_deformation():
    """Two resamplings, one after the other, give what the one resampling gives, up to their blur."""
    scan = smooth_scan((60, 70))
    both = RandAffineBSpline(affine_prob=1, bspline_prob=1, affine_strength=0.1).set_random_state(1)
    at_once = both(scan)
    affine, bspline = RandAffineBSpline(), RandAffineBSpline()
    affine.matrix, bspline.control = both.matrix, both.control
    one_by_one = bspline(affine(scan, randomize=False), randomize=False)
    inner = np.s_[:, 12:-12, 12:-12]  # beyond the border, the first resampling has nothing to show to the second
    np.testing.assert_allclose(at_once[inner], one_by_one[inner], atol=5e-3)
    assert np.abs(at_once[inner] - affine(scan, randomize=False)[inner]).max() > 0.02
    assert np.abs(at_once[inner] - bspline(scan, randomize=False)[inner]).max() > 0.02


def test_probabilities_and_strengths():
    warp = RandAffineBSpline().set_random_state(0)
    matrices, controls = [], []
    for _ in range(600):
        warp.randomize(3)
        matrices += [] if warp.matrix is None else [warp.matrix]
        controls += [] if warp.control is None else [warp.control]
    assert 230 < len(matrices) < 310
    assert 550 < len(controls) < 590
    assert np.std(np.array(matrices) - np.eye(3)) == pytest.approx(0.2, rel=0.05)
    assert np.std(controls) == pytest.approx(0.03, rel=0.02)
    assert controls[0].shape == (3, 6, 6, 6)


def test_nothing_fires_and_nothing_changes():
    scan = smooth_scan((6, 7))
    assert RandAffineBSpline(affine_prob=0, bspline_prob=0)(scan) is scan


def kinds():
    return {"numpy": np.asarray, "torch": torch.as_tensor, "meta": MetaTensor}


@pytest.mark.parametrize("kind", kinds().values(), ids=kinds().keys())
@pytest.mark.parametrize("shape", SHAPES)
def test_same_kind_back(kind, shape):
    label = (np.random.default_rng(0).random((1, *shape)) > 0.5).astype(np.int64) * 3
    warp = RandAffineBSpline(mode="nearest").set_random_state(0)
    result = warp(kind(label))
    assert type(result) is type(kind(label))
    assert result.dtype == kind(label).dtype
    assert set(np.unique(np.asarray(result))) <= {0, 3}
    np.testing.assert_array_equal(np.asarray(result), RandAffineBSpline(mode="nearest").set_random_state(0)(label))


def test_upscaling_keeps_the_field_of_view():
    """Without a deformation it is torch's own interpolation, and the affine leaves the corners where they were."""
    scan = MetaTensor(smooth_scan((6, 8, 5)), affine=torch.tensor(np.diag([2.0, 3, 4, 1])))
    warp = RandAffineBSpline(affine_prob=0, bspline_prob=0, upscale=1.5)
    large = warp(scan)
    assert tuple(large.shape) == (2, 9, 12, 8)
    expected = torch.nn.functional.interpolate(
        scan.as_tensor()[None], (9, 12, 8), mode="trilinear", align_corners=False
    )[0]
    torch.testing.assert_close(large.as_tensor(), expected)
    for corner in ((-0.5, -0.5, -0.5), (5.5, 7.5, 4.5)):
        moved = [(value + 0.5) * new / old - 0.5 for value, new, old in zip(corner, (9, 12, 8), (6, 8, 5), strict=True)]
        here = scan.affine @ torch.tensor([*corner, 1], dtype=torch.float64)
        there = large.affine @ torch.tensor([*moved, 1], dtype=torch.float64)
        torch.testing.assert_close(here, there)


def test_dictionary_draws_once_for_all_keys():
    scan = smooth_scan((20, 22))
    label = (scan[:1] > 1).astype(np.uint8)
    arguments = {"affine_prob": 1.0, "bspline_prob": 1.0, "upscale": 2.0}
    warpd = RandAffineBSplined(["image", "label", "absent"], mode=["bilinear", "nearest", "nearest"], **arguments,
                               allow_missing_keys=True).set_random_state(5)  # fmt: skip
    result = warpd({"image": scan, "label": label, "name": "case"})
    warp = RandAffineBSpline(**arguments).set_random_state(state=np.random.RandomState(5))
    np.testing.assert_array_equal(result["image"], warp(scan))
    np.testing.assert_array_equal(result["label"], warp(label, mode="nearest", randomize=False))
    assert result["label"].dtype == np.uint8
    assert result["name"] == "case"
    again = warpd({"image": scan, "label": label})
    assert np.abs(again["image"] - result["image"]).max() > 0.01
    warpd.set_random_state(5)
    np.testing.assert_array_equal(warpd({"image": scan, "label": label})["image"], result["image"])


REFUSED = [
    ({"affine_prob": 1.5}, "affine_prob must lie between 0 and 1, got 1.5"),
    ({"bspline_strength": -1}, "bspline_strength must not be negative"),
    ({"control_points": (6, 3)}, "control_points must be at least 4"),
    ({"upscale": 0}, "upscale must be positive"),
    ({"mode": "cubic"}, "mode must be one of bilinear, nearest, got 'cubic'"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        RandAffineBSpline(**arguments)


def test_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"must have shape \(C, H, W\[, D\]\)"):
        RandAffineBSpline()(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="share one spatial shape"):
        RandAffineBSplined(["a", "b"])({"a": np.zeros((1, 4, 4)), "b": np.zeros((1, 4, 5))})
    with pytest.raises(ValueError, match="at least 4 control points"):
        bspline_field(np.zeros((1, 3)), [np.zeros(2)])
