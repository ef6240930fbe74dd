"""ForegroundDiceLoss: by hand, against numpy, absent classes, ignored voxels."""

import math

import numpy as np
import pytest
import torch

from networks.losses.background_channel import BackgroundChannelLoss
from networks.losses.foreground_dice import ForegroundDiceLoss, mean_of_present
from networks.losses.mask import MaskLoss
from tests.networks.losses.numpy_dice import dice_of_each_class

LN2, LN3 = math.log(2), math.log(3)


def voxels(rows):
    """Logits by class and voxel to (1, C, 1, N)."""
    return torch.tensor(rows, dtype=torch.float64)[None, :, None]


def labels(values):
    return torch.tensor(values)[None, None, None]


# Logits of background and classes per voxel, labels, smooth, absent, loss.
BY_HAND = [
    # p = (3/4, 1/4), g = (1, 0): 1 - 2 * 3/4 / (1 + 1).
    ([[0, LN3], [LN3, 0]], [1, 0], 0.0, "skip", 1 / 4),
    ([[0, LN3], [LN3, 0]], [1, 0], 1.0, "skip", 1 - 2.5 / 3),
    # p = 1/4 of class 1, 1/2 of class 2; class 2 is absent: 1 - 2 * 1/4 / (1/2 + 1), halved where it counts as perfect.
    ([[0, 0], [0, 0], [LN2, LN2]], [1, 0], 0.0, "skip", 2 / 3),
    ([[0, 0], [0, 0], [LN2, LN2]], [1, 0], 0.0, "perfect", 1 / 3),
    # A voxel to be ignored takes its prediction along: p = 3/4, g = 1 remain.
    ([[0, LN3, 0], [LN3, 0, LN3]], [1, 255, 255], 0.0, "skip", 1 - 1.5 / 1.75),
    ([[0, 0], [0, 0]], [0, 0], 0.0, "skip", 0.0),
    ([[0, 0], [0, 0]], [0, 0], 0.0, "perfect", 0.0),
    ([[0, 0], [0, 0]], [255, 255], 0.0, "skip", 0.0),
]


@pytest.mark.parametrize(("rows", "values", "smooth", "absent", "expected"), BY_HAND)
def test_by_hand(rows, values, smooth, absent, expected):
    loss = ForegroundDiceLoss(smooth, absent)(voxels(rows), labels(values))
    assert loss.item() == pytest.approx(expected, abs=1e-12)


def test_with_the_background():
    # The background: p = (1/4, 3/4), g = (0, 1): 1/4 again.
    loss = ForegroundDiceLoss(0.0, include_background=True)(voxels([[0, LN3], [LN3, 0]]), labels([1, 0]))
    assert loss.item() == pytest.approx(1 / 4)


@pytest.mark.parametrize("size", [(7, 6), (7, 6, 3)])
def test_parity_with_numpy(size):
    rng = np.random.default_rng(4)
    logits, target = 2 * rng.normal(size=(2, 4, *size)), rng.choice([0, 0, 0, 1, 3, 255], size=(2, 1, *size))
    expected = 1 - np.mean(list(dice_of_each_class(logits, target, 1e-3).values()))
    loss = ForegroundDiceLoss(1e-3)(torch.from_numpy(logits).float(), torch.from_numpy(target))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_it_is_the_other_dice_loss_where_all_classes_are_present():
    logits = torch.randn(2, 3, 6, 5)
    target = torch.arange(60).view(2, 1, 6, 5) % 3
    other = BackgroundChannelLoss(MaskLoss(squared=False))
    assert ForegroundDiceLoss()(logits, target).item() == pytest.approx(other(logits, target).item(), abs=1e-6)


@pytest.mark.parametrize("absent", ["skip", "perfect"])
def test_gradcheck(absent):
    logits = torch.randn(2, 4, 3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 1, 3, 255]).repeat(6).view(2, 1, 3, 4)
    assert torch.autograd.gradcheck(lambda x: ForegroundDiceLoss(0.0, absent)(x, target), (logits,))


@pytest.mark.parametrize("fill", [0, 255])
@pytest.mark.parametrize("smooth", [0.0, 1e-5])
def test_nothing_present_is_zero_with_a_gradient_of_zeros(fill, smooth):
    logits = torch.randn(1, 4, 3, 3, requires_grad=True)
    loss = ForegroundDiceLoss(smooth)(logits, torch.full((1, 1, 3, 3), fill))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad.tolist() == torch.zeros(1, 4, 3, 3).tolist()


def test_mean_of_present():
    values, present = torch.tensor([1.0, torch.nan, 3.0]), torch.tensor([True, False, True])
    assert mean_of_present(values, present).item() == 2.0
    assert mean_of_present(values, torch.zeros(3, dtype=torch.bool)).item() == 0.0


def test_refusals():
    with pytest.raises(ValueError, match="smooth must not be negative"):
        ForegroundDiceLoss(-1.0)
    with pytest.raises(ValueError, match="absent must be one of skip, perfect, got zero"):
        ForegroundDiceLoss(absent="zero")
    with pytest.raises(ValueError, match="labels must be 0 to 1"):
        ForegroundDiceLoss()(torch.zeros(1, 2, 3, 3), torch.full((1, 1, 3, 3), 2))
