"""Padding in front of a network changes nothing for one that pads itself, and lets others take any size."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from networks.nets import DualTaskVNet
from networks.nets.dual_task_predictor import DualTaskPredictor
from networks.nets.padded_network import PaddedNetwork


@pytest.mark.parametrize("sides", [(16, 32), (37, 29), (5, 48)])
def test_a_network_that_pads_itself_gives_the_same(sides):
    network = DualTaskPredictor(DualTaskVNet(2, 1, 2, filters=2), k=20.0, head="mean").eval()
    image = torch.randn(2, 1, *sides)
    with torch.inference_mode():
        torch.testing.assert_close(PaddedNetwork(network)(image), network(image), rtol=0, atol=0)


@pytest.mark.parametrize(("sides", "padded"), [((4, 8, 12), (4, 8, 12)), ((1, 6, 9), (4, 8, 12))])
def test_the_network_meets_multiples_alone(sides, padded):
    class Seen(nn.Module):
        def forward(self, x):
            self.sides = tuple(x.shape[2:])
            return x

    seen, image = Seen(), torch.randn(2, 3, *sides)
    assert torch.equal(PaddedNetwork(seen, 4)(image), image)
    assert seen.sides == padded


def test_what_it_refuses():
    with pytest.raises(ValueError, match="divisor must be at least 1, got 0"):
        PaddedNetwork(nn.Identity(), 0)
