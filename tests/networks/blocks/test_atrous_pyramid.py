"""The pyramid: its parameters by hand, how far it sees, its pooled branch, and batches of one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from networks.blocks.atrous_pyramid import AtrousPyramid, PooledBranch


def test_parameters_by_hand():
    """1x1 and pooled branches, four of 3x3x3, six times 128 channels mixed, and seven norms of 128."""
    pyramid = AtrousPyramid(3, 64, 128, (2, 4, 8, 16), "batch")
    expected = 2 * 64 * 128 + 4 * 27 * 64 * 128 + 6 * 128 * 128 + 7 * 2 * 128
    assert sum(parameter.numel() for parameter in pyramid.parameters()) == expected == 1_001_216


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("norm", ["batch", ("instance", {"affine": True})])
@pytest.mark.parametrize("sides", [(9, 5, 7), (2, 1, 3)])
def test_shapes(dims, norm, sides):
    pyramid = AtrousPyramid(dims, 3, 4, (2, 4), norm).eval()
    assert pyramid(torch.randn(2, 3, *sides[:dims])).shape == (2, 4, *sides[:dims])


def test_the_dilations_reach_where_they_should():
    """Without the pooled branch, the middle voxel depends on itself and on the corners of 3x3 patterns."""
    pyramid = AtrousPyramid(2, 1, 2, (2, 3), "batch", dropout=0.0).eval()
    for module in pyramid.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    pyramid.branches[-1].register_forward_hook(lambda _, __, output: output.detach())
    image = torch.ones(1, 1, 9, 9, requires_grad=True)
    pyramid(image)[0, :, 4, 4].sum().backward()
    expected = {(4 + rate * i, 4 + rate * j) for rate in (2, 3) for i in (-1, 0, 1) for j in (-1, 0, 1)}
    assert {tuple(place) for place in image.grad[0, 0].nonzero().tolist()} == expected


def test_the_pooled_branch_is_the_same_everywhere():
    branch = PooledBranch(2, 3, 4).eval()
    image = torch.randn(2, 3, 5, 6)
    found = branch(image)
    assert torch.equal(found, found[..., :1, :1].expand_as(found))
    # In evaluation mode, a new norm divides by the root of 1 + eps.
    expected = torch.relu(torch.einsum("kc,bc->bk", branch.convolution.weight[..., 0, 0], image.mean(dim=(2, 3))))
    torch.testing.assert_close(found[..., 0, 0], expected / (1 + branch.norm.eps) ** 0.5)


def test_a_batch_of_one_trains_by_the_running_statistics():
    branch = PooledBranch(3, 2, 3)
    branch(torch.randn(4, 2, 3, 3, 3) + 1)
    before = branch.norm.running_mean.clone()
    image = torch.randn(1, 2, 3, 3, 3)
    training = branch(image)
    assert torch.equal(branch.norm.running_mean, before)
    assert torch.allclose(training, branch.eval()(image))


def test_dropout_acts_in_training_alone():
    pyramid = AtrousPyramid(2, 2, 8, (2,), "batch", dropout=0.5)
    image = torch.randn(2, 2, 8, 8)
    assert not torch.equal(pyramid(image), pyramid(image))
    pyramid.eval()
    assert torch.equal(pyramid(image), pyramid(image))
