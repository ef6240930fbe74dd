from __future__ import annotations

import math

import pytest
import torch

from networks.losses.class_weighted import ClassWeightedLoss, class_weights


def test_weights_by_hand():
    # 1024^-0.35 = 2^-3.5 = 0.0883883, 1^-0.35 = 1; their mean is 0.5441942.
    assert class_weights([1024, 1]).tolist() == pytest.approx([0.0883883 / 0.5441942, 1 / 0.5441942], rel=1e-6)
    assert class_weights([5, 7], power=0.0).tolist() == [1.0, 1.0]


def test_a_class_without_voxels_has_no_part():
    assert class_weights([1024, 0, 1]).tolist() == pytest.approx([0.0883883 / 0.5441942, 0, 1 / 0.5441942], rel=1e-6)
    with pytest.raises(ValueError, match="no class has a voxel"):
        class_weights([0, 0])


def test_the_loss_by_hand():
    # Two voxels of probability 3/4 and 1/4 for their labels 1 and 0, which weigh 1 and 3: a weighted mean.
    logits = torch.tensor([[0.0, 0.0], [math.log(3)] * 2]).view(1, 2, 2)
    label = torch.tensor([[[1.0, 0.0]]])
    expected = -(math.log(0.75) + 3 * math.log(0.25)) / 4
    assert ClassWeightedLoss([3.0, 1.0])(logits, label).item() == pytest.approx(expected, rel=1e-6)
    plain = -(math.log(0.75) + math.log(0.25)) / 2
    assert ClassWeightedLoss()(logits, label).item() == pytest.approx(plain, rel=1e-6)


def test_a_label_without_channel_is_refused():
    with pytest.raises(ValueError, match="target must have shape"):
        ClassWeightedLoss()(torch.zeros(1, 2, 3), torch.zeros(1, 3))
