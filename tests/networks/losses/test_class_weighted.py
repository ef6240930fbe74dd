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


@pytest.mark.parametrize("weights", [None, [1.0, 5.0, 10.0, 20.0]])
@pytest.mark.parametrize("size", [(5, 4), (5, 4, 3)])
def test_ignored_voxels_as_in_torch(weights, size):
    logits, label = torch.randn(2, 4, *size), torch.randint(0, 4, (2, 1, *size))
    label[0, 0, :2] = 255
    weight = None if weights is None else torch.tensor(weights)
    expected = torch.nn.functional.cross_entropy(logits, label[:, 0], weight=weight, ignore_index=255)
    assert ClassWeightedLoss(weights, 255)(logits, label.float()).item() == pytest.approx(expected.item(), rel=1e-5)
    view = (label != 255).float()
    assert ClassWeightedLoss(weights)(logits, label * view.long(), view).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_nothing_to_count_is_zero_with_a_gradient_of_zeros():
    logits = torch.randn(1, 4, 3, 3, requires_grad=True)
    loss = ClassWeightedLoss([1.0, 5.0, 10.0, 20.0], 255)(logits, torch.full((1, 1, 3, 3), 255))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad.tolist() == torch.zeros(1, 4, 3, 3).tolist()


def test_extreme_logits_are_finite_in_half_precision():
    logits = torch.tensor([100.0, -100.0]).view(1, 2, 1, 1).to(torch.bfloat16).requires_grad_()
    loss = ClassWeightedLoss([1.0, 20.0], 255)(logits, torch.ones(1, 1, 1, 1))
    loss.backward()
    assert loss.item() == pytest.approx(200.0)
    assert torch.isfinite(logits.grad).all()


def test_a_label_of_no_class_is_refused_also_where_some_are_ignored():
    with pytest.raises((IndexError, ValueError, RuntimeError)):
        ClassWeightedLoss([1.0, 2.0], 255)(torch.zeros(1, 2, 1, 1), torch.full((1, 1, 1, 1), 2))
