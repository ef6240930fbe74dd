"""Mirroring there and back: nothing changes for a symmetric network, and every mirrored copy is asked once."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from networks.nets.flip_average import FlipAverage


class Ramp(nn.Module):
    """Multiplies by a ramp along every axis, so that it sees which way round its input is."""

    def __init__(self):
        super().__init__()
        self.passes = 0

    def forward(self, x):
        self.passes += 1
        weight = torch.ones(())
        for axis in range(2, x.ndim):
            shape = [1] * x.ndim
            shape[axis] = -1
            weight = weight * torch.linspace(1, 2, x.shape[axis], dtype=x.dtype).reshape(shape)
        return x * weight


@pytest.mark.parametrize("axes", [(), (0,), (1,), (0, 2), (0, 1, 2)])
def test_mean_over_all_mirrored_copies(axes):
    x = torch.randn(2, 3, 4, 5, 6, dtype=torch.float64)
    network = Ramp()
    averaged = FlipAverage(network, axes)(x)
    assert network.passes == 2 ** len(axes)
    outputs = []
    for chosen in product((False, True), repeat=len(axes)):
        flip = [axis + 2 for axis, mirrored in zip(axes, chosen, strict=True) if mirrored]
        outputs.append(network(x.flip(flip)).flip(flip))
    torch.testing.assert_close(averaged, torch.stack(outputs).mean(0), rtol=0, atol=1e-12)


def test_a_network_that_sees_no_direction_is_left_as_it_is():
    x = torch.randn(1, 1, 7, 6)
    torch.testing.assert_close(FlipAverage(nn.Sigmoid(), (0, 1))(x), torch.sigmoid(x))


def test_the_result_turns_with_the_input():
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64)
    averaged = FlipAverage(Ramp(), (1,))
    torch.testing.assert_close(averaged(x.flip([3])), averaged(x).flip([3]))


class Detecting(nn.Module):
    """Says how much is in each slice along ``axis``, or in a single image, by a ramp that a mirror turns round."""

    def __init__(self, axis):
        super().__init__()
        self.axis = axis
        self.ramp = Ramp()

    def detect(self, x):
        return self.ramp(x), self.presence(x)

    def presence(self, x):
        weighted = self.ramp(x)
        return weighted.movedim(self.axis, -1).sum((2, 3)) if x.dim() == 5 else weighted.sum((2, 3))


@pytest.mark.parametrize("axis", [2, 4])
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 2)])
def test_what_is_detected_is_averaged_in_the_order_of_the_slices(axes, axis):
    x = torch.randn(2, 1, 4, 5, 6, dtype=torch.float64)
    network = Detecting(axis)
    averaged = FlipAverage(network, axes)
    probabilities, presence = averaged.detect(x)
    torch.testing.assert_close(probabilities, FlipAverage(network.ramp, axes)(x))
    # Sums of the averaged values: the mean of flipped and turned back sums is the sum of the mean.
    torch.testing.assert_close(presence, probabilities.movedim(axis, -1).sum((2, 3)))
    torch.testing.assert_close(averaged.presence(x), presence)


def test_what_is_detected_in_single_images():
    x = torch.randn(2, 1, 4, 5, dtype=torch.float64)
    probabilities, presence = FlipAverage(Detecting(4 - 2), (0, 1)).detect(x)
    assert probabilities.shape == x.shape
    torch.testing.assert_close(presence, probabilities.sum((2, 3)))
