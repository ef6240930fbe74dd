"""Hand-computed cases, parity with independent implementations, and properties of the surface distances."""

from __future__ import annotations

import math
import warnings
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from pipelines.metrics import surface_distances
from pipelines.metrics.overlap import STATES, count_overlap
from pipelines.metrics.surface_distances import compute_surface_distances
from transforms.io.input_error import InputError

TOLERANCE_MM = 1.25
SPACINGS_2D = [(1.0, 1.0), (0.7, 0.7), (0.5, 2.0), (0.31, 0.83)]
SPACINGS_3D = [(1.0, 1.0, 1.0), (0.625, 0.625, 0.625), (0.8, 0.8, 2.5), (0.37, 1.1, 3.0)]


# --- hand-computed ---


def test_two_voxels_two_apart():
    # One voxel each, two steps of 0.5 mm apart: every distance is 1 mm.
    distances = compute_surface_distances([[1, 0, 0, 0]], [[0, 0, 1, 0]], spacing_mm=(9.0, 0.5))
    assert (distances.asd_medpy, distances.assd, distances.hd, distances.hd95, distances.hd95_directed) == (1,) * 5
    assert distances.nsd(0.99) == 0
    assert distances.nsd(1.0) == 1


def test_two_squares_shifted_by_one():
    # 3 x 3 squares, the second one column to the right. Surface: the 8 outer voxels of each.
    #   P P P .      . R R R      Of the prediction's 8, the left column (3) is 1 away; the other two of the top and of
    #   P - P .      . R - R      the bottom row lie on R's surface (4 times 0); the middle of the right column lies on
    #   P P P .      . R R R      R's centre, 1 away from its surface. So 4 times 0 and 4 times 1, each way.
    pred, reference = np.zeros((5, 6), bool), np.zeros((5, 6), bool)
    pred[1:4, 1:4] = True
    reference[1:4, 2:5] = True
    distances = compute_surface_distances(pred, reference, spacing_mm=1)
    assert distances.pred_to_reference.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert distances.reference_to_pred.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert (distances.asd_medpy, distances.assd, distances.hd95) == (0.5, 0.5, 1)
    assert (distances.nsd(0), distances.nsd(1)) == (0.5, 1)


def test_one_way_average_does_not_see_what_was_missed():
    # Prediction: voxel 0. Reference: voxels 0 and 10. One way: 0. Back: 0 and 10. Pooled: (0 + 0 + 10) / 3.
    reference = np.zeros(11)
    reference[[0, 10]] = 1
    distances = compute_surface_distances(np.eye(1, 11)[0], reference, spacing_mm=3.0)
    assert distances.asd_medpy == 0
    assert distances.assd == pytest.approx(30 / 3)
    assert distances.hd == 30
    assert distances.hd95 == pytest.approx(27)  # pooled 0, 0, 30: rank 0.95 * 2 = 1.9
    assert distances.hd95_directed == pytest.approx(28.5)  # of 0, 30: rank 0.95
    assert distances.nsd(1) == pytest.approx(2 / 3)


def test_the_edge_of_the_image_is_a_surface():
    full = np.ones((4, 4))
    hollow = full.copy()
    hollow[1:3, 1:3] = 0
    # Both have the 12 border voxels as surface: nothing between them, though 4 of 16 voxels differ.
    assert compute_surface_distances(full, hollow, 1).hd == 0
    assert count_overlap(full, hollow).dice == pytest.approx(24 / 28)


@pytest.mark.parametrize(
    ("pred", "reference", "state", "nsd"),
    [(0, 0, "both_empty", math.nan), (0, 1, "missed", 0.0), (1, 0, "spurious", 0.0)],
)
def test_empty_masks(pred, reference, state, nsd):
    distances = compute_surface_distances(np.full((3, 3, 3), pred), np.full((3, 3, 3), reference), 1.0)
    assert distances.state == state
    assert distances.nsd(1.0) == pytest.approx(nsd, nan_ok=True)
    for name in ("asd_medpy", "assd", "hd", "hd95", "hd95_directed"):
        assert math.isnan(getattr(distances, name)), name
    assert distances.pred_to_reference.size == distances.reference_to_pred.size == 0


def test_a_distance_equal_to_the_tolerance_is_within_it():
    distances = compute_surface_distances([1, 0, 0, 0], [0, 0, 0, 1], spacing_mm=0.1)  # 3 * 0.1 > 0.3 in doubles
    assert distances.nsd(0.3) == 1


