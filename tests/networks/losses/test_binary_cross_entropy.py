"""BinaryCrossEntropyLoss: by hand, and against torch."""

import math

import pytest
import torch
from torch.nn import functional as F

from networks.losses.binary_cross_entropy import BinaryCrossEntropyLoss
from networks.losses.cross_entropy import CrossEntropyLoss

LN3 = math.log(3)


@pytest.mark.parametrize(
    ("labels", "pos_weight", "expected"),
    [
        ([1, 0], 1.0, (math.log(4) + math.log(4 / 3)) / 2),
        ([1, 0], 8.0, (8 * math.log(4) + math.log(4 / 3)) / 2),  # over the two voxels, not over a weight of nine
        ([1, 1], 8.0, 8 * math.log(4)),
    ],
)
def test_by_hand(labels, pos_weight, expected):
    logits = torch.full((1, 1, 1, 2), -LN3)
    loss = BinaryCrossEntropyLoss(pos_weight)(logits, torch.tensor(labels).view(1, 1, 1, 2))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", [(6, 5), (6, 5, 4)])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_parity_with_torch(size, reduction):
    logits, labels = 5 * torch.randn(2, 1, *size), torch.randint(0, 2, (2, 1, *size))
    expected = F.binary_cross_entropy_with_logits(
        logits.double(), labels.double(), pos_weight=torch.tensor(8.0).double(), reduction=reduction
    )
    loss = BinaryCrossEntropyLoss(8.0, reduction)(logits, labels)
    assert loss.shape == expected.shape
    assert torch.allclose(loss.double(), expected, rtol=1e-5, atol=1e-6)


def test_without_weight_it_is_the_cross_entropy():
    logits, labels = torch.randn(2, 1, 6, 5), torch.randint(0, 2, (2, 1, 6, 5))
    assert BinaryCrossEntropyLoss()(logits, labels).item() == pytest.approx(CrossEntropyLoss()(logits, labels).item())


def test_weighs_the_gradient_of_the_foreground_alone():
    logits = torch.zeros(1, 1, 1, 2, requires_grad=True)
    BinaryCrossEntropyLoss(8.0)(logits, torch.tensor([[[[1, 0]]]])).backward()
    assert logits.grad.flatten().tolist() == [-8 * 0.5 / 2, 0.5 / 2]


def test_refuses_several_classes():
    with pytest.raises(ValueError, match="one class wants one logit, got 2"):
        BinaryCrossEntropyLoss()(torch.zeros(1, 2, 2, 2), torch.zeros(1, 1, 2, 2))


@pytest.mark.parametrize("pos_weight", [0.0, -1.0, float("nan"), float("inf")])
def test_refuses_weights(pos_weight):
    with pytest.raises(ValueError, match="pos_weight must be positive"):
        BinaryCrossEntropyLoss(pos_weight)
