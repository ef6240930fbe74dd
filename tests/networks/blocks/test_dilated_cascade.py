"""The dilated cascade by hand, its shapes and what checkpointing changes: nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from networks.blocks.dilated_cascade import DilatedCascade


def test_by_hand():
    """Three of three ones, on a one: 1 at distance 0, then dilation 1 and, of that, dilation 2; the sum of all."""
    cascade = DilatedCascade(2, 1, (1, 2), norm=None)
    for stage in cascade.stages:
        convolution = stage[0]
        nn.init.zeros_(convolution.weight)
        nn.init.zeros_(convolution.bias)
        with torch.no_grad():
            convolution.weight[0, 0, 1] = 1.0  # along the last axis alone
    image = torch.zeros(1, 1, 3, 9)
    image[..., 1, 4] = 1.0
    first = [0, 0, 0, 1, 1, 1, 0, 0, 0]
    second = [0, 1, 1, 1, 1, 1, 1, 1, 0]  # places 3, 4, 5 and, two away, 1, 2, 3 and 5, 6, 7
    second[3] = second[5] = 2
    expected = torch.tensor(first) + torch.tensor(second)
    expected[4] += 1
    result = cascade(image)
    assert result[0, 0, 1].tolist() == expected.tolist()
    assert torch.count_nonzero(result[0, 0, [0, 2]]) == 0
    with torch.no_grad():
        cascade.stages[0][0].bias.fill_(-5.0)  # the ReLU leaves nothing of the first stage, nor of the second
    assert torch.equal(cascade(image), image)


@pytest.mark.parametrize("norm", ["batch", ("instance", {"affine": True}), None], ids=str)
@pytest.mark.parametrize("dims", [2, 3])
def test_shape_and_gradients(dims, norm):
    cascade = DilatedCascade(dims, 4, (1, 2, 4, 8), norm)
    x = torch.randn(2, 4, *[6, 5, 7][:dims])
    result = cascade(x)
    assert result.shape == x.shape
    result.square().sum().backward()
    assert all(parameter.grad is not None for parameter in cascade.parameters())


def test_parameters():
    """Each of 9 * 256 * 256 weights and 256 biases, and a batch norm of twice 256."""
    with torch.device("meta"):
        cascade = DilatedCascade(2, 256)
    assert sum(parameter.numel() for parameter in cascade.parameters()) == 4 * (9 * 256 * 256 + 3 * 256)


def test_checkpointing_changes_nothing():
    plain, saving = DilatedCascade(2, 3, (1, 2)), DilatedCascade(2, 3, (1, 2), checkpointing=True)
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 8, 8)
    for cascade in (plain, saving):
        cascade(x).square().sum().backward()
    for p, q in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)
    for (name, p), q in zip(plain.state_dict().items(), saving.state_dict().values(), strict=True):
        assert torch.equal(p, q), name


@pytest.mark.parametrize("dilations", [(), (1, 0)])
def test_what_is_refused(dilations):
    with pytest.raises(ValueError, match="dilations must be at least one number from 1 on"):
        DilatedCascade(2, 3, dilations)
