"""LevelSetLoss: mean squared error, in float32."""

import pytest
import torch

from networks.losses.level_set import LevelSetLoss

# Prediction, target, mean of the squared differences.
BY_HAND = [
    ([0.5, -0.5], [0.5, -0.5], 0.0),
    ([0.0, 0.0], [1.0, -1.0], 1.0),
    ([0.5, -0.25], [0.25, 0.25], (0.0625 + 0.25) / 2),
    ([3.0, 0.0, 0.0], [0.0, 0.0, 0.0], 3.0),
]


@pytest.mark.parametrize(("prediction", "target", "expected"), BY_HAND)
def test_by_hand(prediction, target, expected):
    shape = (1, 1, 1, -1)
    loss = LevelSetLoss()(torch.tensor(prediction).reshape(shape), torch.tensor(target).reshape(shape))
    assert loss.item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("shape", [(2, 1, 9, 7), (2, 3, 9, 7, 5)])
def test_parity_with_the_formula(shape):
    prediction, target = torch.tanh(torch.randn(shape)), torch.rand(shape) * 2 - 1
    expected = ((prediction.double().numpy() - target.double().numpy()) ** 2).mean()
    assert abs(LevelSetLoss()(prediction, target).item() - expected) <= 1e-5


def test_gradient_is_twice_the_difference_over_the_count():
    prediction = torch.randn(2, 2, 3, 4, requires_grad=True)
    target = torch.randn(2, 2, 3, 4)
    LevelSetLoss()(prediction, target).backward()
    assert torch.allclose(prediction.grad, 2 * (prediction.detach() - target) / 48, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite(dtype):
    """The square of 1000, a distance in mm, is beyond float16."""
    prediction = torch.full((1, 1, 4, 4), 1000.0, dtype=dtype, requires_grad=True)
    loss = LevelSetLoss()(prediction, torch.zeros(1, 1, 4, 4, dtype=dtype))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1e6)
    assert torch.isfinite(prediction.grad).all()


def test_refuses_shapes():
    with pytest.raises(ValueError, match="must have one shape"):
        LevelSetLoss()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4))
