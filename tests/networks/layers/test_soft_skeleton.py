"""soft_skeleton: MONAI's values and gradients, known shapes, and a gradient where all values are equal."""

import pytest
import torch
from monai.losses.cldice import soft_skel

from networks.layers.soft_skeleton import soft_skeleton

SHAPES = [(2, 3, 13, 11), (2, 1, 9, 8, 7), (1, 1, 1, 5), (1, 1, 2, 2, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("iterations", [0, 1, 5])
def test_values_and_gradients_are_monais(shape, iterations):
    ours, theirs = (torch.rand(shape, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2))
    weight = torch.rand(shape)
    skeleton, expected = soft_skeleton(ours, iterations), soft_skel(theirs, iterations)
    (skeleton * weight).sum().backward()
    (expected * weight).sum().backward()
    assert torch.allclose(skeleton, expected, atol=1e-6)
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 2, 5, 4), (1, 1, 4, 3, 3)])
def test_gradcheck(shape):
    x = torch.rand(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: soft_skeleton(x, 2), (x,))


def test_channels_last_is_the_same():
    x = torch.rand(2, 3, 9, 8)
    assert torch.equal(soft_skeleton(x.contiguous(memory_format=torch.channels_last), 2), soft_skeleton(x, 2))


@pytest.mark.parametrize("thickness", [1, 3, 5])
def test_of_a_bar_is_its_middle_row(thickness):
    x = torch.zeros(1, 1, 11, 20)
    x[:, :, 3 : 3 + thickness] = 1
    expected = torch.zeros_like(x)
    expected[:, :, 3 + thickness // 2] = 1
    assert torch.equal(soft_skeleton(x, 3), expected)
    assert not soft_skeleton(x, thickness // 2 - 1).any(), "too thick for so few iterations"


def test_equal_values_share_no_gradient_twice():
    """Of a plateau every voxel is the minimum and the maximum: each keeps its own gradient."""
    x = torch.full((1, 1, 6, 6), 0.5, requires_grad=True)
    skeleton = soft_skeleton(x, 3)
    skeleton.sum().backward()
    assert not skeleton.any()
    assert torch.isfinite(x.grad).all()
    # The middle row of the bar keeps its value; its neighbours, eroded away, take the other side of each difference.
    bar = torch.zeros(1, 1, 5, 5)
    bar[:, :, 2] = 1
    bar.requires_grad_()
    soft_skeleton(bar, 0).sum().backward()
    assert bar.grad[:, :, 2].tolist() == [[[1.0] * 5]]


@pytest.mark.parametrize("shape", [(1, 1, 6, 6), (1, 1, 6, 6, 6)])
def test_empty_and_full_have_none(shape):
    assert not soft_skeleton(torch.zeros(shape), 3).any()
    assert not soft_skeleton(torch.ones(shape), 3).any()
