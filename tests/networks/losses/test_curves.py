"""Curves of loss and gradient against the probability of the own class: the formulas of the papers."""

import numpy as np
import pytest
import torch

from networks.losses.binary_cross_entropy import BinaryCrossEntropyLoss
from networks.losses.catalogue import NamedLoss, make_loss
from networks.losses.curves import pixel_loss_curves
from networks.losses.mask import MaskLoss

P = np.linspace(0.02, 0.98, 25)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("text", ["ce", "bce", "focal:gamma=0"])
def test_cross_entropy(text, label):
    loss, gradient = pixel_loss_curves(make_loss(text), P, label)
    assert np.allclose(loss, -np.log(P))
    assert np.allclose(gradient, P - 1)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("gamma", [0.5, 1, 2, 3, 5])
def test_focal(gamma, label):
    """``d/dx = (1 - p)^(gamma - 1) p' (gamma ln p - (1 - p) / p)`` with ``p' = p (1 - p)``."""
    loss, gradient = pixel_loss_curves(NamedLoss(f"focal:gamma={gamma}"), torch.from_numpy(P), label)
    assert np.allclose(loss, -((1 - P) ** gamma) * np.log(P))
    expected = (1 - P) ** (gamma - 1) * P * (1 - P) * (gamma * np.log(P) - (1 - P) / P)
    assert np.allclose(gradient, expected)


def test_weights_of_classes_are_seen():
    """A mean over one voxel would lose them."""
    weighted = make_loss("ce:weights=[1,3]")
    assert np.allclose(pixel_loss_curves(weighted, P, 1)[0], -3 * np.log(P))
    assert np.allclose(pixel_loss_curves(weighted, P, 0)[0], -np.log(P))
    assert np.allclose(pixel_loss_curves(BinaryCrossEntropyLoss(8.0), P, 1)[1], 8 * (P - 1))
    assert weighted.reduction == "mean"


def test_gradient_against_differences_of_the_curve():
    p = np.linspace(0.3, 0.7, 2001)
    loss, gradient = (curve.numpy() for curve in pixel_loss_curves(make_loss("focal:gamma=2,alpha=0.25"), p))
    slope = np.gradient(loss, p) * p * (1 - p)
    assert np.allclose(slope[1:-1], gradient[1:-1], atol=1e-6)


def test_refuses_losses_of_the_whole_image():
    with pytest.raises(ValueError, match="MaskLoss is no mean over voxels"):
        pixel_loss_curves(MaskLoss(), P)


@pytest.mark.parametrize("p", [[0.0, 0.5], [1.0], [[0.5]], [float("nan")]])
def test_refuses_probabilities(p):
    with pytest.raises(ValueError, match="probabilities above 0 and below 1"):
        pixel_loss_curves(make_loss("ce"), p)


def test_refuses_labels():
    with pytest.raises(ValueError, match="label must be 0 or 1"):
        pixel_loss_curves(make_loss("ce"), P, 2)
