"""The attention gate by hand, and its norms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from networks.blocks.attention_gate import AttentionGate, Ungated


def set_to(sequence, weight, bias):
    convolution = sequence[0]
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor(weight).reshape(convolution.weight.shape))
        convolution.bias.copy_(torch.tensor(bias))


def test_by_hand():
    """skip (2, 3), signal (1): relu(2 - 3 + 0.5 + 2) = 1.5; w = 2 and b = -1 make 2; sigmoid(2) = 0.880797."""
    gate = AttentionGate(2, skip_channels=2, signal_channels=1, norm=None)
    set_to(gate.of_skip, [1.0, -1.0], [0.5])
    set_to(gate.of_signal, [2.0], [0.0])
    set_to(gate.factor[0], [2.0], [-1.0])
    skip = torch.tensor([2.0, 3.0]).reshape(1, 2, 1, 1)
    gated = gate(skip, torch.ones(1, 1, 1, 1))
    torch.testing.assert_close(gated.flatten(), torch.tensor([2 * 0.8807971, 3 * 0.8807971]))
    # The sum is -3.5 now, which the ReLU makes 0: sigmoid(-1) = 0.268941.
    gated = gate(skip, torch.full((1, 1, 1, 1), -1.5))
    torch.testing.assert_close(gated.flatten(), torch.tensor([2 * 0.2689414, 3 * 0.2689414]))


NORMS = ["batch", ("instance", {"affine": True}), ("group", {"num_groups": 2}), ("GROUP", {"num_groups": 4}), None]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_norms(dims, norm):
    gate = AttentionGate(dims, 8, 6, norm)
    skip = torch.rand(2, 8, *[5, 4, 3][:dims]) + 0.1
    gated = gate(skip, torch.randn(2, 6, *[5, 4, 3][:dims]))
    assert gated.shape == skip.shape
    factors = gated / skip
    assert (factors.amin() > 0) and (factors.amax() < 1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    gated.sum().backward()
    assert all(parameter.grad is not None for parameter in gate.parameters())
    assert (gate.of_skip[0].bias is None) == (norm is not None)


def test_a_skip_of_one_channel():
    assert AttentionGate(2, 1, 1)(torch.ones(2, 1, 4, 4), torch.ones(2, 1, 4, 4)).shape == (2, 1, 4, 4)


def test_ungated():
    skip = torch.randn(1, 2, 3, 3)
    assert Ungated()(skip, torch.zeros(1, 2, 3, 3)) is skip
    assert not list(Ungated().parameters())
    assert isinstance(Ungated(), nn.Module)
