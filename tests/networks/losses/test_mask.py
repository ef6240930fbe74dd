"""MaskLoss: numbers by hand, the float64 formula, gradients, and the limits that break other Dice losses."""

import math

import numpy as np
import pytest
import torch

from networks.losses.mask import MaskLoss

LN3 = math.log(3)
LIMIT = 100.0  # a logit whose probability is 0 or 1 in float32

# Logits per class and voxel, labels per voxel, soft Dice loss. E.g. the first: p = (3/4, 1/4), g = (1, 0):
# 1 - 2 * 3/4 / (9/16 + 1/16 + 1) = 1 - 12/13.
BY_HAND = [
    ([[LN3, -LN3]], [1, 0], 1 / 13),
    ([[0.0, 0.0]], [1, 1], 1 - 2 * 1 / (0.5 + 2)),
    ([[LN3, -LN3]], [0, 1], 1 - 2 * 0.25 / (0.625 + 1)),
    ([[LIMIT, -LIMIT]], [1, 0], 0.0),
    ([[-LIMIT, LIMIT]], [1, 0], 1.0),
    ([[-LIMIT, -LIMIT]], [0, 0], 0.0),
    # K = 2: p of the classes (1/4, 1/2) in both voxels; losses 1 - 0.5 / 1.125 and 1 - 1 / 1.5, then their mean.
    ([[0.0, 0.0], [math.log(2), math.log(2)]], [1, 2], (5 / 9 + 1 / 3) / 2),
    # The second class is absent and not predicted: its loss is 0.
    ([[LIMIT, -LIMIT], [-LIMIT, -LIMIT]], [1, 0], 0.0),
]


def voxels(values, dtype=torch.float32):
    """(K, N) -> (1, K, 1, N)."""
    return torch.tensor(values, dtype=dtype)[None, :, None]


@pytest.mark.parametrize(("logits", "labels", "expected"), BY_HAND)
def test_dice_by_hand(logits, labels, expected):
    loss = MaskLoss(smooth=1e-5)(voxels(logits), voxels([labels]))
    assert loss.item() == pytest.approx(expected, abs=2e-5)


# Cross-entropy over K + 1 classes: -log p of the true class, averaged.
CROSS_ENTROPY = [
    ([[LN3, -LN3]], [1, 0], -math.log(0.75)),
    ([[LN3, -LN3]], [0, 0], -(math.log(0.25) + math.log(0.75)) / 2),
    ([[0.0, 0.0], [math.log(2), math.log(2)]], [1, 2], -(math.log(0.25) + math.log(0.5)) / 2),
]


@pytest.mark.parametrize(("logits", "labels", "expected"), CROSS_ENTROPY)
def test_cross_entropy_by_hand(logits, labels, expected):
    loss = MaskLoss(dice_weight=0.0, cross_entropy_weight=1.0)
    assert loss(voxels(logits), voxels([labels])).item() == pytest.approx(expected, abs=1e-6)


def reference(logits, labels, dice_weight, cross_entropy_weight, smooth=1e-5):
    """The formulas in float64: logits (B, K, ...), labels (B, 1, ...)."""
    logits = logits.astype(np.float64)
    exponentials = np.exp(np.concatenate([np.zeros_like(logits[:, :1]), logits], axis=1))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    dice = []
    for index in range(1, probabilities.shape[1]):
        p, g = probabilities[:, index], (labels[:, 0] == index).astype(np.float64)
        dice.append(1 - (2 * (p * g).sum() + smooth) / ((p * p).sum() + (g * g).sum() + smooth))
    right = np.take_along_axis(probabilities, labels.astype(np.int64), axis=1)
    return dice_weight * np.mean(dice) - cross_entropy_weight * np.log(right).mean()


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (0.5, 2.0)])
@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("size", [(9, 7), (9, 7, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int16, torch.uint8])
def test_parity_with_the_formula(size, classes, weights, dtype):
    logits = 3 * torch.randn(3, classes, *size)
    labels = torch.randint(0, classes + 1, (3, 1, *size))
    loss = MaskLoss(*weights)(logits, labels.to(dtype))
    assert abs(loss.item() - reference(logits.numpy(), labels.numpy(), *weights)) <= 1e-5


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_parity_at_a_million_voxels(classes, memory_format):
    """Where a sum in float32, term by term, is not precise enough."""
    logits = 3 * torch.randn(2, classes, 96, 96, 64).contiguous(memory_format=memory_format)
    labels = torch.randint(0, classes + 1, (2, 1, 96, 96, 64))
    loss = MaskLoss(1.0, 1.0)(logits, labels)
    assert abs(loss.item() - reference(logits.numpy(), labels.numpy(), 1.0, 1.0)) <= 1e-6


def test_plain_sums_by_hand():
    """p = (3/4, 1/4), g = (1, 0): 1 - 2 * 3/4 / (1 + 1)."""
    loss = MaskLoss(squared=False)(voxels([[LN3, -LN3]]), voxels([[1, 0]]))
    assert loss.item() == pytest.approx(1 / 4, abs=1e-5)


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (0.5, 2.0)])
def test_field_of_view_is_the_image_cut_to_it(weights):
    logits, labels = 3 * torch.randn(2, 2, 9, 7), torch.randint(0, 3, (2, 1, 9, 7))
    mask = torch.zeros(2, 1, 9, 7)
    mask[:, :, 2:6, 1:5] = 1
    inside = MaskLoss(*weights)(logits[:, :, 2:6, 1:5], labels[:, :, 2:6, 1:5])
    assert MaskLoss(*weights)(logits, labels, mask).item() == pytest.approx(inside.item(), abs=1e-6)


