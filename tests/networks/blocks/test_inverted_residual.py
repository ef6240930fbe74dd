"""Inverted residuals: shapes, what is added, the scaling by hand, parameters by the published table."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from networks.blocks.inverted_residual import InvertedResidual, SqueezeExcitation, activation, conv_norm_act


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (5, 2, 1), (5, 1, 2), (3, 2, 1)])
@pytest.mark.parametrize("side", [1, 7, 16])
def test_sides_are_divided_by_the_stride_and_rounded_up(dims, kernel, stride, dilation, side):
    layer = conv_norm_act(dims, 2, 3, kernel, "batch", "relu", stride, dilation).eval()
    assert layer(torch.randn(1, 2, *[side] * dims)).shape == (1, 3, *[-(-side // stride)] * dims)


def test_squeeze_and_excitation_by_hand():
    """Both means are 2 and 4; the weights make 2 + 4 - 3 = 3, so hard sigmoid gives 1; and -3, which gives 0."""
    block = SqueezeExcitation(2, 2, 1)
    _, squeeze, _, excite, _ = block.factors
    with torch.no_grad():
        squeeze.weight.fill_(1.0)
        squeeze.bias.fill_(-3.0)
        excite.weight.copy_(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1))
        excite.bias.zero_()
    image = torch.tensor([[[1.0, 3.0]], [[4.0, 4.0]]])[None]
    assert torch.equal(block(image), torch.tensor([[[1.0, 3.0]], [[0.0, 0.0]]])[None])
    with torch.no_grad():
        squeeze.bias.fill_(-4.5)  # 1.5: hard sigmoid is 1.5 / 6 + 1 / 2 = 3 / 4, and 1 / 4
    assert torch.equal(block(image), torch.tensor([[[0.75, 2.25]], [[1.0, 1.0]]])[None])


@pytest.mark.parametrize(("out_channels", "stride", "added"), [(4, 1, True), (6, 1, False), (4, 2, False)])
def test_what_is_added(out_channels, stride, added):
    """With the last norm at zero, nothing is left but what is added."""
    block = InvertedResidual(2, 4, 8, out_channels, 3, "batch", "relu", stride).eval()
    nn.init.zeros_(block.body[-1][1].weight)
    image = torch.randn(1, 4, 8, 8)
    expected = image if added else torch.zeros(1, out_channels, 8 // stride, 8 // stride)
    assert torch.equal(block(image), expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        # Convolutions 16*64 + 9*64 + 64*24, norms 2*(64 + 64 + 24): rows of MobileNetV3's table.
        ((2, 16, 64, 24, 3, "batch", "relu", 2), 1024 + 576 + 1536 + 304),
        # No expansion: 9*16 + 16*16, norms 2*(16 + 16).
        ((2, 16, 16, 16, 3, "batch", "relu"), 144 + 256 + 64),
        # With squeeze and excitation of 72 by 24: 72*24 + 24 + 24*72 + 72 more.
        ((2, 24, 72, 40, 5, "batch", "relu", 2, 1, 24), 1728 + 1800 + 2880 + 368 + 3552),
        ((3, 16, 96, 24, 3, "batch", "relu6"), 1536 + 27 * 96 + 2304 + 432),
    ],
)
def test_parameters_by_hand(arguments, expected):
    block = InvertedResidual(*arguments)
    assert sum(parameter.numel() for parameter in block.parameters()) == expected


def test_activations():
    assert isinstance(activation("relu"), nn.ReLU)
    assert isinstance(activation("relu6"), nn.ReLU6)
    x = torch.tensor([-4.0, -1.0, 0.0, 1.0, 4.0])
    assert torch.allclose(activation("hardswish")(x), x * (x + 3).clamp(0, 6) / 6)
    with pytest.raises(ValueError, match="Unsupported option"):
        activation("tangled")


@pytest.mark.parametrize("training", [True, False])
def test_checkpointing_changes_nothing(training):
    torch.manual_seed(0)
    plain = InvertedResidual(2, 4, 8, 4, 3, "batch", "hardswish", squeezed=8).train(training)
    saving = InvertedResidual(2, 4, 8, 4, 3, "batch", "hardswish", squeezed=8, checkpointing=True).train(training)
    saving.load_state_dict(plain.state_dict())
    image = torch.randn(2, 4, 8, 8)
    for block in (plain, saving):
        block(image).square().sum().backward()
    assert all(torch.equal(p.grad, q.grad) for p, q in zip(plain.parameters(), saving.parameters(), strict=True))
    assert all(torch.equal(p, q) for p, q in zip(plain.buffers(), saving.buffers(), strict=True))
