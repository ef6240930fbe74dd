"""Presence told from features: each pooling by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from networks.blocks.presence_head import POOLINGS, PresenceHead

# One feature on two by two places.
FEATURES = torch.tensor([[[[1.0, 2.0], [0.0, 5.0]]]])


def head(pooling, dims=2):
    """Two kinds: twice the feature and one more, and minus the feature."""
    made = PresenceHead(dims, 1, 2, pooling).eval()
    with torch.no_grad():
        made.logits[0].weight.copy_(torch.tensor([2.0, -1.0]).reshape(made.logits[0].weight.shape))
        made.logits[0].bias.copy_(torch.tensor([1.0, 0.0]))
        if pooling == "attention":
            made.attention.weight.copy_(torch.tensor([1.0, 0.0]).reshape(made.attention.weight.shape))
            made.attention.bias.zero_()
    return made


def by_attention():
    """Weights e^f over their sum for the first kind; even ones for the second."""
    values = [1.0, 2.0, 0.0, 5.0]
    weights = [math.exp(value) for value in values]
    first = sum(weight * (2 * value + 1) for weight, value in zip(weights, values, strict=True)) / sum(weights)
    return [first, -2.0]


EXPECTED = {"max": [11.0, 0.0], "average": [5.0, -2.0], "attention": by_attention()}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_by_hand(pooling):
    torch.testing.assert_close(head(pooling)(FEATURES), torch.tensor([EXPECTED[pooling]]))
    torch.testing.assert_close(head(pooling, 3)(FEATURES.unsqueeze(-1)), torch.tensor([EXPECTED[pooling]]))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("dims", [2, 3])
def test_shapes_and_gradients(dims, pooling):
    made = PresenceHead(dims, 4, 3, pooling, dropout=0.0)
    logits = made(torch.randn(2, 4, *[5, 6, 3][:dims]))
    assert logits.shape == (2, 3)
    logits.square().sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        if name != "attention.bias":  # the softmax takes it out again
            assert parameter.grad.abs().sum() > 0, name


def test_the_published_order():
    """Dropout, a 1x1 convolution, the largest value: with torch's own modules."""
    made = PresenceHead(2, 4, 3).eval()
    theirs = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(4, 3, 1), nn.AdaptiveMaxPool2d(1)).eval()
    theirs[1].load_state_dict(made.logits[0].state_dict())
    features = torch.randn(2, 4, 5, 6)
    assert torch.equal(made(features), theirs(features).flatten(1))
    assert made.dropout.p == theirs[0].p


@pytest.mark.parametrize("pooling", POOLINGS)
def test_undecided(pooling):
    """Features of one mean give nothing but the bias, and attention is even."""
    made = PresenceHead(2, 8, 3, pooling).eval()
    made.begin_undecided()
    nn.init.zeros_(made.logits[0].bias)
    torch.testing.assert_close(made(torch.full((1, 8, 4, 4), 7.0)), torch.zeros(1, 3), rtol=0, atol=1e-5)
    if pooling == "attention":
        features = torch.randn(1, 8, 4, 4)
        torch.testing.assert_close(made(features), made.logits(features).mean(dim=(2, 3)))


def test_what_is_refused():
    with pytest.raises(ValueError, match="pooling must be max, average or attention, got sum"):
        PresenceHead(2, 1, 1, "sum")