@pytest.mark.parametrize("squared", [False, True])
def test_float64_stays_and_passes_gradcheck(squared):
    logits = torch.randn(2, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 3, (2, 1, 3, 2))
    loss = MaskLoss(1.0, 0.5, squared=squared)
    assert loss(logits, labels).dtype == torch.float64
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (logits,))


def test_refuses_labels_without_a_logit():
    """Masks of 0 and 255 would train towards nothing at all, with a loss that looks fine."""
    with pytest.raises(ValueError, match="labels must be 0 to 1, as there are so many logits; got 0 to 255"):
        MaskLoss()(voxels([[0.0, 0.0]]), voxels([[0, 255]]))


def test_sums_are_pooled_over_the_batch():
    """One sample without the class: pooled it is 1 - 2 * 1 / (1 + 1 + 1/2), not a mean with a loss of one."""
    logits = torch.tensor([[LIMIT, -LIMIT], [0.0, 0.0]])[:, None, None]
    labels = torch.tensor([[1.0, 0.0], [0.0, 0.0]])[:, None, None]
    assert MaskLoss()(logits, labels).item() == pytest.approx(1 - 2 / 2.5, abs=1e-5)


@pytest.mark.parametrize("classes", [1, 2])
def test_gradient_is_that_of_the_formula(classes):
    """The loss computes in float32, so its gradient is held beside finite differences of the float64 formula."""
    logits = torch.randn(2, classes, 3, 2, requires_grad=True)
    labels = torch.randint(0, classes + 1, (2, 1, 3, 2))
    MaskLoss(1.0, 0.5)(logits, labels).backward()
    start, step = logits.detach().double().numpy(), 1e-6
    for place in np.ndindex(*start.shape):
        ends = []
        for sign in (1, -1):
            moved = start.copy()
            moved[place] += sign * step
            ends.append(reference(moved, labels.numpy(), 1.0, 0.5))
        assert logits.grad[place].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("label", [0, 1, 2])
@pytest.mark.parametrize("magnitude", [0.0, 1.0, 60000.0])
def test_finite_in_every_precision(dtype, label, magnitude):
    """A million voxels: their sums leave float16, and an empty class divides nothing by nothing."""
    logits = torch.full((1, 2, 128, 128, 64), -magnitude, dtype=dtype)
    logits[:, :, :64] = magnitude
    logits.requires_grad_()
    loss = MaskLoss(1.0, 1.0)(logits, torch.full((1, 1, 128, 128, 64), label))
    loss.backward()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        ((1, 1, 4, 4), (1, 2, 4, 4)),
        ((1, 1, 4, 4), (1, 1, 4, 5)),
        ((2, 1, 4, 4), (1, 1, 4, 4)),
        ((2, 1, 4, 4), (2, 1, 4, 4, 4)),
    ],
)
def test_refuses_shapes(logits, labels):
    with pytest.raises(ValueError, match=r"want labels \(B, 1, ...\) of the same size"):
        MaskLoss()(torch.zeros(logits), torch.zeros(labels))


@pytest.mark.parametrize("weights", [(0.0, 0.0), (-1.0, 1.0), (1.0, -0.5)])
def test_refuses_weights(weights):
    with pytest.raises(ValueError, match="Weights must not be negative, and not both zero"):
        MaskLoss(*weights)
