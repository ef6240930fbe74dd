"""Convolutions of one voxel as matrices."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipelines.export.channel_mixing import as_convolution, background_first, mixing, picking, weights_of


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.Conv3d])
def test_a_matrix_and_back(kind):
    like = kind(1, 1, 1)
    dims = like.weight.dim() - 2
    weight, bias = torch.randn(2, 3), torch.randn(2)
    mixed = mixing(like, weight, bias)
    assert type(mixed) is kind
    image = torch.randn(1, 3, *[4] * dims)
    expected = torch.einsum("kc,bc...->bk...", weight, image) + bias.reshape(-1, *[1] * dims)
    torch.testing.assert_close(mixed(image), expected)
    assert all(torch.equal(a, b) for a, b in zip(weights_of(mixed), (weight, bias), strict=True))
    assert torch.equal(weights_of(mixing(like, weight))[1], torch.zeros(2))


def test_picking():
    image = torch.randn(2, 5, 3, 3)
    assert torch.equal(picking(nn.Conv2d(1, 1, 1), 5, 1, 3)(image), image[:, 1:4])


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.Conv3d])
def test_a_background_before_the_others(kind):
    head = kind(3, 2, 1)
    image = torch.randn(2, 3, *[4] * (head.weight.dim() - 2))
    logits = background_first(head)(image)
    assert torch.equal(logits[:, 0], torch.zeros_like(logits[:, 0]))
    torch.testing.assert_close(logits[:, 1:], head(image))


def test_what_is_no_convolution():
    convolution = nn.Conv2d(1, 1, 1)
    assert as_convolution(convolution) is convolution
    with pytest.raises(TypeError, match="a convolution is meant, got ReLU"):
        as_convolution(nn.ReLU())
