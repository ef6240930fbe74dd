"""CrossEntropyLoss: by hand, and against torch with an explicit background."""

import math

import pytest
import torch
from torch.nn import functional as F

from networks.losses.cross_entropy import CrossEntropyLoss

LN3 = math.log(3)

# Logits of one class, labels, weights, loss: sigmoid(ln 3) = 3/4.
BY_HAND = [
    ([LN3, -LN3], [1, 0], None, -math.log(3 / 4)),
    ([LN3, -LN3], [0, 0], None, -(math.log(1 / 4) + math.log(3 / 4)) / 2),
    # Torch's mean: 3 log 4 of the foreground and 1 log(4/3) of the background over the weights' sum of four.
    ([-LN3, -LN3], [1, 0], [1, 3], (3 * math.log(4) + math.log(4 / 3)) / 4),
    ([-LN3, -LN3], [1, 1], [1, 3], math.log(4)),
    ([-LN3, -LN3], [1, 0], [0, 1], math.log(4)),
]


@pytest.mark.parametrize(("logits", "labels", "weights", "expected"), BY_HAND)
def test_by_hand(logits, labels, weights, expected):
    loss = CrossEntropyLoss(weights)(torch.tensor(logits).view(1, 1, 1, 2), torch.tensor(labels).view(1, 1, 1, 2))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("size", [(6, 5), (6, 5, 4)])
@pytest.mark.parametrize("weighted", [False, True])
def test_parity_with_torch(classes, size, weighted):
    logits, labels = 3 * torch.randn(2, classes, *size), torch.randint(0, classes + 1, (2, 1, *size))
    weights = torch.rand(classes + 1) + 0.1 if weighted else None
    full = torch.cat([torch.zeros(2, 1, *size), logits], dim=1).double()
    double = None if weights is None else weights.double()
    for reduction in ("mean", "none"):
        expected = F.cross_entropy(full, labels[:, 0], weight=double, reduction=reduction)
        loss = CrossEntropyLoss(weights, reduction)(logits, labels.to(torch.uint8))
        assert torch.allclose(loss.double().view(expected.shape), expected, atol=1e-5)


def test_map_sums_to_the_mean():
    logits, labels = torch.randn(2, 1, 6, 5), torch.randint(0, 2, (2, 1, 6, 5))
    voxels = CrossEntropyLoss([1, 3], "none")(logits, labels)
    assert voxels.shape == labels.shape
    assert CrossEntropyLoss([1, 3])(logits, labels).item() == pytest.approx(
        (voxels.sum() / (1 + 2 * labels).sum()).item(), rel=1e-5
    )


def test_a_field_of_view_with_weightless_classes_alone_is_zero():
    logits = torch.randn(1, 1, 3, 3, requires_grad=True)
    loss = CrossEntropyLoss([0, 1])(logits, torch.zeros(1, 1, 3, 3))
    loss.backward()
    assert loss.item() == 0.0
    assert not logits.grad.any()


def test_weights_move_with_the_module_and_are_kept():
    loss = CrossEntropyLoss([1, 3])
    assert loss.state_dict()["weights"].tolist() == [1, 3]
    assert loss.double()(torch.zeros(1, 1, 2, 2).double(), torch.zeros(1, 1, 2, 2)).dtype == torch.float64


def test_refuses_weights():
    with pytest.raises(ValueError, match="weights must be one number per class"):
        CrossEntropyLoss([1, -1])
    with pytest.raises(ValueError, match="weights must have 2 numbers, the background's first, got 3"):
        CrossEntropyLoss([1, 2, 3])(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2))