@pytest.mark.parametrize(
    ("pred", "reference", "spacing", "message"),
    [
        (np.zeros((2, 2)), np.zeros((2, 3)), 1.0, r"prediction: has shape \(2, 2\), but the reference has \(2, 3\)"),
        (np.full((2, 2), 255), np.zeros((2, 2)), 1.0, "prediction: is no mask: it holds 255"),
        (np.zeros((1, 2, 2, 2)), np.zeros((1, 2, 2, 2)), 1.0, "prediction: has 4 axes"),
        (np.ones((2, 2)), np.ones((2, 2)), (1.0, 1.0, 1.0), "spacing: has 3 numbers, but the masks have 2 axes"),
        (np.ones((2, 2)), np.ones((2, 2)), (1.0, 0.0), "spacing: must be finite and above 0"),
        (np.ones((2, 2)), np.ones((2, 2)), (1.0, math.nan), "spacing: must be finite and above 0"),
    ],
)
def test_bad_input_is_refused(pred, reference, spacing, message):
    with pytest.raises(InputError, match=message):
        compute_surface_distances(pred, reference, spacing)


@pytest.mark.parametrize("tolerance", [-1.0, math.nan, math.inf])
def test_bad_tolerance_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance must be a finite number >= 0"):
        compute_surface_distances([1], [1], 1.0).nsd(tolerance)


# --- parity ---


