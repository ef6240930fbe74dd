"""SummedLoss: the sum of its terms, and none of their options lost."""

import pytest
import torch

from networks.losses.cross_entropy import CrossEntropyLoss
from networks.losses.mask import MaskLoss
from networks.losses.summed import SummedLoss

LOGITS, LABELS = torch.randn(2, 2, 6, 5), torch.randint(0, 3, (2, 1, 6, 5))


@pytest.mark.parametrize("mask", [None, torch.arange(60).view(2, 1, 6, 5) % 3])
def test_is_the_weighted_sum(mask):
    loss = SummedLoss([MaskLoss(), CrossEntropyLoss([1, 2, 3])], [0.25, 2.0])
    dice, ce = MaskLoss()(LOGITS, LABELS, mask), CrossEntropyLoss([1, 2, 3])(LOGITS, LABELS, mask)
    assert loss(LOGITS, LABELS, mask).item() == pytest.approx((0.25 * dice + 2 * ce).item(), rel=1e-6)


def test_without_weights_all_count_alike_as_in_the_mask_loss():
    loss = SummedLoss([MaskLoss(), CrossEntropyLoss()])
    assert loss(LOGITS, LABELS).item() == pytest.approx(MaskLoss(1.0, 1.0)(LOGITS, LABELS).item(), rel=1e-6)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0, 3.0], [1.0, -1.0]])
def test_refuses_weights(weights):
    with pytest.raises(ValueError, match="2 losses want as many weights"):
        SummedLoss([MaskLoss(), CrossEntropyLoss()], weights)


def test_refuses_maps():
    with pytest.raises(ValueError, match="reduction is none"):
        SummedLoss([MaskLoss(), CrossEntropyLoss(reduction="none")])


def test_refuses_no_loss():
    with pytest.raises(ValueError, match="0 losses"):
        SummedLoss([])
