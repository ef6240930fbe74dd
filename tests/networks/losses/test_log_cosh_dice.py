"""LogCoshDiceLoss: by hand from the Dice loss, per class, and exact where Dice is small."""

import math

import pytest
import torch

from networks.losses.log_cosh_dice import LogCoshDiceLoss
from networks.losses.mask import MaskLoss

LN3 = math.log(3)
LIMIT = 100.0


def test_by_hand():
    """p = (3/4, 1/4), g = (1, 0): Dice losses 1/13 with squares, and 1 - 1.5 / 2 without."""
    logits, labels = torch.tensor([[[[LN3, -LN3]]]]), torch.tensor([[[[1, 0]]]])
    assert LogCoshDiceLoss()(logits, labels).item() == pytest.approx(math.log(math.cosh(1 / 13)), abs=1e-6)
    plain = LogCoshDiceLoss(squared=False)(logits, labels)
    assert plain.item() == pytest.approx(math.log(math.cosh(0.25)), abs=1e-5)


def test_is_of_each_class_and_then_the_mean():
    logits, labels = 3 * torch.randn(2, 2, 6, 5), torch.randint(0, 3, (2, 1, 6, 5))
    each = []
    for index in (1, 2):
        p = torch.softmax(torch.cat([torch.zeros(2, 1, 6, 5), logits], 1).double(), 1)[:, index]
        g = (labels[:, 0] == index).double()
        each.append(1 - (2 * (p * g).sum() + 1e-5) / ((p * p).sum() + (g * g).sum() + 1e-5))
    expected = torch.stack(each).cosh().log().mean()
    assert LogCoshDiceLoss()(logits, labels).item() == pytest.approx(expected.item(), abs=1e-6)


def test_small_values_are_not_lost():
    """Nearly perfect: D of 1e-4 or so, where cosh(D) is one in float32."""
    labels = torch.randint(0, 2, (1, 1, 16, 16))
    logits = (4.6 * (2.0 * labels - 1.0)).requires_grad_()
    dice = MaskLoss()(logits, labels).item()
    loss = LogCoshDiceLoss()(logits, labels)
    loss.backward()
    assert 0 < dice < 3e-4
    assert loss.item() == pytest.approx(dice**2 / 2, rel=1e-2)
    assert (logits.grad != 0).all()


@pytest.mark.parametrize("label", [0, 1])
def test_perfect_is_zero(label):
    logits = torch.full((1, 1, 4, 4), LIMIT if label else -LIMIT)
    assert LogCoshDiceLoss()(logits, torch.full((1, 1, 4, 4), label)).item() == pytest.approx(0, abs=1e-9)