def draw_mask(generator: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """One mask of a named kind: solid, speckled, thin, touching the border, or nothing."""
    if kind == "blob":
        field = ndimage.gaussian_filter(generator.normal(size=shape), 2)
        return field > np.quantile(field, generator.uniform(0.6, 0.95))
    if kind == "box":
        low = [int(generator.integers(0, n - 2)) for n in shape]
        high = [int(generator.integers(a + 1, n + 1)) for a, n in zip(low, shape, strict=True)]
        mask = np.zeros(shape, bool)
        mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
        return mask
    if kind == "thin":  # a line or sheet one voxel thick
        mask = np.zeros(shape, bool)
        axis = int(generator.integers(len(shape)))
        mask[(slice(None),) * axis + (int(generator.integers(shape[axis])),)] = True
        return mask
    if kind == "speckle":
        return generator.random(shape) < 0.3
    if kind == "voxel":
        mask = np.zeros(shape, bool)
        mask[tuple(int(generator.integers(n)) for n in shape)] = True
        return mask
    return np.full(shape, kind == "full")


@cache
def mask_pairs() -> tuple[tuple[np.ndarray, np.ndarray, tuple[float, ...]], ...]:
    """200 seeded pairs in 2D and 3D, of several kinds, sizes and spacings."""
    generator = np.random.default_rng(34)
    kinds = ["blob", "blob", "box", "box", "thin", "speckle", "voxel", "full", "empty"]
    pairs = []
    for index in range(200):
        axes = 2 + index % 2
        shape = tuple(int(n) for n in generator.integers(4, 40 if axes == 2 else 18, size=axes))
        spacing = (SPACINGS_2D if axes == 2 else SPACINGS_3D)[(index // 2) % 4]
        pred = draw_mask(generator, shape, kinds[int(generator.integers(len(kinds)))])
        if index % 3:  # a prediction as models make them: the reference a little moved
            reference = np.roll(pred, generator.integers(-2, 3, size=axes), axis=tuple(range(axes)))
        else:
            reference = draw_mask(generator, shape, kinds[int(generator.integers(len(kinds)))])
        pairs.append((pred, reference, spacing))
    return tuple(pairs)


def both_present_pairs():
    return [pair for pair in mask_pairs() if pair[0].any() and pair[1].any()]


def brute_surface(mask: np.ndarray) -> np.ndarray:
    return mask ^ ndimage.binary_erosion(mask)


def close(ours: float, theirs: float) -> bool:
    return math.isclose(ours, theirs, rel_tol=0, abs_tol=1e-4)


def test_the_pairs_cover_what_they_should():
    states = [count_overlap(pred, reference).state for pred, reference, _ in mask_pairs()]
    assert len(states) == 200
    assert all(states.count(state) >= 3 for state in STATES)
    # Both ways of computing are taken often.
    sparse = [
        (brute_surface(p).sum() + brute_surface(r).sum()) <= surface_distances._SPARSE_SURFACE * p.size
        for p, r, _ in both_present_pairs()
    ]
    assert 20 <= sum(sparse) <= len(sparse) - 20


def test_parity_with_brute_force():
    for pred, reference, spacing in both_present_pairs():
        ours = compute_surface_distances(pred, reference, spacing, threads=1)
        table = cdist(np.argwhere(brute_surface(pred)) * spacing, np.argwhere(brute_surface(reference)) * spacing)
        there, back = table.min(axis=1), table.min(axis=0)
        np.testing.assert_allclose(ours.pred_to_reference, np.sort(there), rtol=0, atol=1e-4)
        np.testing.assert_allclose(ours.reference_to_pred, np.sort(back), rtol=0, atol=1e-4)
        both = np.concatenate([there, back])
        assert close(ours.asd_medpy, there.mean())
        assert close(ours.assd, both.mean())
        assert close(ours.hd95, np.percentile(both, 95))
        for tolerance in (0.9, 1.3, 2.6):
            assert ours.nsd(tolerance) == np.count_nonzero(both <= tolerance * (1 + 1e-9)) / both.size


@pytest.mark.parametrize("share", [0.0, 1.0], ids=["distance map", "tree"])
def test_both_ways_of_computing_agree_with_brute_force(monkeypatch, share):
    monkeypatch.setattr(surface_distances, "_SPARSE_SURFACE", share * 2)
    for pred, reference, spacing in both_present_pairs()[::3]:
        ours = compute_surface_distances(pred, reference, spacing, threads=2)
        table = cdist(np.argwhere(brute_surface(pred)) * spacing, np.argwhere(brute_surface(reference)) * spacing)
        np.testing.assert_allclose(ours.pred_to_reference, np.sort(table.min(axis=1)), rtol=0, atol=1e-4)


def test_parity_with_simpleitk():
    import SimpleITK as sitk  # noqa: N813 - the name it goes by

    overlap, hausdorff = sitk.LabelOverlapMeasuresImageFilter(), sitk.HausdorffDistanceImageFilter()
    overlap.SetNumberOfThreads(1)
    hausdorff.SetNumberOfThreads(1)
    for pred, reference, spacing in both_present_pairs():
        images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (pred, reference)]
        overlap.Execute(*images)
        counts = count_overlap(pred, reference)
        assert counts.dice == pytest.approx(overlap.GetDiceCoefficient(), abs=1e-6)
        assert counts.jaccard == pytest.approx(overlap.GetJaccardCoefficient(), abs=1e-6)
        # ITK measures between all voxels of two objects; given the surfaces, it measures between those.
        surfaces = [sitk.GetImageFromArray(brute_surface(mask).astype(np.uint8)) for mask in (pred, reference)]
        for surface in surfaces:
            surface.SetSpacing(spacing[::-1])
        hausdorff.Execute(*surfaces)
        ours = compute_surface_distances(pred, reference, spacing, threads=1)
        assert close(ours.hd, hausdorff.GetHausdorffDistance())


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_parity_with_monai():
    import torch
    from monai.metrics import (
        compute_average_surface_distance,
        compute_dice,
        compute_hausdorff_distance,
        compute_iou,
        compute_surface_dice,
    )

    for pred, reference, spacing in both_present_pairs():
        p, r = (torch.from_numpy(mask)[None, None].float() for mask in (pred, reference))  # (1, 1, H, W[, D])
        counts, ours = count_overlap(pred, reference), compute_surface_distances(pred, reference, spacing, threads=1)
        options = {"include_background": True, "spacing": spacing}
        assert counts.dice == pytest.approx(compute_dice(p, r).item(), abs=1e-6)
        assert counts.jaccard == pytest.approx(compute_iou(p, r).item(), abs=1e-6)
        assert close(ours.asd_medpy, compute_average_surface_distance(p, r, **options).item())
        assert close(ours.assd, compute_average_surface_distance(p, r, symmetric=True, **options).item())
        assert close(ours.hd95_directed, compute_hausdorff_distance(p, r, percentile=95, **options).item())
        assert close(ours.nsd(TOLERANCE_MM), compute_surface_dice(p, r, [TOLERANCE_MM], **options).item())


@pytest.mark.filterwarnings("ignore")
def test_area_weighted_distances_are_near_but_not_the_same():
    """DeepMind's package walks the faces between voxels and weighs by area: another definition, so only a bound."""
    surface_distance = pytest.importorskip("surface_distance")
    grid = np.indices((32, 32, 32)).astype(float)
    spacing = (0.8, 0.8, 1.5)
    diagonal = math.hypot(*spacing)
    for radius, shift in [(9.0, 2), (12.0, 1), (6.0, 5)]:
        pred = ((grid - 15) ** 2).sum(axis=0) <= radius**2
        reference = np.roll(pred, shift, axis=2)
        ours = compute_surface_distances(pred, reference, spacing)
        theirs = surface_distance.compute_surface_distances(reference, pred, spacing)
        one_way = surface_distance.compute_average_surface_distance(theirs)[1]
        assert abs(ours.asd_medpy - one_way) < diagonal / 2
        assert abs(ours.hd95_directed - surface_distance.compute_robust_hausdorff(theirs, 95)) < diagonal / 2
        assert abs(ours.nsd(1.0) - surface_distance.compute_surface_dice_at_tolerance(theirs, 1.0)) < 0.25


# --- properties ---


@st.composite
def drawn_pair(draw):
    axes = draw(st.sampled_from([2, 3]))
    shape = tuple(draw(st.integers(4, 12)) for _ in range(axes))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["blob", "box", "thin", "speckle"]))
    return draw_mask(generator, shape, kind), draw_mask(generator, shape, draw(st.sampled_from(["blob", "box", kind])))


