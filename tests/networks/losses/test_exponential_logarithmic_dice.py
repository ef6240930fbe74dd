"""ExponentialLogarithmicDiceLoss: by hand, against numpy, and its limits at a Dice of zero and of one."""

import math

import numpy as np
import pytest
import torch

from networks.losses.exponential_logarithmic_dice import ExponentialLogarithmicDiceLoss
from tests.networks.losses.numpy_dice import explog_dice

LN2, LN3 = math.log(2), math.log(3)
SURE = 100.0


def voxels(rows, dtype=torch.float64):
    return torch.tensor(rows, dtype=dtype)[None, :, None]


def labels(values):
    return torch.tensor(values)[None, None, None]


# Logits of background and classes per voxel, labels, gamma, loss, with an epsilon too small to be seen.
BY_HAND = [
    # p = (3/4, 1/4), g = (1, 0): D = 3/4.
    ([[0, LN3], [LN3, 0]], [1, 0], 0.5, math.sqrt(math.log(4 / 3))),
    ([[0, LN3], [LN3, 0]], [1, 0], 1.0, math.log(4 / 3)),
    ([[0, LN3], [LN3, 0]], [1, 0], 2.0, math.log(4 / 3) ** 2),
    # Two classes, p = 1/4 and 1/2 in both voxels: D = 1/3 and 1/2.
    ([[0, 0], [0, 0], [LN2, LN2]], [1, 2], 0.5, (math.sqrt(LN3) + math.sqrt(LN2)) / 2),
    # The second class is absent: it has no part.
    ([[0, 0], [0, 0], [LN2, LN2]], [1, 0], 0.5, math.sqrt(LN3)),
    ([[0, LN3, 0], [LN3, 0, LN3]], [1, 255, 255], 0.5, math.sqrt(math.log(7 / 6))),
]


@pytest.mark.parametrize(("rows", "values", "gamma", "expected"), BY_HAND)
def test_by_hand(rows, values, gamma, expected):
    loss = ExponentialLogarithmicDiceLoss(gamma, 1e-12)(voxels(rows), labels(values))
    assert loss.item() == pytest.approx(expected, abs=1e-9)


def test_epsilon_by_hand():
    # D = (2 * 3/4 + 1) / (1 + 1 + 1).
    loss = ExponentialLogarithmicDiceLoss(epsilon=0.1)(voxels([[0, LN3], [LN3, 0]]), labels([1, 0]))
    assert loss.item() == pytest.approx(math.sqrt(math.log(2.1 / 1.6)), abs=1e-12)


@pytest.mark.parametrize("size", [(7, 6), (7, 6, 3)])
@pytest.mark.parametrize("gamma", [0.3, 0.5])
def test_parity_with_numpy(size, gamma):
    rng = np.random.default_rng(5)
    logits, target = 2 * rng.normal(size=(2, 4, *size)), rng.choice([0, 0, 0, 1, 3, 255], size=(2, 1, *size))
    expected = explog_dice(logits, target, gamma, 1e-5)
    for dtype in (torch.float32, torch.float64):
        loss = ExponentialLogarithmicDiceLoss(gamma)(torch.from_numpy(logits).to(dtype), torch.from_numpy(target))
        assert loss.dtype == dtype
        assert loss.item() == pytest.approx(expected, abs=1e-6)
    alone = torch.from_numpy(logits[:, 1:] - logits[:, :1])
    implicit = ExponentialLogarithmicDiceLoss(gamma, background_channel=False)(alone, torch.from_numpy(target))
    assert implicit.item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("include_background", [False, True])
def test_gradcheck(include_background):
    logits = torch.randn(2, 4, 3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([0, 1, 3, 255]).repeat(6).view(2, 1, 3, 4)
    loss = ExponentialLogarithmicDiceLoss(include_background=include_background)
    assert torch.autograd.gradcheck(lambda x: loss(x, target), (logits,))


@pytest.mark.parametrize("background_channel", [False, True])
@pytest.mark.parametrize("gamma", [0.3, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_dice_of_zero_and_of_one_are_finite(gamma, dtype, background_channel):
    loss = ExponentialLogarithmicDiceLoss(gamma, background_channel=background_channel)
    first = 0 if background_channel else 1
    one = voxels([[-SURE, SURE], [SURE, -SURE]], dtype)[:, first:].requires_grad_()
    zero = (-one.detach()).requires_grad_()
    best, worst = loss(one, labels([1, 0])), loss(zero, labels([1, 0]))
    (best + worst).backward()
    assert best.item() == 0.0
    # D = e / (1 + 1 + e).
    assert worst.item() == pytest.approx(math.log(2e5 + 1) ** gamma, rel=1e-4)
    for logits in (one, zero):
        assert torch.isfinite(logits.grad).all()


def test_the_gradient_of_a_dice_near_one_stays_finite_and_points_the_right_way():
    for sure in (4.0, 8.0, 12.0, 16.0, 20.0):
        logits = voxels([[-sure, sure], [sure, -sure]], torch.float32).requires_grad_()
        ExponentialLogarithmicDiceLoss()(logits, labels([1, 0])).backward()
        assert torch.isfinite(logits.grad).all()
        assert logits.grad.abs().max() < 1
        assert logits.grad[0, 1, 0, 0] <= 0 <= logits.grad[0, 0, 0, 0]


def test_under_autocast():
    weight = torch.full((2, 1, 1, 1), 100.0, requires_grad=True)
    image = torch.tensor([1.0, -1.0, 1.0, -1.0]).view(1, 1, 2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        logits = torch.nn.functional.conv2d(image, weight * torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1))
        loss = ExponentialLogarithmicDiceLoss()(logits, torch.tensor([1, 0, 0, 1]).view(1, 1, 2, 2))
    loss.backward()
    assert logits.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert torch.isfinite(weight.grad).all()


@pytest.mark.parametrize("fill", [0, 255])
def test_nothing_present_is_zero_with_a_gradient_of_zeros(fill):
    logits = torch.randn(1, 4, 3, 3, requires_grad=True)
    loss = ExponentialLogarithmicDiceLoss()(logits, torch.full((1, 1, 3, 3), fill))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad.tolist() == torch.zeros(1, 4, 3, 3).tolist()


def test_a_missed_small_class_costs_as_much_as_a_missed_large_one():
    """The logarithm knows shares alone: what a linear Dice loss does too, but bounded by one."""
    target = torch.zeros(1, 1, 8, 8, dtype=torch.long)
    target[..., :1, :2] = 1
    target[..., 4:, :] = 2
    flat = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    losses = [
        ExponentialLogarithmicDiceLoss(1.0)(flat, torch.where(target == kept, target, 0)).item() for kept in (1, 2)
    ]
    # p = 1/3 everywhere: D = (2 n / 3) / (64 / 3 + n) of n = 2 and 32 voxels.
    assert losses == pytest.approx([math.log(35 / 2), math.log(80 / 32)], abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gamma": 0.0}, "gamma must be positive, got 0.0"),
        ({"gamma": math.nan}, "gamma must be positive, got nan"),
        ({"epsilon": 0.0}, "epsilon must be positive, got 0.0"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        ExponentialLogarithmicDiceLoss(**arguments)


def test_refuses_labels_of_no_class():
    with pytest.raises(ValueError, match="labels must be 0 to 1"):
        ExponentialLogarithmicDiceLoss(ignore_index=None)(torch.zeros(1, 2, 3, 3), torch.full((1, 1, 3, 3), 255))
