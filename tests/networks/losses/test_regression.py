"""Errors of a regression head: by hand, against torch, gradients, and the field of view."""

import math

import pytest
import torch
from torch.nn import functional as F

from networks.losses.regression import MeanAbsoluteErrorLoss, MeanSquaredErrorLoss, RootMeanSquaredErrorLoss

ALL = [MeanAbsoluteErrorLoss, MeanSquaredErrorLoss, RootMeanSquaredErrorLoss]
BY_HAND = list(zip(ALL, [7 / 2, 25 / 2, math.sqrt(25 / 2)], strict=True))  # of the differences 3 and -4
FIRST_ONLY = list(zip(ALL, [3.0, 9.0, 3.0], strict=True))


@pytest.mark.parametrize(("kind", "expected"), BY_HAND)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_by_hand(kind, expected, dtype):
    loss = kind()(torch.tensor([[[[4.0, -1.0]]]], dtype=dtype), torch.tensor([[[[1.0, 3.0]]]]))
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize(("kind", "expected"), FIRST_ONLY)
def test_field_of_view(kind, expected):
    mask = torch.tensor([[[[1, 0]]]])
    assert kind()(torch.tensor([[[[4.0, -1.0]]]]), torch.tensor([[[[1.0, 3.0]]]]), mask).item() == expected


@pytest.mark.parametrize("shape", [(2, 1, 6, 5), (2, 3, 6, 5, 4)])
def test_parity_with_torch(shape):
    prediction, target = torch.randn(shape), torch.randn(shape)
    squared = F.mse_loss(prediction.double(), target.double()).item()
    expected = [F.l1_loss(prediction.double(), target.double()).item(), squared, math.sqrt(squared)]
    for kind, value in zip(ALL, expected, strict=True):
        assert kind()(prediction, target).item() == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("masked", [False, True])
def test_gradcheck(kind, masked):
    prediction = torch.randn(2, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    target = torch.randn(2, 2, 3, 2, dtype=torch.float64)
    mask = torch.tensor([1, 0, 1, 1, 0, 1]).view(1, 1, 3, 2).expand(2, 1, 3, 2) if masked else None
    assert torch.autograd.gradcheck(lambda x: kind()(x, target, mask), (prediction,))


@pytest.mark.parametrize("kind", ALL)
def test_no_difference_or_no_voxel_has_a_gradient_of_zeros(kind):
    for target, mask in ((torch.ones(1, 1, 3, 3), None), (torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3))):
        prediction = torch.ones(1, 1, 3, 3, requires_grad=True)
        loss = kind()(prediction, target, mask)
        loss.backward()
        assert loss.item() == 0.0
        assert not prediction.grad.any()


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e-6, 1.0, 1e4])
def test_the_root_has_a_bounded_gradient(size):
    prediction = (size * torch.randn(1, 1, 8, 8)).requires_grad_()
    RootMeanSquaredErrorLoss()(prediction, torch.zeros(1, 1, 8, 8)).backward()
    assert prediction.grad.norm().item() <= 1 / 8 * (1 + 1e-5)


@pytest.mark.parametrize("kind", ALL)
def test_refuses_shapes(kind):
    with pytest.raises(ValueError, match="must have one shape"):
        kind()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4))
    with pytest.raises(ValueError, match="want a mask"):
        kind()(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4))
