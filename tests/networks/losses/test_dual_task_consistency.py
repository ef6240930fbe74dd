"""DualTaskConsistencyLoss: numbers by hand, the float64 formula, and a gradient into both heads that stays finite."""

import math

import numpy as np
import pytest
import torch

from networks.losses.dual_task_consistency import DualTaskConsistencyLoss

LN3 = math.log(3)

# k, mask logits, level set, mean of (p - sigmoid(-k z))^2, one voxel per column.
BY_HAND = [
    (1500.0, [[0.0]], [[0.0]], 0.0),
    (1500.0, [[0.0]], [[-1.0]], 0.25),
    (1500.0, [[0.0]], [[1.0]], 0.25),
    (1500.0, [[LN3]], [[-LN3 / 1500]], 0.0),
    (1.0, [[LN3]], [[LN3]], 0.25),
    (2.0, [[LN3, -LN3]], [[0.0, 0.0]], 0.0625),
    (1500.0, [[100.0, -100.0]], [[-1.0, 1.0]], 0.0),
    (1500.0, [[100.0, -100.0]], [[1.0, -1.0]], 1.0),
    # K = 2: p = (1/4, 1/2), level sets on the contour give 1/2 each.
    (1500.0, [[0.0], [math.log(2)]], [[0.0], [0.0]], 0.0625 / 2),
]


def voxels(values):
    """(K, N) -> (1, K, 1, N)."""
    return torch.tensor(values)[None, :, None]


@pytest.mark.parametrize(("k", "logits", "level_set", "expected"), BY_HAND)
def test_by_hand(k, logits, level_set, expected):
    assert DualTaskConsistencyLoss(k)(voxels(logits), voxels(level_set)).item() == pytest.approx(expected, abs=1e-6)


def reference(logits, level_set, k):
    """The formula in float64, without overflow: sigmoid(x) = (1 + tanh(x / 2)) / 2."""
    logits, level_set = logits.astype(np.float64), level_set.astype(np.float64)
    exponentials = np.exp(np.concatenate([np.zeros_like(logits[:, :1]), logits], axis=1))
    probabilities = (exponentials / exponentials.sum(axis=1, keepdims=True))[:, 1:]
    return ((probabilities - 0.5 * (1 + np.tanh(-0.5 * k * level_set))) ** 2).mean()


@pytest.mark.parametrize("k", [1500.0, 20.0])
@pytest.mark.parametrize("shape", [(3, 1, 9, 7, 5), (3, 2, 9, 7)])
def test_parity_with_the_formula(shape, k):
    logits, level_set = 3 * torch.randn(shape), torch.tanh(torch.randn(shape)) * torch.rand(shape) ** 4
    expected = reference(logits.numpy(), level_set.numpy(), k)
    assert abs(DualTaskConsistencyLoss(k)(logits, level_set).item() - expected) <= 1e-5


@pytest.mark.parametrize("classes", [1, 2])
def test_gradient_into_both_heads_is_that_of_the_formula(classes):
    """Beside finite differences of the float64 formula, since the loss computes in float32."""
    parts = [torch.randn(2, classes, 3, 2), 0.2 * torch.randn(2, classes, 3, 2)]
    heads = [part.clone().requires_grad_() for part in parts]
    DualTaskConsistencyLoss(5.0)(*heads).backward()
    step = 1e-6
    for which, head in enumerate(heads):
        for place in np.ndindex(*head.shape):
            ends = []
            for sign in (1, -1):
                moved = [part.double().numpy().copy() for part in parts]
                moved[which][place] += sign * step
                ends.append(reference(*moved, 5.0))
            assert head.grad[place].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_extremes_are_finite_in_every_precision(dtype):
    """1500 z leaves float16 at z = 44; on the contour the gradient is -k/4 * 2 (1/2 - p) over the count, negated."""
    largest = 60000.0
    level_set = torch.tensor([-largest, -44.0, -1.0, 0.0, 1.0, 44.0, largest], dtype=dtype).reshape(1, 1, 7, 1)
    logits = torch.zeros_like(level_set)
    logits[0, 0, 3] = 100.0
    level_set.requires_grad_()
    logits.requires_grad_()
    loss = DualTaskConsistencyLoss(1500.0)(logits, level_set)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0.25)
    assert torch.isfinite(logits.grad).all()
    assert torch.isfinite(level_set.grad).all()
    assert level_set.grad[0, 0, 3].item() == pytest.approx(2 * 0.5 * 375 / 7, rel=1e-2)


@pytest.mark.parametrize(("z", "learns"), [(0.0, True), (0.004, True), (0.2, False), (1.0, False)])
def test_the_published_steepness_learns_at_the_contour_alone(z, learns):
    level_set = torch.full((1, 1, 1, 1), z, requires_grad=True)
    DualTaskConsistencyLoss(1500.0)(torch.full((1, 1, 1, 1), 5.0), level_set).backward()
    assert (level_set.grad.abs().item() > 0) == learns


def test_heads_that_agree_get_no_gradient():
    logits = torch.randn(2, 1, 4, 4, requires_grad=True)
    level_set = (-logits / 20).detach().requires_grad_()
    loss = DualTaskConsistencyLoss(20.0)(logits, level_set)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-12)
    assert logits.grad.abs().max() < 1e-6
    assert level_set.grad.abs().max() < 1e-6


def test_refuses_shapes():
    with pytest.raises(ValueError, match="must have one shape"):
        DualTaskConsistencyLoss()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4))


@pytest.mark.parametrize("k", [0.0, -1500.0, math.nan])
def test_refuses_k(k):
    with pytest.raises(ValueError, match="k must be positive"):
        DualTaskConsistencyLoss(k)
