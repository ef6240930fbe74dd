from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from transforms.rand_label_noise import KINDS, SINGLE_KINDS, RandLabelNoise, RandLabelNoised, draw_disturbed


def box(shape=(24, 24)) -> np.ndarray:
    label = np.zeros((1, *shape), np.uint8)
    label[(0, *(slice(6, 16),) * len(shape))] = 1
    label[(0, slice(6, 10), *(slice(6, 16),) * (len(shape) - 1))] = 2
    return label


@pytest.mark.parametrize("shape", [(24, 24), (24, 20), (24, 24, 20)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_instance_is_always_disturbed_alike(kind, shape):
    label = box(shape)
    before = label.copy()
    first, again = (RandLabelNoise(kind, 1.0, seed=3)(label, 7) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(label, before)
    assert (first != label).any()
    assert set(np.unique(first)) <= {0, 1, 2}
    other = [RandLabelNoise(kind, 1.0, seed=3)(label, index) for index in range(8, 14)]
    assert any((first != another).any() for another in other)


def test_the_seed_counts():
    noise = [RandLabelNoise("affine", 1.0, seed)(box(), 0) for seed in (0, 1)]
    assert (noise[0] != noise[1]).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_stays_empty_and_full_labels_do_no_harm(kind, value):
    img = np.full((1, 9, 8, 7), value, np.float32)
    out = RandLabelNoise(kind, 2.0)(img, 1)
    assert out.dtype == np.float32
    assert set(np.unique(out)) <= {0.0, value}


@pytest.mark.parametrize("kind", ["affine", "drop"])
def test_strength_zero_changes_nothing(kind):
    np.testing.assert_array_equal(RandLabelNoise(kind, 0.0)(box(), 0), box())


def test_roll_moves_every_voxel_and_loses_none():
    label = box()
    out = RandLabelNoise("roll", 0.0)(label, 0)  # no shift: only the swap of axes is left
    np.testing.assert_array_equal(out[0], label[0].T)
    out = RandLabelNoise("roll", 1.0)(label, 0)
    assert np.bincount(out.ravel()).tolist() == np.bincount(label.ravel()).tolist()
    rng = np.random.default_rng([0, 0])
    shifts = np.rint(10 * rng.standard_normal(2)).astype(int)
    np.testing.assert_array_equal(out[0], np.roll(label[0].T, shifts, (0, 1)))


def test_affine_shift_by_hand():
    """Only the shift acts: a matrix of zeros in the draw moves by 0.18 s n half arrays."""
    label = np.zeros((1, 40, 40), np.uint8)
    label[0, 15:25, 15:25] = 1

    class Drawn(np.random.Generator):
        def standard_normal(self, size):  # type: ignore[override]
            return np.zeros(size) if isinstance(size, tuple) else np.array([1.0, 0.0])

    from transforms.rand_label_noise import _affine

    moved = _affine(label[0], 0.5, Drawn(np.random.PCG64(0)))
    # The output at x shows the input at x + 0.09 * 20 = x + 1.8: the box moves 1.8 voxels down, 2 by nearest voxel.
    np.testing.assert_array_equal(moved, np.roll(label[0], -2, axis=0))


def test_morphology_erodes_and_dilates_by_the_reach():
    label = np.zeros((1, 21, 21), np.uint8)
    label[0, 5:16, 5:16] = 1
    sizes = {int(RandLabelNoise("morphology", 1.0)(label, index).sum()) for index in range(12)}
    assert min(sizes) < 11 * 11 < max(sizes)
    index = next(index for index in range(12) if not np.random.default_rng([0, index]).integers(2))
    rng = np.random.default_rng([0, index])
    rng.integers(2)
    reach = 1 + abs(rng.standard_normal())
    left = 11 - 2 * int(reach)  # voxels whose distance to the outside is greater than the reach
    assert RandLabelNoise("morphology", 1.0)(label, index).sum() == left**2


def test_dilation_takes_the_nearest_class():
    for index in range(20):
        out = RandLabelNoise("morphology", 1.0)(box(), index)
        if out.astype(bool).sum() > box().astype(bool).sum():
            assert out[0, 5, 10] == 2  # above the second class
            assert out[0, 16, 10] == 1
            return
    raise AssertionError("no dilation in twenty draws")


def test_drop_loses_the_share():
    label = box()
    out = RandLabelNoise("drop", 1.0)(label, 4)
    share = np.random.default_rng([0, 4]).uniform(0.5, 1.0)
    assert (out > 0).sum() == 100 - round(share * 100)
    np.testing.assert_array_equal(out[out > 0], label[out > 0])


def test_mixed_is_each_of_the_four():
    kinds = {SINGLE_KINDS[int(np.random.default_rng([0, index]).integers(4))] for index in range(30)}
    assert kinds == set(SINGLE_KINDS)


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor, MetaTensor])
def test_the_same_kind_comes_back(convert):
    img = convert(box())
    out = RandLabelNoise("affine")(img, 2)
    assert type(out) is type(img)
    assert out.dtype == img.dtype
    np.testing.assert_array_equal(np.asarray(out), RandLabelNoise("affine")(box(), 2))


def test_only_the_chosen_instances_of_a_dictionary_are_disturbed():
    noise = RandLabelNoised("label", instances=[3], kind="drop", seed=1)
    data = {"label": box(), "image": box()}
    kept, spoilt = (noise({**data, "instance_index": index}) for index in (2, 3))
    np.testing.assert_array_equal(kept["label"], box())
    np.testing.assert_array_equal(spoilt["label"], RandLabelNoise("drop", seed=1)(box(), 3))
    np.testing.assert_array_equal(spoilt["image"], box())
    everyone = RandLabelNoised("label", kind="drop", seed=1)({**data, "instance_index": 3})
    np.testing.assert_array_equal(everyone["label"], spoilt["label"])


def test_the_share_of_disturbed_instances():
    numbers = list(range(10, 30))
    some, more = (draw_disturbed(numbers, share, seed=0) for share in (0.3, 0.6))
    assert (len(some), len(more)) == (6, 12)
    assert some < more <= set(numbers)
    assert draw_disturbed(numbers, 0.3, seed=0) == some != draw_disturbed(numbers, 0.3, seed=1)
    assert draw_disturbed(numbers, 0.0, 0) == draw_disturbed([], 0.5, 0) == frozenset()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RandLabelNoise("shear"), "kind must be one of roll, affine, morphology, drop, mixed, got shear"),
        (lambda: RandLabelNoise(strength=-1), "strength must not be negative"),
        (lambda: RandLabelNoise()(np.zeros((2, 4, 4))), "img must have shape"),
        (lambda: draw_disturbed([1], 1.5, 0), "share must lie between 0 and 1"),
    ],
)
def test_what_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