QUICK = settings(max_examples=60, deadline=None, derandomize=True)


def numbers(distances):
    names = ("asd_medpy", "assd", "hd", "hd95", "hd95_directed")
    return [getattr(distances, name) for name in names]


@QUICK
@given(drawn_pair(), st.data())
def test_flipping_and_transposing_changes_nothing(pair, data):
    """To the last bit, when the squares of the spacing are exact numbers (whole, half or quarter mm)."""
    pred, reference = pair
    spacing = [data.draw(st.sampled_from([0.25, 0.5, 1.0, 2.0])) for _ in pred.shape]
    axes = data.draw(st.lists(st.integers(0, pred.ndim - 1), unique=True))
    order = data.draw(st.permutations(range(pred.ndim)))
    straight = compute_surface_distances(pred, reference, spacing)
    turned = compute_surface_distances(
        np.flip(pred, axes).transpose(order), np.flip(reference, axes).transpose(order), [spacing[k] for k in order]
    )
    assert numbers(turned) == numbers(straight)
    assert turned.nsd(1.0) == straight.nsd(1.0)


@QUICK
@given(drawn_pair(), st.integers(0, 1))
def test_flipping_with_an_uneven_spacing_changes_no_more_than_rounding(pair, axis):
    pred, reference = pair
    spacing = [0.31, 0.83, 1.7][: pred.ndim]
    straight = compute_surface_distances(pred, reference, spacing)
    flipped = compute_surface_distances(np.flip(pred, axis), np.flip(reference, axis), spacing)
    np.testing.assert_allclose(numbers(flipped), numbers(straight), rtol=1e-6)


@QUICK
@given(drawn_pair(), st.floats(0.01, 100))
def test_scaling_the_spacing_scales_the_distances(pair, factor):
    pred, reference = pair
    spacing = np.array([0.7, 1.3, 2.1][: pred.ndim])
    once = compute_surface_distances(pred, reference, spacing)
    scaled = compute_surface_distances(pred, reference, factor * spacing)
    np.testing.assert_allclose(numbers(scaled), factor * np.array(numbers(once)), rtol=1e-6)
    assert scaled.nsd(factor * 1.17) == once.nsd(1.17)


@QUICK
@given(drawn_pair())
def test_swapping_the_masks(pair):
    pred, reference = pair
    one, other = compute_surface_distances(pred, reference, 1.0), compute_surface_distances(reference, pred, 1.0)
    np.testing.assert_array_equal(one.pred_to_reference, other.reference_to_pred)
    assert numbers(one)[1:] == pytest.approx(numbers(other)[1:], rel=1e-12)
    assert one.nsd(1.5) == other.nsd(1.5)
    assert count_overlap(pred, reference).dice == count_overlap(reference, pred).dice


@QUICK
@given(drawn_pair())
def test_a_mask_has_no_distance_to_itself(pair):
    pred, _ = pair
    assert numbers(compute_surface_distances(pred, pred, 1.0)) == [0] * 5


def test_the_image_around_the_masks_does_not_matter():
    pred, reference, _ = both_present_pairs()[1]
    around = [np.pad(mask, 30) for mask in (pred, reference)]
    assert numbers(compute_surface_distances(*around, 1.0)) == numbers(compute_surface_distances(pred, reference, 1.0))


def test_inputs_are_left_alone_and_any_memory_order_will_do():
    pred, reference, spacing = both_present_pairs()[3]
    before = pred.copy(), reference.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = compute_surface_distances(pred, reference, spacing)
        fortran = compute_surface_distances(np.asfortranarray(pred), reference.astype(np.float32), spacing)
    assert numbers(plain) == numbers(fortran)
    np.testing.assert_array_equal(pred, before[0])
    np.testing.assert_array_equal(reference, before[1])
