"""LevelSetDivergenceLoss: zero at the target alone, and a gradient that a saturated tanh does not take away."""

import math

import pytest
import torch
from torch.nn import functional as F

from networks.losses.level_set_divergence import LevelSetDivergenceLoss

# Prediction, target, divergence: 0 log 0 is 0, and the chances are (1 + value) / 2.
BY_HAND = [
    (0.0, 0.0, 0.0),
    (0.25, 0.25, 0.0),
    (0.0, 1.0, math.log(2)),
    (0.0, -1.0, math.log(2)),
    (0.5, 0.0, 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)),
]


@pytest.mark.parametrize(("prediction", "target", "expected"), BY_HAND)
def test_by_hand(prediction, target, expected):
    loss = LevelSetDivergenceLoss()(torch.full((1, 1, 2, 2), prediction), torch.full((1, 1, 2, 2), target))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(2, 1, 9, 7), (2, 3, 9, 7, 5)])
def test_parity_with_pytorch(shape):
    prediction, target = torch.tanh(torch.randn(shape)), torch.rand(shape) * 2 - 1
    p, t = ((1 + x.double()) / 2 for x in (prediction, target))
    expected = F.binary_cross_entropy(p, t) - F.binary_cross_entropy(t, t)
    assert abs(LevelSetDivergenceLoss()(prediction, target).item() - expected.item()) <= 1e-5


def test_gradient_through_tanh_is_the_difference_over_the_count():
    a = (3 * torch.randn(2, 2, 3, 4)).clamp(-4, 4).requires_grad_()
    target = torch.rand(2, 2, 3, 4) * 2 - 1
    LevelSetDivergenceLoss()(torch.tanh(a), target).backward()
    assert torch.allclose(a.grad, (torch.tanh(a.detach()) - target) / 48, atol=1e-5)


def test_gradient_against_differences():
    a = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    target = torch.rand(1, 2, 3, 4) * 2 - 1
    z = torch.tanh(a).float().requires_grad_()
    LevelSetDivergenceLoss()(z, target).backward()
    step = torch.zeros_like(z)
    step[0, 1, 2, 3] = 1e-2
    ahead, behind = (LevelSetDivergenceLoss()(z.detach() + sign * step, target) for sign in (1, -1))
    assert z.grad[0, 1, 2, 3].item() == pytest.approx(((ahead - behind) / 2e-2).item(), rel=2e-2, abs=1e-4)


def test_sure_of_the_wrong_side_it_still_learns():
    a = torch.full((1, 1, 4, 4), 6.0, requires_grad=True)
    LevelSetDivergenceLoss()(torch.tanh(a), torch.full((1, 1, 4, 4), -1.0)).backward()
    squared = torch.full((1, 1, 4, 4), 6.0, requires_grad=True)
    F.mse_loss(torch.tanh(squared), torch.full((1, 1, 4, 4), -1.0)).backward()
    assert a.grad.min() > 1000 * squared.grad.max() > 0


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_finite_where_float32_saturates(side):
    prediction = torch.full((1, 1, 4, 4), side, requires_grad=True)
    loss = LevelSetDivergenceLoss()(prediction, torch.full((1, 1, 4, 4), -side))
    loss.backward()
    assert math.isfinite(loss.item())
    assert torch.isfinite(prediction.grad).all()


def test_half_precision_counts_in_float32():
    loss = LevelSetDivergenceLoss()(torch.ones(1, 1, 4, 4, dtype=torch.float16), torch.ones(1, 1, 4, 4))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_refuses_shapes():
    with pytest.raises(ValueError, match="must have one shape"):
        LevelSetDivergenceLoss()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4))
