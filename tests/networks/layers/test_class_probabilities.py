"""Class probabilities: the implicit background, its limits, and the decision that follows."""

import math

import pytest
import torch

from networks.layers.class_probabilities import foreground_probabilities, with_background

# Logits of K classes, and their probabilities by hand: exp(l_k) / (1 + sum_j exp(l_j)).
BY_HAND = [
    ([0.0], [0.5]),
    ([math.log(3)], [0.75]),
    ([0.0, 0.0], [1 / 3, 1 / 3]),
    ([math.log(2), math.log(5)], [0.25, 0.625]),
    ([0.0, math.log(2), -math.inf], [0.25, 0.5, 0.0]),
    ([1000.0, -1000.0], [1.0, 0.0]),
]


def column(values):
    """One voxel: (1, K, 1, 1)."""
    return torch.tensor(values).reshape(1, -1, 1, 1)


@pytest.mark.parametrize(("logits", "expected"), BY_HAND)
def test_foreground_by_hand(logits, expected):
    assert torch.allclose(foreground_probabilities(column(logits)), column(expected), atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 1, 3, 4), (2, 1, 3, 4, 2)])
def test_one_class_is_the_sigmoid_bit_for_bit(shape):
    logits = 20 * torch.randn(shape)
    assert torch.equal(foreground_probabilities(logits), torch.sigmoid(logits))


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_shapes_and_sums(classes):
    foreground = foreground_probabilities(torch.randn(2, classes, 3, 4, 2))
    full = with_background(foreground)
    assert foreground.shape == (2, classes, 3, 4, 2)
    assert full.shape == (2, classes + 1, 3, 4, 2)
    assert torch.allclose(full.sum(dim=1), torch.ones(2, 3, 4, 2), atol=1e-6)


@pytest.mark.parametrize("classes", [1, 3])
def test_foreground_gradient(classes):
    logits = torch.randn(2, classes, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(foreground_probabilities, logits)


# Class probabilities -> (with the background, label).
DECISIONS = [
    ([0.3], [0.7, 0.3], 0),
    ([0.6], [0.4, 0.6], 1),
    ([0.5], [0.5, 0.5], 0),
    ([0.3, 0.5], [0.2, 0.3, 0.5], 2),
    ([0.25, 0.25], [0.5, 0.25, 0.25], 0),
    ([1.0, 1.0], [0.0, 1.0, 1.0], 1),
    ([0.75, 0.5], [0.0, 0.75, 0.5], 1),
    ([0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], 0),
]


@pytest.mark.parametrize(("foreground", "expected", "label"), DECISIONS)
def test_background_by_hand(foreground, expected, label):
    full = with_background(column(foreground))
    assert torch.allclose(full, column(expected), atol=1e-6)
    assert full.argmax(dim=1).item() == label


def test_one_class_is_decided_at_one_half():
    foreground = torch.rand(1, 1, 16, 16)
    assert torch.equal(with_background(foreground).argmax(dim=1, keepdim=True), (foreground > 0.5).long())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite(dtype):
    logits = torch.tensor([60000.0, -60000.0, 0.0], dtype=dtype).reshape(1, 3, 1, 1).requires_grad_()
    full = with_background(foreground_probabilities(logits))
    full.square().sum().backward()
    assert full.flatten().tolist() == [0.0, 1.0, 0.0, 0.0]
    assert torch.isfinite(logits.grad).all()


def test_torchscript_gives_the_same():
    logits = torch.randn(2, 3, 4, 4)
    for function in (foreground_probabilities, with_background):
        assert torch.equal(torch.jit.script(function)(logits), function(logits))
