"""The lesion detector: ResNet-18 behind a resizing that keeps thin structures."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from networks.nets import LesionDetector


def test_parameters():
    """ImageNet's ResNet-18 without its last layer has 11,176,512; the last one has 512 weights and a bias per kind."""
    with torch.device("meta"):
        network = LesionDetector(3, 3)
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_176_512 + 3 * 513


def test_what_goes_to_the_network():
    network = LesionDetector(2, 3, side=32).eval()
    seen = []
    network.network.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    image = torch.randn(2, 2, 70, 45)
    outputs = network(image)
    assert list(outputs) == network.names == ["presence"]
    assert outputs["presence"].shape == (2, 3)
    expected = F.interpolate(image, (32, 32), mode="bilinear", align_corners=False, antialias=True)
    assert torch.equal(seen[0], expected)
    assert torch.equal(outputs["presence"], network.network(expected))


def test_a_thin_line_is_not_lost():
    """One row of 224 * 4, between the places where four-fold steps would look; its mean is what remains of it."""
    network = LesionDetector(1, 1).eval()
    seen = []
    network.network.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    image = torch.zeros(1, 1, 896, 896)
    image[..., 400, :] = 1.0
    network(image)
    assert seen[0].shape == (1, 1, 224, 224)
    torch.testing.assert_close(seen[0].mean(), torch.tensor(1 / 896), rtol=0.02, atol=0)


def test_what_is_known_of_heads():
    network = LesionDetector(3, 2)
    assert (network.kinds, network.out_channels) == ({"presence": "classification"}, {"presence": 2})
    assert (network.spatial_dims, network.in_channels, network.size_divisor) == (2, 3, 1)


def test_gradients_reach_every_parameter():
    network = LesionDetector(1, 3, side=64)
    network(torch.randn(2, 1, 50, 80))["presence"].square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"in_channels and presence_channels must be at least 1, got \(3, 0\)"):
        LesionDetector(3, 0)
    with pytest.raises(ValueError, match="side must be at least 32, got 16"):
        LesionDetector(3, 3, 16)
    with pytest.raises(ValueError, match="has no head mask"):
        LesionDetector(1, 1)(torch.zeros(1, 1, 40, 40), ["mask"])
