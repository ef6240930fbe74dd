"""SkeletonRecallLoss: by hand, the tube, and what the loss does and does not see."""

import pytest
import torch

from networks.losses.skeleton_recall import SkeletonRecallLoss, skeleton_tube

LIMIT = 100.0


def test_by_hand():
    """A line of five voxels is its own skeleton, and the tube is cut to it: found 5 * 1/2."""
    labels = torch.zeros(1, 1, 5, 7)
    labels[..., 2, 1:6] = 1
    loss = SkeletonRecallLoss()(torch.zeros(1, 1, 5, 7), labels)
    assert loss.item() == pytest.approx(1 - (2.5 + 1) / (5 + 1), abs=1e-6)


def test_classes_share_one_skeleton():
    """Three voxels of one class, two of the other, and 1/3 of each found."""
    labels = torch.zeros(1, 1, 5, 7)
    labels[..., 2, 1:4], labels[..., 2, 4:6] = 1, 2
    loss = SkeletonRecallLoss()(torch.zeros(1, 2, 5, 7), labels)
    assert loss.item() == pytest.approx(((1 - 2 / 4) + (1 - (2 / 3 + 1) / 3)) / 2, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 9, 40), (1, 9, 9, 40)])
def test_tube_is_the_middle_of_a_thick_bar(shape):
    """Far from the ends: the axis alone, then with the voxels one step away."""
    labels = torch.zeros(shape, dtype=torch.long)
    inner = tuple(slice(1, 8) for _ in shape[1:-1])  # seven voxels thick
    labels[(0, *inner)] = 3
    for radius, voxels in ((0, 1), (1, 3 if len(shape) == 3 else 5)):
        slab = skeleton_tube(labels, radius)[0, ..., 20]
        assert set(slab.flatten().tolist()) == {0, 3}
        assert int((slab > 0).sum()) == voxels
        assert slab[(4,) * (len(shape) - 2)] == 3


def test_tube_stays_inside_the_label():
    labels = torch.zeros(1, 12, 12, dtype=torch.long)
    labels[0, 4:6, 2:10] = 1
    tube = skeleton_tube(labels, 5)
    assert torch.equal(tube, labels)


def test_does_not_see_false_positives():
    labels = torch.zeros(1, 1, 9, 12)
    labels[..., 3:6, :] = 1
    everything = torch.full((1, 1, 9, 12), LIMIT)
    assert SkeletonRecallLoss()(everything, labels).item() == pytest.approx(0, abs=1e-6)


def test_a_break_costs_its_share():
    labels = torch.zeros(1, 1, 9, 13)
    labels[..., 4, :] = 1
    logits = LIMIT * (2 * labels - 1)
    logits[..., 6] = -LIMIT
    assert SkeletonRecallLoss()(logits, labels).item() == pytest.approx(1 - (12 + 1) / (13 + 1), abs=1e-6)


def test_sums_are_pooled_over_the_batch():
    labels = torch.zeros(2, 1, 5, 7)
    labels[0, :, 2, 1:6] = 1
    loss = SkeletonRecallLoss()(torch.zeros(2, 1, 5, 7), labels)
    assert loss.item() == pytest.approx(1 - (2.5 + 1) / (5 + 1), abs=1e-6)


@pytest.mark.parametrize("options", [{"radius": -1}, {"smooth": 0.0}])
def test_refuses_options(options):
    with pytest.raises(ValueError, match="radius must not be negative and smooth be positive"):
        SkeletonRecallLoss(**options)
