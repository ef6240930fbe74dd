"""PresenceLoss: by hand, against torch, unknown entries."""

import math

import pytest
import torch
from torch.nn import functional as F

from networks.losses.presence import PresenceLoss

LN3 = math.log(3)


@pytest.mark.parametrize(
    ("targets", "pos_weight", "expected"),
    [
        # sigmoid(ln 3) = 3/4: -log of 3/4 if there, of 1/4 if not.
        ([1.0, 0.0], None, (math.log(4 / 3) + math.log(4)) / 2),
        ([1.0, -1.0], None, math.log(4 / 3)),
        ([-1.0, -1.0], None, 0.0),
        ([1.0, 1.0], [1.0, 5.0], (math.log(4 / 3) + 5 * math.log(4 / 3)) / 2),
        ([0.5, -1.0], None, (math.log(4 / 3) + math.log(4)) / 2),
    ],
)
def test_by_hand(targets, pos_weight, expected):
    logits = torch.full((1, 2), LN3, requires_grad=True)
    loss = PresenceLoss(pos_weight)(logits, torch.tensor([targets]))
    loss.backward()
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert not logits.grad[torch.tensor([targets]) < 0].any()


def test_parity_with_torch():
    logits, target = 5 * torch.randn(6, 3), torch.randint(0, 2, (6, 3))
    expected = F.binary_cross_entropy_with_logits(logits, target.float(), pos_weight=torch.tensor([1.0, 2.0, 3.0]))
    assert PresenceLoss([1, 2, 3])(logits, target).item() == pytest.approx(expected.item(), rel=1e-6)


def test_mask():
    logits, target = torch.randn(4, 3), torch.randint(0, 2, (4, 3)).float()
    mask = torch.tensor([1, 0, 1]).expand(4, 3)
    hidden = torch.where(mask > 0, target, -1.0)
    loss = PresenceLoss()
    assert loss(logits, target, mask).item() == loss(logits, hidden).item() != loss(logits, target).item()
    assert loss(logits, target, torch.zeros(4, 1, 8, 8)).item() == loss(logits, target).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_extreme_logits_are_finite(dtype):
    logits = torch.tensor([[60000.0, -60000.0]], dtype=dtype, requires_grad=True)
    loss = PresenceLoss()(logits, torch.tensor([[0.0, 1.0]]))
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_gradcheck():
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[0.0, 1.0, -1.0]]).expand(4, 3)
    assert torch.autograd.gradcheck(lambda x: PresenceLoss()(x, target), (logits,))


def test_refusals():
    with pytest.raises(ValueError, match="want targets"):
        PresenceLoss()(torch.zeros(2, 3), torch.zeros(2, 2))
    with pytest.raises(ValueError, match="want a mask alike"):
        PresenceLoss()(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 1))
    with pytest.raises(ValueError, match="targets must be at most 1, got 255"):
        PresenceLoss()(torch.zeros(2, 3), torch.full((2, 3), 255))
    with pytest.raises(ValueError, match="pos_weight must have 3 numbers, got 2"):
        PresenceLoss([1, 2])(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="pos_weight must be one number per class"):
        PresenceLoss([-1, 2])
